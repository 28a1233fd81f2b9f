"""The second factor: set up, answer the challenge of a log-in, renew recovery codes, remove."""

from fastapi import APIRouter, Response

from deployments.gateway.access_end import announce, end_access
from deployments.gateway.device import CurrentDevice
from deployments.gateway.mfa_models import (
    ConfirmBody,
    DisableBody,
    EnabledModel,
    MfaModel,
    ProofBody,
    RecoveryCodesModel,
    TotpModel,
    VerifyBody,
)
from deployments.gateway.models import GrantModel
from deployments.gateway.one_time_codes import (
    hash_recovery_code,
    matching_step,
    new_recovery_codes,
    new_secret,
    provisioning_uri,
)
from deployments.gateway.origin import AnonymousOrigin, Client, of_user
from deployments.gateway.principal import PUBLIC, EnrollingPrincipal
from deployments.gateway.second_factor import PURPOSE, count_guess, opened, proves, record, signed_in
from deployments.gateway.services import GatewayServices, Services
from domain.audit import Action, Origin
from domain.errors import Conflict, Forbidden, NotAuthenticated, NotFound, WrongCode
from domain.ids import UserId
from domain.tenancy import Principal, SignInMethod
from storage.postgres.accounts import Account, Accounts
from storage.postgres.database import Transaction, system_tx
from storage.postgres.second_factors import SecondFactors
from storage.redis.challenges import Challenges

router = APIRouter(tags=["accounts"])

_ISSUER = "Loquent"
_ENABLED = "There is a second factor already; remove it first."
_NONE_PENDING = "Begin to set up a second factor first."
_EXPIRED = "This sign-in has expired; begin again."


@router.get("/auth/mfa")
async def state_of_mfa(services: Services, principal: EnrollingPrincipal) -> MfaModel:
    async with system_tx(services.db) as tx:
        factors = SecondFactors(tx)
        factor = await factors.find(principal.user_id)
        enabled = factor is not None and factor.confirmed
        left = await factors.recovery_codes_left(principal.user_id)
        required = await factors.tenant_requires(principal.tenant_id)
    return MfaModel(enabled=enabled, required=required, recovery_codes_left=left)


@router.post("/auth/mfa/totp/begin")
async def begin(services: Services, principal: EnrollingPrincipal) -> TotpModel:
    """A secret for an authenticator app; it counts once a code of it was confirmed, within an hour."""
    secret = new_secret()
    sealed = services.user_secrets.seal(secret.encode(), principal.user_id, PURPOSE)
    async with system_tx(services.db) as tx:
        account = await _account(tx, principal)
        if not await SecondFactors(tx).begin(principal.user_id, sealed):
            raise Conflict(_ENABLED)
    return TotpModel(secret=secret, uri=provisioning_uri(secret, account.user.email, _ISSUER))


@router.post("/auth/mfa/totp/confirm")
async def confirm(
    body: ConfirmBody,
    services: Services,
    principal: EnrollingPrincipal,
    client: Client,
    origin: AnonymousOrigin,
    device: CurrentDevice,
) -> EnabledModel:
    """The app shows the right codes: from now on log-in asks for one. Every sign-in so far ends, for they were made
    without it; the answer has new tokens."""
    user_id = principal.user_id
    await count_guess(services, client, user_id, ProofBody(code=body.code))
    async with system_tx(services.db) as tx:
        factors = SecondFactors(tx)
        factor = await factors.find(user_id)
        if factor is None:
            raise NotFound(_NONE_PENDING)
        if factor.confirmed:
            raise Conflict(_ENABLED)
        step = matching_step(opened(services, factor.secret, user_id), body.code)
        if step is None:
            raise WrongCode
        if not await factors.confirm(user_id, factor.secret, step):
            raise Conflict(_ENABLED)
        codes = await _new_codes(tx, user_id)
        ended = await end_access(tx, user_id)
        account = await _account(tx, principal)
        grant = await signed_in(services, tx, account, origin, device, SignInMethod.PASSWORD)
        await record(tx, principal.tenant_id, user_id, of_user(origin, user_id), Action.MFA_ENABLE)
    await announce(services, ended)
    return EnabledModel(recovery_codes=codes, grant=grant)


@router.post("/auth/mfa/verify", openapi_extra=PUBLIC)
async def verify(
    body: VerifyBody, services: Services, client: Client, origin: AnonymousOrigin, device: CurrentDevice
) -> GrantModel:
    """The second step of a log-in. A challenge can be answered once, and dies after five wrong codes."""
    challenge = services.tokens.verify_challenge(body.challenge)
    await count_guess(services, client, challenge.user_id, body)
    challenges = Challenges(services.redis)
    if not await challenges.take_attempt(challenge.id):
        raise NotAuthenticated(_EXPIRED)
    grant = None
    async with system_tx(services.db) as tx:
        account = await Accounts(tx).find(challenge.user_id, challenge.tenant_id)
        if account is None:
            raise NotAuthenticated(_EXPIRED)
        if await proves(services, tx, challenge.user_id, body):
            if not await challenges.claim(challenge.id):
                raise NotAuthenticated(_EXPIRED)
            by = of_user(origin, challenge.user_id)
            await _note_recovery(tx, account, by, body)
            grant = await signed_in(services, tx, account, origin, device, challenge.method, {"mfa": True})
        else:
            await record(tx, challenge.tenant_id, challenge.user_id, origin, Action.MFA_REFUSED)
    if grant is None:
        raise WrongCode
    return grant


@router.post("/auth/mfa/recovery-codes")
async def renew_recovery_codes(
    body: ConfirmBody, services: Services, principal: EnrollingPrincipal, client: Client, origin: AnonymousOrigin
) -> RecoveryCodesModel:
    """Ten new ones; the old ones stop working."""
    codes: list[str] = []
    proof = ProofBody(code=body.code)
    await count_guess(services, client, principal.user_id, proof)
    async with system_tx(services.db) as tx:
        by = of_user(origin, principal.user_id)
        right = await proves(services, tx, principal.user_id, proof)
        if right:
            codes = await _new_codes(tx, principal.user_id)
        action = Action.RECOVERY_CODES_RENEW if right else Action.MFA_REFUSED
        await record(tx, principal.tenant_id, principal.user_id, by, action)
    if not right:
        raise WrongCode
    return RecoveryCodesModel(recovery_codes=codes)


@router.delete("/auth/mfa", status_code=204)
async def disable(
    body: DisableBody, services: Services, principal: EnrollingPrincipal, client: Client, origin: AnonymousOrigin
) -> Response:
    """Needs the password and a fresh code, or a recovery code: whoever finds an open page cannot remove it."""
    await count_guess(services, client, principal.user_id, body)
    await _check_password(services, principal, body.password, origin)
    async with system_tx(services.db) as tx:
        by = of_user(origin, principal.user_id)
        account = await _account(tx, principal)
        right = await proves(services, tx, principal.user_id, body)
        if right:
            await SecondFactors(tx).delete(principal.user_id)
            await _note_recovery(tx, account, by, body)
        action = Action.MFA_DISABLE if right else Action.MFA_REFUSED
        await record(tx, principal.tenant_id, principal.user_id, by, action)
    if not right:
        raise WrongCode
    return Response(status_code=204)


async def _check_password(services: GatewayServices, principal: Principal, password: str, origin: Origin) -> None:
    """Raises Forbidden, and records it, for a wrong one."""
    async with system_tx(services.db) as tx:
        account = await _account(tx, principal)
    if await services.passwords.verify(account.password_hash, password):
        return
    async with system_tx(services.db) as tx:
        by = of_user(origin, principal.user_id)
        await record(tx, principal.tenant_id, principal.user_id, by, Action.MFA_REFUSED, {"password": True})
    raise Forbidden("The password is wrong.")


async def _account(tx: Transaction, principal: Principal) -> Account:
    account = await Accounts(tx).find(principal.user_id, principal.tenant_id)
    if account is None:
        raise NotAuthenticated("This account no longer exists.")
    return account


async def _new_codes(tx: Transaction, user_id: UserId) -> list[str]:
    codes = new_recovery_codes()
    await SecondFactors(tx).replace_recovery_codes(user_id, [hash_recovery_code(user_id, code) for code in codes])
    return codes


async def _note_recovery(tx: Transaction, account: Account, by: Origin, proof: ProofBody) -> None:
    """Record that a recovery code was used up, and how many are left."""
    if proof.recovery_code is None:
        return
    left = await SecondFactors(tx).recovery_codes_left(account.user.id)
    await record(tx, account.tenant.id, account.user.id, by, Action.RECOVERY_CODE_USE, {"left": left})
