"""Tests of Loquent: the suites."""
