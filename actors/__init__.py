"""What is stateful and live: tenant actors and their turns, the outbox relay, the ingestion supervisor."""
