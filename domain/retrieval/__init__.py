"""Retrieval, pure: from a question and its conversation to the passages that answer it; ports are injected."""
