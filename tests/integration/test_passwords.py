"""A forgotten or changed password, and the proof of an e-mail address."""

import asyncio
import json
from uuid import uuid4

import httpx
import pytest

from deployments.gateway.rate_limits import RULES, Kind, Rate, Rule
from tests.fixtures.gateway import PASSWORD, GatewayRig, Tenant
from tests.fixtures.mail import Post
from tests.integration.test_members import actions, id_of

NEW = "a quiet green lantern"


async def forgot(rig: GatewayRig, email: str) -> httpx.Response:
    return await rig.http.post("/auth/password/forgot", json={"email": email})


async def reset(rig: GatewayRig, token: object, password: str = NEW) -> httpx.Response:
    return await rig.http.post("/auth/password/reset", json={"token": token, "password": password})


async def log_in(rig: GatewayRig, email: str, password: str) -> int:
    return (await rig.http.post("/auth/login", json={"email": email, "password": password})).status_code


async def refresh(rig: GatewayRig, grant: dict[str, str]) -> int:
    answer = await rig.http.post("/auth/refresh", json={"refresh_token": grant["refresh_token"]})
    return answer.status_code


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_the_mailed_link_sets_a_new_password_and_ends_every_session_everywhere(post: Post) -> None:
    rig = post.rig
    owner = await rig.register()
    second = (await owner.post("/tenants", json={"company": "Second"})).json()
    assert (await forgot(rig, owner.email.upper())).status_code == 202
    token = await post.link(owner.email, "reset")
    assert (await reset(rig, token)).status_code == 204
    assert (await log_in(rig, owner.email, PASSWORD), await log_in(rig, owner.email, NEW)) == (401, 200)
    assert [await refresh(rig, grant) for grant in (owner.grant, second)] == [401, 401]
    for grant in (owner.grant, second):
        (event,) = await actions(Tenant(rig.http, grant, owner.email), "password.reset")
        assert (event["actor_id"], event["target_id"]) == (id_of(owner), id_of(owner))
    # Who reads the address's mail has proven it, and is told what happened.
    assert (await owner.get("/me")).json()["email_verified_at"] is not None
    await post.deliver()
    assert any("was changed" in mail["Subject"] for mail in post.mails(owner.email))


async def test_asking_for_an_address_without_account_looks_the_same_and_does_the_same(post: Post) -> None:
    rig = post.rig
    owner, nobody = await rig.register(), f"{uuid4().hex}@example.com"
    await post.run("delete from mail_queue")
    known, unknown = await forgot(rig, owner.email), await forgot(rig, nobody)
    differing = {"x-request-id"}
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content) == (202, b"")
    assert {k: v for k, v in known.headers.items() if k not in differing and not k.startswith("ratelimit")} == {
        k: v for k, v in unknown.headers.items() if k not in differing and not k.startswith("ratelimit")
    }
    rows = await post.queued()
    shown = [{key: row[key] for key in ("kind", "about", "attempts")} for row in rows]
    assert [row["recipient"] for row in rows] == [owner.email, nobody]
    assert shown[0] == shown[1]
    await post.deliver()
    assert (len(post.mails(owner.email)), post.mails(nobody)) == (1, [])


async def test_a_reset_link_works_once_also_for_two_at_once(post: Post) -> None:
    rig = post.rig
    owner = await rig.register()
    await forgot(rig, owner.email)
    token = await post.link(owner.email, "reset")
    answers = await asyncio.gather(*(reset(rig, token, f"{NEW} {n}") for n in range(3)))
    assert sorted(answer.status_code for answer in answers) == [204, 400, 400]
    assert code_of(await reset(rig, token)) == (400, "link_expired")


async def test_one_reset_ends_every_other_link_and_asking_again_spoils_none(post: Post) -> None:
    rig = post.rig
    owner = await rig.register()
    for _ in range(3):
        await forgot(rig, owner.email)
    await post.deliver()
    first, second, third = post.links(owner.email, "reset")
    assert (await reset(rig, second)).status_code == 204
    assert [(await reset(rig, token)).status_code for token in (first, third)] == [400, 400]


async def test_a_reset_link_lives_for_an_hour(post: Post) -> None:
    rig = post.rig
    owner = await rig.register()
    await forgot(rig, owner.email)
    token = await post.link(owner.email, "reset")
    (row,) = await post.rows(
        "select expires_at - created_at as life from account_links where user_id = %s and purpose = 'password_reset'",
        id_of(owner),
    )
    assert row["life"].total_seconds() == 3_600
    await post.run("update account_links set expires_at = now() where user_id = %s", id_of(owner))
    assert code_of(await reset(rig, token)) == (400, "link_expired")
    assert await log_in(rig, owner.email, PASSWORD) == 200


@pytest.mark.parametrize("token", ["x", "", "é", "\ud800", "a" * 43, "a" * 10_000, 7, None, ["x"]])
async def test_what_is_no_link_resets_nothing(post: Post, token: object) -> None:
    body, headers = json.dumps({"token": token, "password": NEW}), {"Content-Type": "application/json"}
    for path in ("/auth/password/reset", "/auth/email/verify"):
        answer = await post.rig.http.post(path, content=body, headers=headers)
        assert answer.status_code in (400, 422)


async def test_a_bad_password_leaves_the_link_as_it_was(post: Post) -> None:
    rig = post.rig
    owner = await rig.register()
    await forgot(rig, owner.email)
    token = await post.link(owner.email, "reset")
    for weak in ("password", owner.email, "Example Ltd 1!"):
        assert code_of(await reset(rig, token, weak)) == (400, "weak_password")
    assert (await reset(rig, token, "x" * 129)).status_code == 422
    assert (await reset(rig, token, "pass\x00word long")).status_code == 422
    assert (await reset(rig, token)).status_code == 204


async def test_links_of_one_purpose_open_nothing_else(post: Post) -> None:
    rig = post.rig
    owner = await rig.register()
    verify = await post.link(owner.email, "verify")
    assert (await reset(rig, verify)).status_code == 400
    await forgot(rig, owner.email)
    token = await post.link(owner.email, "reset")
    assert (await rig.http.post("/auth/email/verify", json={"token": token})).status_code == 400


async def test_a_flood_of_questions_is_no_flood_of_mail_and_shows_nothing(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await post.rig.register()
    monkeypatch.setitem(RULES, Kind.MAIL, Rule({"recipient": Rate(2, 0.001)}, closed=True))
    assert {(await forgot(post.rig, owner.email)).status_code for _ in range(5)} == {202}
    await post.deliver()
    assert len(post.links(owner.email, "reset")) == 2
    monkeypatch.setitem(RULES, Kind.ACCOUNT, Rule({"address+account": Rate(2, 0.001)}, closed=True))
    nobody = f"{uuid4().hex}@example.com"
    assert [(await forgot(post.rig, nobody)).status_code for _ in range(3)] == [202, 202, 429]


async def test_who_knows_the_old_password_changes_it_and_stays_signed_in(post: Post) -> None:
    rig = post.rig
    owner = await rig.register()
    other = (await rig.http.post("/auth/login", json={"email": owner.email, "password": PASSWORD})).json()
    wrong = await owner.post("/auth/password/change", json={"old_password": "wrong", "password": NEW})
    assert code_of(wrong) == (400, "wrong_password")
    weak = await owner.post("/auth/password/change", json={"old_password": PASSWORD, "password": "12345678"})
    assert code_of(weak) == (400, "weak_password")
    changed = await owner.post("/auth/password/change", json={"old_password": PASSWORD, "password": NEW})
    assert changed.status_code == 200
    assert [await refresh(rig, grant) for grant in (owner.grant, other, changed.json())] == [401, 401, 200]
    assert (await log_in(rig, owner.email, PASSWORD), await log_in(rig, owner.email, NEW)) == (401, 200)
    assert len(await actions(owner, "password.change")) == 1
    await post.deliver()
    assert any("was changed" in mail["Subject"] for mail in post.mails(owner.email))


async def test_a_change_ends_reset_links_on_their_way(post: Post) -> None:
    owner = await post.rig.register()
    await forgot(post.rig, owner.email)
    token = await post.link(owner.email, "reset")
    await owner.post("/auth/password/change", json={"old_password": PASSWORD, "password": NEW})
    assert (await reset(post.rig, token, "another fine lantern")).status_code == 400


async def test_guessing_the_old_password_is_slowed_down(rig: GatewayRig, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = await rig.register()
    monkeypatch.setitem(RULES, Kind.ACCOUNT, Rule({"address+account": Rate(3, 0.001)}, closed=True))
    body = {"old_password": "guess", "password": NEW}
    assert [(await owner.post("/auth/password/change", json=body)).status_code for _ in range(4)][-1] == 429


async def test_an_address_is_proven_once_and_everybody_may_work_before(post: Post) -> None:
    rig = post.rig
    owner = await rig.register()
    assert (await owner.get("/me")).json()["email_verified_at"] is None
    assert (await owner.post("/chatbots", json={"name": "Helper"})).status_code == 201
    assert (await owner.post("/auth/email/resend")).status_code == 202
    await post.deliver()
    first, second = post.links(owner.email, "verify")
    answers = await asyncio.gather(
        *(rig.http.post("/auth/email/verify", json={"token": token}) for token in (first, first))
    )
    assert sorted(answer.status_code for answer in answers) == [204, 400]
    assert (await rig.http.post("/auth/email/verify", json={"token": second})).status_code == 400
    assert (await owner.get("/me")).json()["email_verified_at"] is not None
    assert len(await actions(owner, "email.verify")) == 1
    # There is nothing more to prove.
    assert (await owner.post("/auth/email/resend")).status_code == 202
    assert await post.queued() == []


async def test_nothing_else_can_be_set(rig: GatewayRig) -> None:
    owner = await rig.register()
    bodies = {
        "/auth/password/forgot": {"email": owner.email},
        "/auth/password/reset": {"token": "x", "password": NEW},
        "/auth/password/change": {"old_password": PASSWORD, "password": NEW},
        "/auth/email/verify": {"token": "x"},
        "/auth/switch": {"tenant_id": owner.grant["tenant"]["id"]},
        "/tenants": {"company": "Another"},
    }
    for path, body in bodies.items():
        for more in ({"user_id": id_of(owner)}, {"email_verified_at": "2020-01-01"}, {"plan": "enterprise"}):
            assert (await owner.post(path, json={**body, **more})).status_code == 422, path


@pytest.mark.parametrize("password", ["password", "qwertyuiop", "aaaaaaaaaaaa", "ExampleLtd!"])
async def test_registration_refuses_what_everybody_would_guess(rig: GatewayRig, password: str) -> None:
    body = {"email": f"{uuid4().hex}@example.com", "password": password, "company": "Example Ltd"}
    assert code_of(await rig.http.post("/auth/register", json=body)) == (400, "weak_password")
