"""Ray Data pipelines: from uploaded bytes to searchable chunks."""
