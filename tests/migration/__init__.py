"""Tests of Loquent: migration."""
