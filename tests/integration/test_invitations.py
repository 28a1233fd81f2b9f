"""Invitations: the mailed link works once, for the address, and tells nobody who has an account."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from deployments.gateway.rate_limits import RULES, Kind, Rate, Rule
from domain.tenancy import Role
from tests.fixtures.gateway import PASSWORD, GatewayRig, Tenant
from tests.fixtures.mail import Post
from tests.integration.test_members import actions, change, id_of, join, remove, roles


def new_address() -> str:
    return f"{uuid4().hex}@example.com"


async def invite(by: Tenant, email: str, role: str = "editor", **more: object) -> httpx.Response:
    return await by.post("/invitations", json={"email": email, "role": role, **more})


async def accept(rig: GatewayRig, token: object, **more: Any) -> httpx.Response:
    return await rig.http.post("/invitations/accept", json={"token": token, **more})


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_somebody_new_joins_with_a_password(post: Post) -> None:
    rig, email = post.rig, new_address()
    owner = await rig.register()
    invited = await invite(owner, email, "agent")
    assert invited.status_code == 201
    assert set(invited.json()) == {"id", "email", "role", "invited_by", "created_at", "expires_at"}
    token = await post.link(email, "invite")
    assert token not in invited.text
    assert token not in (await owner.get("/invitations")).text
    (mail,) = post.mails(email)
    assert "Example Ltd" in mail["Subject"]
    joined = await accept(rig, token, password=PASSWORD)
    assert joined.status_code == 200
    assert (joined.json()["role"], joined.json()["tenant"]["name"]) == ("agent", "Example Ltd")
    person = Tenant(rig.http, joined.json()["grant"], email)
    me = (await person.get("/me")).json()
    assert (me["role"], me["tenant"]) == ("agent", owner.grant["tenant"])
    # Who reads the address's mail has proven it.
    assert me["email_verified_at"] is not None
    assert (await rig.http.post("/auth/login", json={"email": email, "password": PASSWORD})).status_code == 200
    assert (await owner.get("/invitations")).json()["items"] == []
    (event,) = await actions(owner, "invitation.accept")
    assert event["actor_id"] == me["user"]["id"]
    assert [event["details"] for event in await actions(owner, "invitation.create")] == [{"role": "agent"}]


async def test_a_link_works_once_also_for_two_at_once(post: Post) -> None:
    rig, email = post.rig, new_address()
    await invite(await rig.register(), email)
    token = await post.link(email, "invite")
    answers = await asyncio.gather(*(accept(rig, token, password=PASSWORD) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400]
    assert code_of(await accept(rig, token, password=PASSWORD)) == (400, "link_expired")


async def test_who_has_an_account_proves_it_by_its_password_and_signs_in_as_always(post: Post) -> None:
    rig = post.rig
    owner, known = await rig.register(), await rig.register()
    await invite(owner, known.email.upper(), "analyst")
    token = await post.link(known.email.upper(), "invite")
    assert code_of(await accept(rig, token, password="somebody else's")) == (401, "not_authenticated")
    assert code_of(await accept(rig, token)) == (400, "invalid_input")
    joined = await accept(rig, token, password=PASSWORD)
    assert joined.status_code == 200
    assert joined.json()["grant"] is None
    assert (await roles(owner))[id_of(known)] == "analyst"
    tenants = (await known.get("/me/tenants")).json()["items"]
    assert [(item["role"], item["current"]) for item in tenants] == [("owner", True), ("analyst", False)]


async def test_who_is_signed_in_as_the_address_needs_no_password(post: Post) -> None:
    rig = post.rig
    owner, known, other = await rig.register(), await rig.register(), await rig.register()
    await invite(owner, known.email)
    token = await post.link(known.email, "invite")
    # Somebody else who got the link may not join as themselves.
    assert (await accept_as(other, token)).status_code == 400
    bad = await rig.http.post(
        "/invitations/accept", json={"token": token}, headers={"Authorization": "Bearer nonsense"}
    )
    assert bad.status_code == 401
    joined = await accept_as(known, token)
    assert joined.status_code == 200
    inside = Tenant(rig.http, joined.json()["grant"], known.email)
    assert (await inside.get("/me")).json()["tenant"] == owner.grant["tenant"]


async def accept_as(person: Tenant, token: str) -> httpx.Response:
    return await person.post("/invitations/accept", json={"token": token})


async def test_an_invitation_does_not_tell_who_has_an_account(post: Post) -> None:
    rig = post.rig
    owner, known, stranger = await rig.register(), await rig.register(), new_address()
    answers = [(await invite(owner, email)).json() for email in (known.email, stranger)]
    differing = [key for key in answers[0] if answers[0][key] != answers[1][key]]
    assert set(differing) <= {"id", "email", "created_at", "expires_at"}
    await post.deliver()
    mine, theirs = (post.mails(email)[-1] for email in (known.email, stranger))
    assert mine["Subject"] == theirs["Subject"]
    first = await accept(rig, post.links(known.email, "invite")[-1])
    second = await accept(rig, post.links(stranger, "invite")[-1])
    assert first.json()["error"]["message"] == second.json()["error"]["message"]


async def test_one_address_is_invited_once_at_a_time(post: Post) -> None:
    owner, email = await post.rig.register(), new_address()
    assert (await invite(owner, email)).status_code == 201
    assert code_of(await invite(owner, email.upper(), "admin")) == (409, "already_exists")
    assert code_of(await invite(owner, owner.email.upper())) == (409, "already_exists")
    statuses = await asyncio.gather(*(invite(owner, f"b{email}") for _ in range(3)))
    assert sorted(answer.status_code for answer in statuses) == [201, 409, 409]
    # Another company may.
    assert (await invite(await post.rig.register(), email)).status_code == 201


async def test_an_expired_link_opens_nothing_and_may_be_sent_again(post: Post) -> None:
    rig, email = post.rig, new_address()
    owner = await rig.register()
    invitation = (await invite(owner, email)).json()
    token = await post.link(email, "invite")
    await post.run("update invitations set expires_at = now() where id = %s", invitation["id"])
    assert code_of(await accept(rig, token, password=PASSWORD)) == (400, "link_expired")
    again = await owner.post(f"/invitations/{invitation['id']}/resend")
    assert (again.status_code, again.json()["id"]) == (200, invitation["id"])
    newer = await post.link(email, "invite")
    assert newer != token
    assert code_of(await accept(rig, token, password=PASSWORD)) == (400, "link_expired")
    assert (await accept(rig, newer, password=PASSWORD)).status_code == 200
    assert len(await actions(owner, "invitation.resend")) == 1


async def test_an_expired_invitation_does_not_stand_against_another(post: Post) -> None:
    owner, email = await post.rig.register(), new_address()
    first = (await invite(owner, email)).json()
    await post.run("update invitations set expires_at = now() where id = %s", first["id"])
    assert (await invite(owner, email, "admin")).status_code == 201
    await post.deliver()
    # The mail of the first was not sent any more.
    assert len(post.links(email, "invite")) == 1


async def test_a_withdrawn_link_opens_nothing(post: Post) -> None:
    rig, email = post.rig, new_address()
    owner = await rig.register()
    invitation = (await invite(owner, email)).json()
    token = await post.link(email, "invite")
    assert (await owner.call("DELETE", f"/invitations/{invitation['id']}")).status_code == 204
    assert (await owner.call("DELETE", f"/invitations/{invitation['id']}")).status_code == 404
    assert code_of(await accept(rig, token, password=PASSWORD)) == (400, "link_expired")
    assert len(await actions(owner, "invitation.delete")) == 1


async def test_another_companys_invitations_do_not_exist(post: Post) -> None:
    owner, stranger = await post.rig.register(), await post.rig.register()
    invitation = (await invite(owner, new_address())).json()
    assert (await stranger.get("/invitations")).json()["items"] == []
    assert (await stranger.call("DELETE", f"/invitations/{invitation['id']}")).status_code == 404
    assert (await stranger.post(f"/invitations/{invitation['id']}/resend")).status_code == 404


async def test_only_owners_invite_owners(post: Post) -> None:
    owner = await post.rig.register()
    admin = await join(post.rig, owner, Role.ADMIN)
    assert (await invite(admin, new_address(), "owner")).status_code == 403
    assert (await invite(admin, new_address(), "admin")).status_code == 201
    made = (await invite(owner, new_address(), "owner")).json()
    assert (await admin.post(f"/invitations/{made['id']}/resend")).status_code == 403


@pytest.mark.parametrize("ends", ["removed", "lowered"])
async def test_who_is_shown_out_has_left_no_way_back_in(post: Post, ends: str) -> None:
    rig, email = post.rig, new_address()
    owner = await rig.register()
    admin = await join(rig, owner, Role.ADMIN)
    await invite(admin, email, "admin")
    mine = new_address()
    await invite(owner, mine)
    token = await post.link(email, "invite")
    if ends == "removed":
        assert await remove(owner, admin) == 204
    else:
        assert (await change(owner, admin, "agent"))[0] == 200
    assert code_of(await accept(rig, token, password=PASSWORD)) == (400, "link_expired")
    assert [item["email"] for item in (await owner.get("/invitations")).json()["items"]] == [mine]


async def test_a_member_is_not_changed_by_an_invitation(post: Post) -> None:
    rig = post.rig
    owner, known = await rig.register(), await rig.register()
    await invite(owner, known.email, "owner")
    token = await post.link(known.email, "invite")
    await post.run(
        "insert into memberships (tenant_id, user_id, role) values (%s, %s, 'agent')",
        owner.grant["tenant"]["id"],
        id_of(known),
    )
    assert code_of(await accept_as(known, token)) == (409, "already_exists")
    assert (await roles(owner))[id_of(known)] == "agent"


@pytest.mark.parametrize(
    "email",
    [
        "ada@example.org\r\nBcc: eve@example.org",
        "ada@example.org, eve@example.org",
        "ada",
        "ada@localhost",
        "a" * 10_000 + "@example.org",
        "ada@example.org\x00",
        "",
        None,
        ["a@example.org"],
    ],
)
async def test_what_is_no_address_is_not_invited(post: Post, email: object) -> None:
    owner = await post.rig.register()
    answer = await owner.post("/invitations", json={"email": email, "role": "editor"})
    assert answer.status_code == 422
    assert not [row for row in await post.queued() if row["kind"] == "invitation"]


async def test_nothing_else_can_be_set(post: Post) -> None:
    owner = await post.rig.register()
    for more in ({"id": str(uuid4())}, {"tenant_id": str(uuid4())}, {"expires_at": "2099-01-01"}, {"token": "x"}):
        assert (await invite(owner, new_address(), **more)).status_code == 422


@pytest.mark.parametrize("token", ["x", "", "é", "\ud800", "a" * 43, "a" * 513, "a" * 10_000, "' or true --", 7, None])
async def test_a_token_of_somebody_else_opens_nothing(post: Post, token: object) -> None:
    body = json.dumps({"token": token, "password": PASSWORD})
    headers = {"Content-Type": "application/json"}
    answer = await post.rig.http.post("/invitations/accept", content=body, headers=headers)
    assert answer.status_code in (400, 422)


async def test_a_changed_token_opens_nothing(post: Post) -> None:
    email = new_address()
    await invite(await post.rig.register(), email)
    token = await post.link(email, "invite")
    for changed in (token[:-1], token + "A", token.swapcase(), token[::-1], token + "=", " " + token):
        assert code_of(await accept(post.rig, changed, password=PASSWORD)) == (400, "link_expired")
    # A link for one thing opens no other.
    bodies: dict[str, dict[str, str]] = {"/auth/password/reset": {"password": PASSWORD}, "/auth/email/verify": {}}
    for path, more in bodies.items():
        assert (await post.rig.http.post(path, json={"token": token, **more})).status_code == 400
    assert (await accept(post.rig, token, password=PASSWORD)).status_code == 200


async def test_a_new_person_chooses_a_good_password(post: Post) -> None:
    email = new_address()
    await invite(await post.rig.register(), email)
    token = await post.link(email, "invite")
    assert code_of(await accept(post.rig, token, password="password")) == (400, "weak_password")
    assert code_of(await accept(post.rig, token, password="short")) == (400, "weak_password")
    assert (await accept(post.rig, token, password=PASSWORD)).status_code == 200


async def test_nobody_is_flooded(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, Kind.MAIL, Rule({"recipient": Rate(2, 0.001), "tenant": Rate(3, 0.001)}, closed=True))
    email = new_address()
    owner, other = await post.rig.register(), await post.rig.register()
    invitation = (await invite(owner, email)).json()
    assert (await owner.post(f"/invitations/{invitation['id']}/resend")).status_code == 200
    # One address, whoever writes to it.
    assert code_of(await invite(other, email.upper())) == (429, "rate_limited")
    assert (await invite(owner, new_address())).status_code == 201
    assert (await invite(owner, new_address())).status_code == 429


async def test_guessing_the_password_of_an_account_is_slowed_down(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    known = await post.rig.register()
    await invite(await post.rig.register(), known.email)
    token = await post.link(known.email, "invite")
    monkeypatch.setitem(RULES, Kind.ACCOUNT, Rule({"address+account": Rate(3, 0.001)}, closed=True))
    answers = [(await accept(post.rig, token, password="guess")).status_code for _ in range(4)]
    assert answers[0] == 401
    assert answers[-1] == 429


async def test_with_a_mail_server_only_proven_addresses_invite(post: Post) -> None:
    rig = post.rig
    owner = await rig.register()
    object.__setattr__(
        rig.services, "settings", rig.services.settings.model_copy(update={"smtp_url": SecretStr("smtp://x?tls=none")})
    )
    assert code_of(await invite(owner, new_address())) == (403, "email_not_verified")
    token = await post.link(owner.email, "verify")
    assert (await rig.http.post("/auth/email/verify", json={"token": token})).status_code == 204
    assert (await invite(owner, new_address())).status_code == 201


async def test_a_companys_name_cannot_break_out_of_the_mail(post: Post) -> None:
    rig, email = post.rig, new_address()
    name = "Evil\u202e\nBcc: eve@example.org\n\nhttps://evil.example/#/invite/" + "A" * 43
    body = {"email": new_address(), "password": PASSWORD, "company": name}
    registered = await rig.http.post("/auth/register", json=body)
    owner = Tenant(rig.http, registered.json(), body["email"])
    await invite(owner, email)
    await post.deliver()
    (mail,) = post.mails(email)
    assert (mail["Bcc"], mail["To"]) == (None, email)
    text = mail.get_content()
    assert text.count("://") == 1
    assert not set(mail["Subject"] + text) & {"\u202e"}
