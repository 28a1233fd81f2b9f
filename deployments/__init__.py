"""Stateless Serve replicas: the gateway, the language-model router and engines, and retrieval."""
