"""Plans that tenants pay for, and the limits that they set."""

from pydantic import BaseModel, ConfigDict, Field

from domain.errors import QuotaExceeded


class PlanLimits(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    max_chatbots: int = Field(ge=0)
    max_documents_per_chatbot: int = Field(ge=0)
    max_upload_bytes: int = Field(ge=0)
    max_tokens_per_month: int = Field(ge=0)
    max_concurrent_turns: int = Field(ge=1)
    max_queued_turns: int = Field(ge=0)
    weight: float = Field(1.0, gt=0)
    """The tenant's share of a session host where tenants compete for it."""
    dedicated_host: bool = False
    """Whether the tenant's live conversations get a process of their own."""
    max_connections: int = Field(ge=1)


class Plan(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    name: str
    price_cents: int = Field(ge=0)
    currency: str = "usd"
    limits: PlanLimits

    def allow_chatbot(self, existing: int) -> None:
        """Raise QuotaExceeded when one more chatbot would pass the plan's limit."""
        if existing >= self.limits.max_chatbots:
            raise QuotaExceeded(f"The {self.name} plan allows {self.limits.max_chatbots} chatbots.")

    def allow_document(self, existing: int) -> None:
        """Raise QuotaExceeded when one more document would pass the plan's limit."""
        if existing >= self.limits.max_documents_per_chatbot:
            raise QuotaExceeded(
                f"The {self.name} plan allows {self.limits.max_documents_per_chatbot} documents per chatbot."
            )

    def allow_tokens(self, used: int, wanted: int) -> None:
        """Raise QuotaExceeded when `used` plus `wanted` tokens would pass the month's budget."""
        if used + wanted > self.limits.max_tokens_per_month:
            raise QuotaExceeded(f"The {self.name} plan allows {self.limits.max_tokens_per_month:,} tokens per month.")
