"""The JSON shapes of the second factor."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from deployments.gateway.models import Body, GrantModel
from domain.text import clean_text

Code = Annotated[str, Field(pattern=r"^[0-9]{6}$", description="Six digits of the authenticator app.")]
RecoveryCode = Annotated[str, AfterValidator(clean_text), Field(min_length=16, max_length=40)]


class ProofBody(Body):
    """A code of the app, or a recovery code."""

    code: Code | None = None
    recovery_code: RecoveryCode | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.code is None) == (self.recovery_code is None):
            raise ValueError("send either code or recovery_code")
        return self


class VerifyBody(ProofBody):
    challenge: Annotated[str, AfterValidator(clean_text), Field(min_length=1, max_length=8_192)]


class DisableBody(ProofBody):
    password: Annotated[str, AfterValidator(clean_text), Field(min_length=1, max_length=128)]


class ConfirmBody(Body):
    code: Code


class MfaChallengeModel(BaseModel):
    mfa_required: Literal[True] = True
    challenge: str = Field(description="What `POST /auth/mfa/verify` takes beside the code.")
    expires_in: int = Field(description="Seconds that the challenge lives.")


class MfaModel(BaseModel):
    enabled: bool
    required: bool = Field(description="Whether the company asks for it.")
    recovery_codes_left: int


class TotpModel(BaseModel):
    secret: str = Field(description="In base32, to type in by hand.")
    uri: str = Field(description="The same for a QR code.")


class RecoveryCodesModel(BaseModel):
    recovery_codes: list[str] = Field(description="Each works once; they are never shown again.")


class EnabledModel(RecoveryCodesModel):
    grant: GrantModel = Field(description="In place of the sign-ins so far, which have ended.")
