"""`python -m cluster` is the `loquent` command, also where the package is not installed."""

from cluster.command import app

app()
