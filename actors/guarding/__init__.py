"""Checks that need a library or a network, and what a session host gives to its turns."""
