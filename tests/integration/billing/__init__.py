"""Tests of Loquent: money."""
