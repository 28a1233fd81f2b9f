"""Retrieval as Serve deployments: the embedder of questions, and the reranker of passages."""
