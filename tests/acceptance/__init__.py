"""Tests of Loquent: acceptance."""
