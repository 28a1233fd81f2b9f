"""Every operation of the OpenAPI document × every role × {own tenant, another's}, visitors and nobody."""

from typing import Any
from uuid import UUID, uuid4

from jose.jwt import get_unverified_claims

from domain.api_key import new_api_key
from domain.ids import ApiKeyId, SignInId, TenantId, TurnId, UserId, new_uuid
from domain.permissions import KEY_PERMISSIONS, PERMISSIONS, Permission
from domain.staff import STAFF_PERMISSIONS, StaffPermission, StaffRole
from domain.tenancy import Principal, Role
from domain.trace import TraceDetail, TurnTrace
from storage.postgres.api_keys import ApiKeys
from storage.postgres.database import system_tx, tenant_tx
from storage.postgres.traces import Traces
from tests.fixtures.gateway import Chat, GatewayRig, SocketRig, signed_token
from tests.fixtures.stored_turns import store_turn, tenant_id_of

BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("post", "/api-keys"): {"json": {"name": "Key", "scopes": ["chatbots.read"]}},
    ("post", "/chatbots"): {"json": {"name": "Other"}},
    ("put", "/chatbots/{chatbot_id}/config"): {"json": {}},
    ("put", "/chatbots/{chatbot_id}/draft"): {"json": {}},
    ("post", "/chatbots/{chatbot_id}/publish"): {"json": {}},
    ("put", "/chatbots/{chatbot_id}/publish-gate"): {
        "json": {"question_set_id": str(UUID(int=9)), "rules": [{"metric": "mrr", "least": 0}]}
    },
    ("post", "/chatbots/{chatbot_id}/question-sets"): {"json": {"name": "Set"}},
    ("post", "/chatbots/{chatbot_id}/question-sets/{question_set_id}/questions"): {
        "json": {"questions": [{"question": "How long?"}]}
    },
    ("post", "/chatbots/{chatbot_id}/question-sets/{question_set_id}/upload"): {
        "files": {"files": ("a.jsonl", b'{"question": "How long?"}', "text/plain")}
    },
    ("post", "/chatbots/{chatbot_id}/question-sets/{question_set_id}/draw"): {"json": {}},
    ("post", "/chatbots/{chatbot_id}/evaluations"): {"json": {"question_set_id": str(UUID(int=9))}},
    ("get", "/chatbots/{chatbot_id}/evaluations/compare"): {"params": {"a": str(UUID(int=9)), "b": str(UUID(int=9))}},
    ("patch", "/chatbots/{chatbot_id}/sessions/{session_id}"): {"json": {"title": "New"}},
    ("post", "/chatbots/{chatbot_id}/sessions/{session_id}/messages"): {"json": {"text": "How long?"}},
    ("put", "/chatbots/{chatbot_id}/sessions/{session_id}/messages/{message_id}/feedback"): {"json": {"rating": "up"}},
    ("post", "/knowledgebase/{chatbot_id}/upload"): {"files": {"files": ("a.txt", b"Twelve months.", "text/plain")}},
    ("post", "/knowledgebase/{chatbot_id}/hashes"): {"json": {"hashes": ["0" * 64]}},
    ("post", "/knowledgebase/{chatbot_id}/jobs"): {"json": {"source": {"kind": "upload"}}},
    ("post", "/knowledgebase/{chatbot_id}/fetch"): {"json": {"url": "http://10.0.0.1/"}},
    ("post", "/knowledgebase/{chatbot_id}/reembed"): {"json": {}},
    ("patch", "/knowledgebase/{chatbot_id}/documents/{document_id}"): {"json": {"name": "b.txt"}},
    ("post", "/knowledgebase/{chatbot_id}/chunk-preview"): {"json": {"text": "Twelve months."}},
    ("post", "/knowledgebase/{chatbot_id}/chunk-preview/file"): {"files": {"files": ("a.txt", b"Twelve months.")}},
    ("get", "/knowledgebase/{chatbot_id}/documents/{document_id}/passage"): {"params": {"start": 0, "end": 1}},
    ("post", "/chatbots/{chatbot_id}/retrieve"): {"json": {"question": "How long?"}},
    ("post", "/chatbots/{chatbot_id}/prompt-preview"): {"json": {"question": "How long?"}},
    ("patch", "/tenant/security"): {"json": {"require_mfa": False}},
    ("post", "/auth/oidc/{provider}/link"): {"json": {}},
    ("post", "/reviews/{review_id}/approve"): {"json": {}},
    ("post", "/reviews/{review_id}/reject"): {"json": {}},
    ("post", "/subscriptions"): {"json": {"plan": "pro"}},
    ("post", "/chatbots/{chatbot_id}/visitors/{visitor_id}/consent"): {"json": {"policy_version": "1"}},
    ("post", "/tenant/erasure"): {"json": {"password": "wrong", "name": "wrong"}},
    ("patch", "/members/{user_id}"): {"json": {"role": "analyst"}},
    ("post", "/invitations"): {"json": {"email": "new@example.com", "role": "editor"}},
    ("post", "/auth/switch"): {"json": {"tenant_id": "00000000-0000-7000-8000-000000000000"}},
    ("post", "/tenants"): {"json": {"company": "Another"}},
    ("post", "/auth/password/change"): {"json": {"old_password": "wrong", "password": "correct horse battery"}},
    ("post", "/platform/tenants/{tenant_id}/suspend"): {"json": {"reason": "Unpaid"}},
}
"""What an operation needs to get as far as its permission and its ids."""
SEED = (
    "insert into chatbots (tenant_id, id, name) values (%(tenant)s, %(bot)s, 'Bot')",
    "insert into chatbot_configs (tenant_id, chatbot_id, version, config) values (%(tenant)s, %(bot)s, 1, '{}')",
    """insert into documents (tenant_id, id, chatbot_id, name, media_type, size, content_hash)
    values (%(tenant)s, %(document)s, %(bot)s, 'a.txt', 'text/plain', 1, 'x')""",
    """insert into ingestion_jobs (tenant_id, id, chatbot_id, kind, state, requested_by, sealed_at, ended_at)
    values (%(tenant)s, %(job)s, %(bot)s, 'upload', 'completed', 'user:x', now(), now())""",
    "insert into visitors (tenant_id, id, chatbot_id) values (%(tenant)s, %(visitor)s, %(bot)s)",
    """insert into sessions (tenant_id, id, chatbot_id, visitor_id)
    values (%(tenant)s, %(session)s, %(bot)s, %(visitor)s)""",
    """insert into erasures (tenant_id, id, kind, subject, requested_by, state, receipt)
    values (%(tenant)s, %(erasure)s, 'session', %(erasure)s, 'user:x', 'done', '{}')""",
    """insert into exports (tenant_id, id, kind, subject, requested_by, state)
    values (%(tenant)s, %(export)s, 'visitor', %(visitor)s, 'user:x', 'done')""",
    "insert into users (id, email, password_hash) values (%(user)s, %(user)s::text || '@example.com', 'x')",
    "insert into memberships (tenant_id, user_id, role) values (%(tenant)s, %(user)s, 'editor')",
    "insert into chatbot_drafts (tenant_id, chatbot_id, base_version, config) values (%(tenant)s, %(bot)s, 1, '{}')",
    """insert into question_sets (tenant_id, id, chatbot_id, name)
    values (%(tenant)s, %(question_set)s, %(bot)s, 'Set')""",
    """insert into evaluation_questions (tenant_id, id, question_set_id, source, answerable, sealed)
    values (%(tenant)s, %(question)s, %(question_set)s, 'upload', true, 'x')""",
    """insert into evaluations (tenant_id, id, chatbot_id, question_set_id, revision, mode, config, knowledge,
                             questions, requested_by)
    values (%(tenant)s, %(evaluation)s, %(bot)s, %(question_set)s, 1, 'retrieval', '{}', '', 1, 'u')""",
    """insert into invitations (tenant_id, id, email, role, expires_at)
    values (%(tenant)s, %(invitation)s, %(user)s::text || '@example.org', 'editor', now() + interval '1 day')""",
)

REVIEW = """insert into reviews (tenant_id, id, chatbot_id, session_id, turn_id, message_id, place, check_name,
                                    outcome, score)
    select tenant_id, %(id)s, chatbot_id, session_id, id, user_message_id, 'input', 'injection', 'flagged', 0.8
    from turns where tenant_id = %(tenant)s and id = %(turn)s"""


async def world(rig: GatewayRig, chat: Chat) -> dict[str, str]:
    """New targets in the chat's tenant, by the names that paths use."""
    names = (
        "bot",
        "document",
        "job",
        "session",
        "visitor",
        "user",
        "invitation",
        "erasure",
        "export",
        "question_set",
        "question",
        "evaluation",
    )
    ids = {name: new_uuid() for name in names}
    async with system_tx(rig.services.db) as tx:
        for statement in SEED:
            await tx.execute(statement.encode(), {**ids, "tenant": tenant_id_of(chat)})
    stored = await store_turn(rig, Chat(chat.tenant, str(ids["bot"]), str(ids["session"])), "How long?")
    assert stored.answer is not None
    owner = UserId(UUID(chat.tenant.grant["user"]["id"]))
    api_key_id, _ = await key_of(rig, tenant_id_of(chat), owner, ["chatbots.read"])
    token = await signed_token(rig, Principal(tenant_id_of(chat), owner, Role.OWNER))
    review = new_uuid()
    async with tenant_tx(rig.services.db, tenant_id_of(chat)) as tx:
        await tx.execute(REVIEW.encode(), {**ids, "tenant": tenant_id_of(chat), "id": review, "turn": stored.turn})
        trace = TurnTrace().record(TraceDetail.FULL, ())
        await Traces(tx, tenant_id_of(chat)).add(TurnId(UUID(stored.turn)), trace, 30)
    return {
        "review_id": str(review),
        **{f"{name}_id": str(value) for name, value in ids.items()},
        "erasure_id": str(ids["erasure"]),
        "export_id": str(ids["export"]),
        "seal": "unknown",
        "position": "1",
        "api_key_id": str(api_key_id),
        "sign_in_id": get_unverified_claims(token)["sid"],
        "chatbot_id": str(ids["bot"]),
        "tenant_id": str(tenant_id_of(chat)),
        "turn_id": stored.turn,
        "message_id": stored.answer,
        "provider": "none",
        "generation": "1",
        "version": "1",
    }


async def person(rig: GatewayRig, tenant: TenantId, role: Role) -> str:
    """A member's token. It claims to be an owner: only the role in the database may count."""
    user = UserId(new_uuid())
    async with system_tx(rig.services.db) as tx:
        await tx.execute("insert into users (id, email, password_hash) values (%s, %s, 'x')", [user, f"{user}@a.com"])
        await tx.execute(
            "insert into memberships (tenant_id, user_id, role) values (%s, %s, %s)", [tenant, user, role.value]
        )
    return await signed_token(rig, Principal(tenant, user, Role.OWNER))


async def key_of(
    rig: GatewayRig, tenant: TenantId, creator: UserId, scopes: list[str], days: int | None = None
) -> tuple[ApiKeyId, str]:
    text, key = new_api_key()
    async with tenant_tx(rig.services.db, tenant) as tx:
        stored = await ApiKeys(tx).insert(tenant, creator, "Key", scopes, key, days)
    return stored.id, text


async def staff(rig: GatewayRig, tenant: TenantId, role: StaffRole) -> str:
    """The token of one of the platform's staff, who in this tenant sees to the bills."""
    token = await person(rig, tenant, Role.BILLING)
    async with system_tx(rig.services.db) as tx:
        user = rig.services.tokens.verify(token).principal.user_id
        await tx.execute("insert into staff (user_id, role) values (%s, %s)", [user, role.value])
    return token


async def other_tenant(rig: GatewayRig) -> Chat:
    tenant = await rig.register()
    return Chat(tenant, "", "")


async def test_every_operation_for_everybody(rig: GatewayRig, chat: Chat) -> None:
    rig.services.tokens.lifetime_seconds = 3_600
    document = (await rig.http.get("/openapi.json")).json()
    operations = [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    assert len(operations) > 30
    theirs_chat = await other_tenant(rig)
    tenant = tenant_id_of(chat)
    tokens: dict[Role | StaffRole, str] = {role: await person(rig, tenant, role) for role in Role}
    tokens |= {role: await staff(rig, tenant, role) for role in StaffRole}
    owner = UserId(UUID(chat.tenant.grant["user"]["id"]))
    full, little = sorted(KEY_PERMISSIONS), [Permission.FEEDBACK_READ]
    keys = {
        "full key": (set(full), (await key_of(rig, tenant, owner, [*full]))[1]),
        "little key": (set(little), (await key_of(rig, tenant, owner, [*little]))[1]),
    }
    own, theirs = await world(rig, chat), await world(rig, theirs_chat)
    combinations = 0
    wrong: list[str] = []
    for method, path, operation in operations:
        needed = operation.get("x-permission")
        assert needed in {*Permission, *StaffPermission, "public", "account"}, f"{method} {path} has no permission"
        visitors = operation.get("x-visitors", False)
        options = BODIES.get((method, path), {})
        for who in (*Role, *StaffRole, *keys, "visitor", None):
            for targets, mine in ((own, True), (theirs, False)):
                if not mine and ("{" not in path or needed == "public"):
                    continue
                url = path.format(**targets)
                if isinstance(who, Role):
                    token, allowed = tokens[who], needed == "account" or needed in PERMISSIONS[who]
                elif who in keys:
                    scopes, token = keys[who]
                    allowed = needed in scopes
                elif isinstance(who, StaffRole):
                    # In tenants they are what they are there, and nothing more.
                    granted = {"account", *PERMISSIONS[Role.BILLING], *STAFF_PERMISSIONS[who]}
                    token, allowed = tokens[who], needed in granted
                elif who:
                    bot, visitor = UUID(own["chatbot_id"]), UUID(own["visitor_id"])
                    token = rig.services.tokens.sign_visitor(tenant, bot, visitor)  # type: ignore[arg-type]
                    allowed = visitors
                else:
                    token, allowed = "", False
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                status = (await rig.http.request(method, url, headers=headers, **options)).status_code
                combinations += 1
                if allowed or needed == "public":
                    # Staff reach every tenant, and nobody else reaches another one.
                    good = (
                        status not in (401, 403) if mine else status == (204 if needed in {*StaffPermission} else 404)
                    )
                else:
                    good = status == (403 if isinstance(who, Role | StaffRole) or who in keys else 401)
                if not good:
                    wrong.append(f"{method} {path} by {who} {'own' if mine else 'other'}: {status}")
                if mine and method == "delete" and status < 300:
                    own = await world(rig, chat)
    print(f"{combinations} combinations of {len(operations)} operations")
    assert wrong == []


async def test_sockets_for_everybody(socket_rig: SocketRig, chat: Chat) -> None:
    rig = socket_rig.rig
    theirs = await other_tenant(rig)
    targets, foreign = await world(rig, chat), await world(rig, theirs)
    for role in Role:
        token = await person(rig, tenant_id_of(chat), role)
        allowed = Permission.CONVERSATIONS_REPLY in PERMISSIONS[role]
        for ids, code in ((targets, None if allowed else 4403), (foreign, 4404 if allowed else 4403)):
            async with await socket_rig.connect(ids["chatbot_id"], ids["session_id"]) as client:
                await client.send(type="auth", token=token)
                if code is None:
                    await client.expect("ready")
                else:
                    await client.expect("error")
                    assert await client.closed() == code, role


async def test_who_was_removed_is_out_at_once(rig: GatewayRig, chat: Chat) -> None:
    token = await person(rig, tenant_id_of(chat), Role.EDITOR)
    headers = {"Authorization": f"Bearer {token}"}
    assert (await rig.http.get("/chatbots", headers=headers)).status_code == 200
    async with system_tx(rig.services.db) as tx:
        await tx.execute("delete from memberships where tenant_id = %s and role = 'editor'", [tenant_id_of(chat)])
    assert (await rig.http.get("/chatbots", headers=headers)).status_code == 401
    nobody = Principal(tenant_id_of(chat), UserId(uuid4()), Role.OWNER, SignInId(uuid4()))
    stranger = rig.services.tokens.sign(nobody)
    assert (await rig.http.get("/chatbots", headers={"Authorization": f"Bearer {stranger}"})).status_code == 401
