"""What a tenant sets about the checks of a bot: an action for each, and what happens when one fails."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from domain.guarding.link_hosts import checked_host
from domain.text import clean_text

Action = Literal["off", "note", "flag", "redact", "block"]
"""`note` writes it down, `flag` puts the message before a person, `redact` takes out what was found, `block` refuses;
of what was retrieved, `block` drops the passage."""
PersonalKind = Literal["card", "iban", "email", "phone", "ssn", "ip"]
LinkHost = Annotated[str, Field(max_length=253), AfterValidator(checked_host)]
Term = Annotated[str, Field(min_length=2, max_length=100), AfterValidator(clean_text)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CheckSetting(_Part):
    action: Action = "off"
    threshold: float = Field(0.5, ge=0.0, le=1.0, description="Least score that counts, for checks that have one.")
    on_failure: Literal["open", "closed"] = Field(
        "open", description="Whether text passes when the check fails or takes longer than its time."
    )
    timeout_ms: int = Field(1_500, ge=10, le=10_000, description="What a check may take.")


def _set(action: Action, threshold: float = 0.5) -> CheckSetting:
    return CheckSetting(action=action, threshold=threshold)


class _Checks(_Part):
    @model_validator(mode="after")
    def _check_actions(self) -> Self:
        for name in ("rules", "moderation_api", "injection", "prompt_leak"):
            setting = getattr(self, name, None)
            if setting is not None and setting.action == "redact":
                raise ValueError(f"{name} finds no part of a text that could be taken out; use block, flag or note")
        return self


class InputChecks(_Checks):
    """Of what the visitor writes."""

    rules: CheckSetting = _set("block")
    injection: CheckSetting = _set("flag")
    personal_data: CheckSetting = _set("off")
    moderation_api: CheckSetting = _set("off")


class RetrievedChecks(_Checks):
    """Of the passages, each by itself."""

    injection: CheckSetting = _set("block")


class OutputChecks(_Checks):
    """Of the answer. A `moderation_api` that blocks holds the whole answer back until it was asked."""

    rules: CheckSetting = _set("block")
    secrets: CheckSetting = _set("redact")
    personal_data: CheckSetting = _set("redact")
    prompt_leak: CheckSetting = _set("flag", 0.4)
    moderation_api: CheckSetting = _set("off")


class GuardrailsConfig(_Part):
    input: InputChecks = InputChecks()
    retrieved: RetrievedChecks = RetrievedChecks()
    output: OutputChecks = OutputChecks()
    personal_data_kinds: tuple[PersonalKind, ...] = Field(("card", "ssn"), description="What counts as personal data.")
    phone_region: str = Field("", pattern=r"^([A-Z]{2})?$", description="Whose national phone numbers count, as `US`.")
    blocked_terms: tuple[Term, ...] = Field((), max_length=100, description="Words that the check `rules` finds too.")
    allowed_link_hosts: tuple[LinkHost, ...] = Field(
        (), max_length=50, description="Hosts that answers may link to and show pictures of; `*.example.com` for below."
    )
    data_marking: bool = Field(
        True, description="Put the passages between two lines that nobody can foresee, so that they cannot end early."
    )
