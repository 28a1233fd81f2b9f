"""Log-in through an identity provider: there, back, and the exchange of a one-time code for tokens."""

import re
import secrets
from typing import Annotated
from uuid import UUID

import structlog
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import AfterValidator, BaseModel, Field

from deployments.gateway.device import CurrentDevice
from deployments.gateway.mfa_models import MfaChallengeModel
from deployments.gateway.models import Body, GrantModel, Opaque
from deployments.gateway.oidc.account_choice import account_for, link
from deployments.gateway.oidc.flow_cookie import FlowCookie, flow_name
from deployments.gateway.oidc.id_token import Identity
from deployments.gateway.oidc.provider import OidcProvider
from deployments.gateway.oidc.refusals import IdentityInvalid, ProviderRefused
from deployments.gateway.origin import AnonymousOrigin, CurrentOrigin
from deployments.gateway.principal import PUBLIC, CurrentPrincipal
from deployments.gateway.second_factor import after_first_factor
from deployments.gateway.services import GatewayServices, Services
from domain.audit import Action, Origin, Target
from domain.errors import AppError, InvalidInput, NotAuthenticated, NotFound
from domain.ids import TenantId, UserId
from domain.tenancy import SignInMethod
from storage.postgres.accounts import Accounts
from storage.postgres.audit import Audit
from storage.postgres.database import system_tx
from storage.postgres.identities import Identities
from storage.redis.sign_in_flows import Arrival, Flow, SignInFlows, digest

log = structlog.get_logger()
router = APIRouter(tags=["accounts"])

# A path of ours: `//host`, `/\host` and whatever a browser would clean up into them lead elsewhere.
_PATH = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@%?-][A-Za-z0-9._~!$&'()*+,;=:@%?/-]*)?")
_EXPIRED = "This sign-in has expired, or was begun in another browser; begin again."


def _own_path(path: str) -> str:
    if not _PATH.fullmatch(path):
        raise ValueError("must be a path of this site")
    return path


ReturnTo = Annotated[str, AfterValidator(_own_path), Field(max_length=512)]
Given = Annotated[str | None, Query(max_length=4_096)]


class ProviderModel(BaseModel):
    name: str
    label: str


class ProviderList(BaseModel):
    items: list[ProviderModel]


class LinkBody(Body):
    return_to: ReturnTo = "/"


class LinkModel(BaseModel):
    url: str = Field(description="Where the browser goes to sign in at the provider.")


class FinishBody(Body):
    code: Opaque


@router.get("/auth/oidc", openapi_extra=PUBLIC)
async def list_providers(services: Services) -> ProviderList:
    return ProviderList(
        items=[ProviderModel(name=table.name, label=table.label) for table in services.identity.tables()]
    )


@router.get("/auth/oidc/{provider}/start", openapi_extra=PUBLIC, response_class=RedirectResponse, status_code=303)
async def start(provider: str, services: Services, return_to: ReturnTo = "/") -> Response:
    """Send the browser to the provider."""
    url, flow, secret = await _begin(services, _provider(services, provider), return_to)
    response = RedirectResponse(url, 303)
    _cookie(services).set(response, flow, secret)
    return response


@router.post("/auth/oidc/{provider}/link")
async def begin_link(
    provider: str, body: LinkBody, services: Services, principal: CurrentPrincipal, response: Response
) -> LinkModel:
    """Let whoever is signed in add an identity of the provider to their account."""
    found = _provider(services, provider)
    who = (principal.user_id, principal.tenant_id)
    url, flow, secret = await _begin(services, found, body.return_to, who)
    _cookie(services).set(response, flow, secret)
    return LinkModel(url=url)


@router.delete("/auth/oidc/{provider}/link", status_code=204)
async def unlink(provider: str, services: Services, principal: CurrentPrincipal, origin: CurrentOrigin) -> Response:
    """The identity signs in no more; the password and its reset still do."""
    found = _provider(services, provider)
    async with system_tx(services.db) as tx:
        if not await Identities(tx).unlink(found.table.issuer, principal.user_id):
            raise NotFound("Your account has no identity of this provider.")
        target, details = Target("user", str(principal.user_id)), {"provider": provider}
        await Audit(tx).append(principal.tenant_id, origin, Action.IDENTITY_UNLINK, target, details)
    return Response(status_code=204)


@router.get("/auth/oidc/{provider}/callback", openapi_extra=PUBLIC, response_class=RedirectResponse, status_code=303)
async def callback(
    provider: str,
    request: Request,
    services: Services,
    origin: AnonymousOrigin,
    state: Given = None,
    code: Given = None,
    error: Given = None,
    iss: Given = None,
) -> Response:
    """Where the provider sends the browser back to. The page finds in the fragment a code for `POST /auth/oidc/finish`
    as `oidc`, or as `sign-in-error` why not, or as `linked` the provider whose identity was added."""
    found = _provider(services, provider)
    if not state:
        raise InvalidInput("The state is missing; begin again.")
    # Taken before anything is looked at: it counts once, whoever brings it.
    flow = await SignInFlows(services.redis).take_flow(state)
    cookie, name = _cookie(services), flow_name(state)
    if (
        flow is None
        or flow.provider != provider
        or not secrets.compare_digest(flow.browser, cookie.read(request, name))
    ):
        raise InvalidInput(_EXPIRED)
    try:
        await found.check_issuer(iss)
        if error is not None or not code:
            log.info("oidc.refused", provider=provider, error=(error or "")[:60])
            raise ProviderRefused
        identity = await found.identity_for(code, flow)
        told = await _arrive(services, found, flow, name, identity, origin)
    except AppError as refusal:
        log.info("oidc.not_signed_in", provider=provider, code=refusal.code)
        told = f"sign-in-error={refusal.code}"
    response = RedirectResponse(f"{services.settings.page_url}{flow.return_to}#{told}", 303)
    if not told.startswith("oidc="):
        cookie.clear(response, name)
    return response


@router.post("/auth/oidc/finish", openapi_extra=PUBLIC)
async def finish(
    body: FinishBody,
    request: Request,
    response: Response,
    services: Services,
    origin: AnonymousOrigin,
    device: CurrentDevice,
) -> GrantModel | MfaChallengeModel:
    """The tokens for the code, once, in the browser that began; or a challenge, as a log-in with a password gives."""
    arrival = await SignInFlows(services.redis).take_arrival(body.code)
    cookie = _cookie(services)
    if arrival is None or not secrets.compare_digest(arrival.browser, cookie.read(request, arrival.flow)):
        raise NotAuthenticated(_EXPIRED)
    cookie.clear(response, arrival.flow)
    async with system_tx(services.db) as tx:
        account = await Accounts(tx).find(UserId(UUID(arrival.user_id)), TenantId(UUID(arrival.tenant_id)))
        if account is None:
            raise NotAuthenticated(_EXPIRED)
        details = {"provider": arrival.provider}
        return await after_first_factor(services, tx, account, origin, device, SignInMethod.OIDC, details)


def _provider(services: GatewayServices, name: str) -> OidcProvider:
    found = services.identity.find(name)
    if found is None:
        raise NotFound("There is no such identity provider.")
    return found


def _cookie(services: GatewayServices) -> FlowCookie:
    return FlowCookie(services.settings.page_url)


async def _begin(
    services: GatewayServices, provider: OidcProvider, return_to: str, who: tuple[UserId, TenantId] | None = None
) -> tuple[str, str, str]:
    """Where to go, and the name and the value of the flow's cookie. Raises Unavailable."""
    state, nonce, verifier, browser = (secrets.token_urlsafe(32) for _ in range(4))
    url = await provider.log_in_url(state, nonce, verifier)
    user_id, tenant_id = map(str, who) if who else (None, None)
    flow = Flow(provider.table.name, digest(browser), nonce, verifier, return_to, user_id, tenant_id)
    await SignInFlows(services.redis).begin(state, flow)
    return url, flow_name(state), browser


async def _arrive(
    services: GatewayServices, provider: OidcProvider, flow: Flow, name: str, identity: Identity, origin: Origin
) -> str:
    """What the page is told about somebody whom the provider signed in. Raises AppError."""
    async with system_tx(services.db) as tx:
        if flow.user_id is not None and flow.tenant_id is not None:
            user_id, tenant_id = UserId(UUID(flow.user_id)), TenantId(UUID(flow.tenant_id))
            if await Accounts(tx).find(user_id, tenant_id) is None:
                raise IdentityInvalid
            await link(tx, tenant_id, user_id, provider.table, identity, origin)
            return f"linked={provider.table.name}"
        account = await account_for(services, tx, provider.table, identity, origin)
    code = secrets.token_urlsafe(32)
    arrival = Arrival(provider.table.name, name, flow.browser, str(account.user.id), str(account.tenant.id))
    await SignInFlows(services.redis).arrive(code, arrival)
    return f"oidc={code}"
