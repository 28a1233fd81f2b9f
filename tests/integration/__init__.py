"""Tests of Loquent: integration."""
