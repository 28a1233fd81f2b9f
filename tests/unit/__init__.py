"""Tests of Loquent: unit."""
