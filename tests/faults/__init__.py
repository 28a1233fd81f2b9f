"""Tests of Loquent: faults."""
