"""Counts tries to sign in, or to do what needs a password, against guessing."""

from deployments.gateway.rate_limits import Kind
from deployments.gateway.services import GatewayServices


async def count_attempt(services: GatewayServices, client: str, email: str) -> None:
    """Slows down guessing from one address, without shutting out the owner at another. Raises RateLimited."""
    subject = {"address+account": f"{client}|{email.lower()}"}
    await services.limits.require(Kind.ACCOUNT, subject, "Too many attempts to sign in; try again in a minute.")
