"""Erasure of a visitor and of the whole company, and every erasure's state and receipt."""

import hmac
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response

from deployments.gateway.erasure_models import (
    ErasureModel,
    ErasurePage,
    ReceiptKeyModel,
    TenantErasureBody,
    receipt_seal,
    requester_of,
)
from deployments.gateway.models import Limit
from deployments.gateway.origin import ChatterOrigin, Client, CurrentOrigin
from deployments.gateway.principal import PUBLIC, require, require_chatter
from deployments.gateway.rate_limits import Kind
from deployments.gateway.services import GatewayServices, Services
from domain.audit import Action, Target
from domain.erasure import ErasureKind
from domain.errors import Conflict, InvalidInput, NotFound
from domain.ids import ChatbotId, TenantId
from domain.permissions import Permission
from domain.tenancy import Chatter, Principal
from storage.postgres.accounts import Accounts
from storage.postgres.audit import Audit
from storage.postgres.database import system_tx, tenant_tx
from storage.postgres.erased_rows import ErasedTenant, erase
from storage.postgres.erasures import Erasures
from storage.receipts import ReceiptSigner, key_id_of

router = APIRouter(tags=["privacy"])

Eraser = Annotated[Principal, require(Permission.DATA_ERASE)]
ErasingChatter = Annotated[Chatter, require_chatter(Permission.DATA_ERASE)]
Owner = Annotated[Principal, require(Permission.TENANT_ERASE)]


@router.delete("/chatbots/{chatbot_id}/visitors/{visitor_id}", status_code=202)
async def erase_visitor(
    chatbot_id: UUID, visitor_id: UUID, services: Services, chatter: ErasingChatter, origin: ChatterOrigin
) -> ErasureModel:
    """The visitor goes with every session and message, everywhere; visitors erase themselves."""
    if chatter.visitor_id not in (None, visitor_id):
        raise NotFound("There is no such visitor.")
    tenant_id, bot = chatter.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        erasure = await erase(tx, tenant_id, ErasureKind.VISITOR, visitor_id, requester_of(origin), bot)
        target, details = Target("visitor", str(visitor_id)), {"chatbot_id": str(bot), "erasure_id": str(erasure.id)}
        await Audit(tx).append(tenant_id, origin, Action.VISITOR_ERASE, target, details)
    return ErasureModel.of(erasure, services.settings)


@router.post("/tenant/erasure", status_code=202)
async def erase_tenant(
    body: TenantErasureBody, services: Services, owner: Owner, origin: CurrentOrigin, client: Client
) -> ErasureModel:
    """The company goes with everything, after the grace period; what law and billing keep is in the receipt.

    Needs the owner's password and the company's name again.
    """
    tenant_id = owner.tenant_id
    subject = {"address+account": f"{client}|{owner.user_id}"}
    await services.limits.require(Kind.ACCOUNT, subject, "Too many attempts; try again in a minute.")
    async with system_tx(services.db) as tx:
        account = await Accounts(tx).find(owner.user_id, tenant_id)
    if account is None:
        raise NotFound("There is no such company.")
    if not await services.passwords.verify(account.password_hash, body.password):
        raise InvalidInput("The password is wrong.")
    if not hmac.compare_digest(body.name.encode(), account.tenant.name.encode()):
        raise InvalidInput("The name is not the company's.")
    async with system_tx(services.db) as tx:
        await ErasedTenant(tx, tenant_id).lock()
        erasure = await Erasures(tx).request(
            tenant_id,
            ErasureKind.TENANT,
            tenant_id,
            requester_of(origin),
            grace_seconds=services.settings.tenant_erasure_grace_seconds,
        )
        target, details = Target("tenant", str(tenant_id)), {"erasure_id": str(erasure.id)}
        await Audit(tx).append(tenant_id, origin, Action.TENANT_ERASE, target, details)
    return ErasureModel.of(erasure, services.settings)


@router.delete("/tenant/erasure", status_code=204)
async def keep_tenant(services: Services, owner: Owner, origin: CurrentOrigin) -> Response:
    """Take the company's erasure back, as long as its grace period lasts."""
    tenant_id = owner.tenant_id
    async with tenant_tx(services.db, tenant_id) as tx:
        erasures = Erasures(tx)
        cancelled = await erasures.cancel(tenant_id, ErasureKind.TENANT)
        if cancelled is None:
            if await erasures.open_one(tenant_id, ErasureKind.TENANT, tenant_id):
                raise Conflict("The erasure has begun and cannot be taken back.")
            raise NotFound("The company is not being erased.")
        target, details = Target("tenant", str(tenant_id)), {"erasure_id": str(cancelled)}
        await Audit(tx).append(tenant_id, origin, Action.TENANT_ERASE_CANCEL, target, details)
    return Response(status_code=204)


@router.get("/erasures")
async def list_erasures(
    services: Services, principal: Eraser, limit: Limit = 50, cursor: UUID | None = None
) -> ErasurePage:
    """Newest first."""
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        found = await Erasures(tx).list_page(principal.tenant_id, limit + 1, cursor)
    more = str(found[limit - 1].id) if len(found) > limit else None
    items = [ErasureModel.of(erasure, services.settings) for erasure in found[:limit]]
    return ErasurePage(items=items, next_cursor=more)


@router.get("/erasures/receipt-key", openapi_extra=PUBLIC)
async def get_receipt_key(services: Services) -> ReceiptKeyModel:
    """What everybody verifies receipts with. Public: needs no token."""
    key = ReceiptSigner(services.settings.secret_key.get_secret_value()).public_key
    return ReceiptKeyModel(key_id=key_id_of(key), public_key=key.hex())


@router.get("/erasures/{erasure_id}")
async def get_erasure(erasure_id: UUID, services: Services, principal: Eraser) -> ErasureModel:
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        return ErasureModel.of(await Erasures(tx).get(principal.tenant_id, erasure_id), services.settings)


@router.get("/erasures/{erasure_id}/receipt", response_class=Response)
async def get_receipt(erasure_id: UUID, services: Services, principal: Eraser) -> Response:
    """The signed receipt of an erasure that is done."""
    return await _receipt(services, principal.tenant_id, erasure_id)


@router.get("/receipts/{tenant_id}/{erasure_id}/{seal}", response_class=Response, openapi_extra=PUBLIC)
async def get_receipt_by_link(tenant_id: UUID, erasure_id: UUID, seal: str, services: Services) -> Response:
    """The receipt for who was erased and cannot sign in any more: the answer to their request named this address.

    Public: the seal in the address is the proof.
    """
    if not hmac.compare_digest(seal.encode(), receipt_seal(services.settings, tenant_id, erasure_id).encode()):
        raise NotFound("There is no such receipt.")
    return await _receipt(services, TenantId(tenant_id), erasure_id)


async def _receipt(services: GatewayServices, tenant_id: TenantId, erasure_id: UUID) -> Response:
    async with tenant_tx(services.db, tenant_id) as tx:
        erasure = await Erasures(tx).get(tenant_id, erasure_id)
    if erasure.receipt is None:
        raise NotFound("The erasure is not done, so there is no receipt yet.")
    return Response(erasure.receipt, media_type="application/json")
