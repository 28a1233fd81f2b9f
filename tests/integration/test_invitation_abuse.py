"""Invitations under hostile hands: addresses, tokens, floods, guesses, names."""

import json
from uuid import uuid4

import pytest
from pydantic import SecretStr

from deployments.gateway.rate_limits import RULES, Kind, Rate, Rule
from tests.fixtures.gateway import PASSWORD, Tenant
from tests.fixtures.mail import Post
from tests.integration.test_invitations import accept, code_of, invite, new_address


@pytest.mark.parametrize(
    "email",
    [
        "ada@example.org\r\nBcc: eve@example.org",
        "ada@example.org, eve@example.org",
        "Ada <ada@example.org>",
        '"eve@example.org" <ada@example.org>',
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
