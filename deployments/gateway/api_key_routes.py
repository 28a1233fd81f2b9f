"""API keys: made, listed, rotated and revoked by people, never by a key."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import AfterValidator, BaseModel, Field

from deployments.gateway.models import Body, Name
from deployments.gateway.origin import CurrentOrigin
from deployments.gateway.principal import require
from deployments.gateway.services import Services
from domain.api_key import new_api_key
from domain.audit import Action, Details, Target
from domain.errors import NotFound
from domain.ids import ApiKeyId
from domain.permissions import KEY_PERMISSIONS, Permission, check
from domain.tenancy import Principal
from storage.postgres.api_keys import ApiKeys, StoredKey
from storage.postgres.audit import Audit
from storage.postgres.database import tenant_tx
from storage.redis.access import announce_end

router = APIRouter(tags=["API keys"])

KeyMaker = Annotated[Principal, require(Permission.API_KEYS_MANAGE)]


def _for_keys(permission: Permission) -> Permission:
    if permission not in KEY_PERMISSIONS:
        raise ValueError(f"no key is for {permission.value!r}")
    return permission


class ApiKeyBody(Body):
    name: Name
    scopes: list[Annotated[Permission, AfterValidator(_for_keys)]] = Field(
        min_length=1, max_length=len(Permission), description="The permissions that the key is for."
    )
    expires_in_days: int | None = Field(None, ge=1, le=3_650, description="It lives until it is revoked without this.")


class RotationBody(Body):
    grace_hours: int = Field(24, ge=0, le=72, description="How long the present secret stays good.")


class ApiKeyModel(BaseModel):
    id: UUID
    name: str
    prefix: str = Field(description="What the key begins with.")
    scopes: list[str]
    created_by: UUID
    created_at: datetime
    rotated_at: datetime | None
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")
    previous_until: datetime | None = Field(description="Until when the secret before the last rotation is good.")

    @classmethod
    def of(cls, key: StoredKey) -> Self:
        return cls(**{**asdict(key), "prefix": f"lq_live_{key.prefix}"})


class NewApiKeyModel(ApiKeyModel):
    key: str = Field(description="The whole key; it is shown this once.")

    @classmethod
    def with_key(cls, stored: StoredKey, key: str) -> Self:
        return cls(**ApiKeyModel.of(stored).model_dump(), key=key)


class ApiKeyList(BaseModel):
    items: list[ApiKeyModel]


@router.post("/api-keys", status_code=201)
async def create_api_key(
    body: ApiKeyBody, services: Services, principal: KeyMaker, origin: CurrentOrigin
) -> NewApiKeyModel:
    """A key that acts for who made it: it may do what it is for, as long as they may."""
    scopes = sorted(set(body.scopes))
    for scope in scopes:
        check(principal.role, scope)
    text, key = new_api_key()
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        stored = await ApiKeys(tx).insert(
            principal.tenant_id, principal.user_id, body.name, [*scopes], key, body.expires_in_days
        )
        target = Target("api_key", str(stored.id))
        details: Details = {"name": stored.name, "prefix": stored.prefix, "scopes": stored.scopes}
        await Audit(tx).append(principal.tenant_id, origin, Action.API_KEY_CREATE, target, details)
    return NewApiKeyModel.with_key(stored, text)


@router.get("/api-keys")
async def list_api_keys(services: Services, principal: KeyMaker) -> ApiKeyList:
    """All that are not revoked, newest first."""
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        found = await ApiKeys(tx).list_all(principal.tenant_id)
    return ApiKeyList(items=[ApiKeyModel.of(key) for key in found])


@router.post("/api-keys/{api_key_id}/rotate")
async def rotate_api_key(
    api_key_id: UUID,
    services: Services,
    principal: KeyMaker,
    origin: CurrentOrigin,
    body: RotationBody | None = None,
) -> NewApiKeyModel:
    """Another secret for the same key, by who made it; the present one stays good for the grace, an earlier one ends.

    Somebody else would take over what they may not do themselves, and revokes it instead.
    """
    grace_hours = (body or RotationBody()).grace_hours
    text, key = new_api_key()
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        keys = ApiKeys(tx)
        present = await keys.lock(principal.tenant_id, ApiKeyId(api_key_id))
        if present.created_by != principal.user_id:
            raise NotFound("You have no such key; only who made a key rotates it.")
        stored = await keys.rotate(principal.tenant_id, present.id, key, grace_hours)
        target = Target("api_key", str(stored.id))
        details: Details = {"prefix": stored.prefix, "grace_hours": grace_hours}
        await Audit(tx).append(principal.tenant_id, origin, Action.API_KEY_ROTATE, target, details)
    return NewApiKeyModel.with_key(stored, text)


@router.delete("/api-keys/{api_key_id}", status_code=204)
async def revoke_api_key(api_key_id: UUID, services: Services, principal: KeyMaker, origin: CurrentOrigin) -> Response:
    """It stops at once, and its sockets close within seconds."""
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        name = await ApiKeys(tx).revoke(principal.tenant_id, ApiKeyId(api_key_id))
        target = Target("api_key", str(api_key_id))
        await Audit(tx).append(principal.tenant_id, origin, Action.API_KEY_REVOKE, target, {"name": name})
    await announce_end(services.redis, principal.tenant_id, api_key_id=ApiKeyId(api_key_id))
    return Response(status_code=204)
