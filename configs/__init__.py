"""Settings, read once at the edge, and the YAML tables of models, plans, moderation and sizing."""
