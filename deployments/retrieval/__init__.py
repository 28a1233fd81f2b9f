"""Retrieval as Serve deployments: the embedder of questions."""
