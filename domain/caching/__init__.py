"""Answers that are kept, pure: which questions may have one, and when two questions ask the same."""
