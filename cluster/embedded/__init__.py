"""PostgreSQL, Valkey and the Stripe double as supervised child processes of one machine."""

from cluster.embedded.postgres import EmbeddedPostgres
from cluster.embedded.process import Child, Running, SetupError
from cluster.embedded.stripe import EmbeddedStripe
from cluster.embedded.valkey import EmbeddedValkey

__all__ = ["Child", "EmbeddedPostgres", "EmbeddedStripe", "EmbeddedValkey", "Running", "SetupError"]
