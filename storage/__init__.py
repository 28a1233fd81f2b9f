"""Doors to what lasts: PostgreSQL, Redis, LanceDB and the object store."""
