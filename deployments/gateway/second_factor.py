"""What follows the first factor, whichever it was: the tokens, or the question for the second one."""

import structlog

from deployments.gateway.grants import begin_sign_in
from deployments.gateway.mfa_models import MfaChallengeModel, ProofBody
from deployments.gateway.models import GrantModel
from deployments.gateway.one_time_codes import hash_recovery_code, matching_step
from deployments.gateway.origin import of_user
from deployments.gateway.rate_limits import Kind
from deployments.gateway.services import GatewayServices
from deployments.gateway.tokens import CHALLENGE_SECONDS
from domain.audit import Action, Details, Origin, Target
from domain.errors import Unavailable
from domain.ids import TenantId, UserId
from domain.tenancy import Device, SignInMethod
from storage.postgres.accounts import Account
from storage.postgres.audit import Audit
from storage.postgres.database import Transaction
from storage.postgres.second_factors import SecondFactors

log = structlog.get_logger()

PURPOSE = "totp"
"""Of the sealed secrets of authenticator apps."""


async def after_first_factor(
    services: GatewayServices,
    tx: Transaction,
    account: Account,
    origin: Origin,
    device: Device,
    method: SignInMethod,
    details: Details | None = None,
) -> GrantModel | MfaChallengeModel:
    """Needs the system's transaction, and is the last in it. The caller has checked the first factor."""
    factor = await SecondFactors(tx).find(account.user.id)
    if factor is not None and factor.confirmed:
        challenge = services.tokens.sign_challenge(account.tenant.id, account.user.id, method)
        return MfaChallengeModel(challenge=challenge, expires_in=CHALLENGE_SECONDS)
    return await signed_in(services, tx, account, origin, device, method, details)


async def signed_in(
    services: GatewayServices,
    tx: Transaction,
    account: Account,
    origin: Origin,
    device: Device,
    method: SignInMethod,
    details: Details | None = None,
) -> GrantModel:
    """The tokens of a new sign-in, recorded. Needs the system's transaction."""
    grant = await begin_sign_in(services, tx, account, device, method)
    by, target = of_user(origin, account.user.id), Target("user", str(account.user.id))
    await Audit(tx).append(account.tenant.id, by, Action.USER_LOGIN, target, details)
    return grant


async def count_guess(services: GatewayServices, client: str, user_id: UserId, proof: ProofBody) -> None:
    """Raises RateLimited. See the rule for why recovery codes are not counted together."""
    subjects = {"address+account": f"{client}|{user_id}"}
    if proof.code is not None:
        subjects["account"] = str(user_id)
    await services.limits.require(Kind.SECOND_FACTOR, subjects, "Too many codes; try again in a minute.")


async def proves(services: GatewayServices, tx: Transaction, user_id: UserId, proof: ProofBody) -> bool:
    """Whether it is a code of this person's second factor, which it then uses up. Needs the system's transaction.

    Raises Unavailable where the secret cannot be opened any more; a recovery code works even then.
    """
    factors = SecondFactors(tx)
    factor = await factors.find(user_id)
    if factor is None or not factor.confirmed:
        return False
    if proof.recovery_code is not None:
        return await factors.use_recovery_code(user_id, hash_recovery_code(user_id, proof.recovery_code))
    step = matching_step(opened(services, factor.secret, user_id), proof.code or "")
    return step is not None and await factors.use_step(user_id, step)


def opened(services: GatewayServices, sealed: bytes, user_id: UserId) -> str:
    """The secret of an authenticator app, in base32. Raises Unavailable."""
    try:
        return services.user_secrets.open(sealed, user_id, PURPOSE).decode()
    except ValueError as error:
        log.error("mfa.secret_does_not_open", user_id=str(user_id))
        raise Unavailable("Codes of the app cannot be checked at the moment; use a recovery code.") from error


async def record(
    tx: Transaction,
    tenant_id: TenantId,
    user_id: UserId,
    origin: Origin,
    action: Action,
    details: Details | None = None,
) -> None:
    """Something about somebody's second factor; `origin` says who did it."""
    await Audit(tx).append(tenant_id, origin, action, Target("user", str(user_id)), details)
