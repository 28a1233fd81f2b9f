"""What several processes share through Redis: endpoints, domain events and counters."""
