"""The second factor over HTTP: set up, asked for at log-in, each code once, recovery codes, removal."""

import asyncio
from uuid import uuid4

import httpx
import pyotp
import pytest

from deployments.gateway.rate_limits import RULES, Kind, Rate, Rule
from domain.tenancy import Principal, Role
from storage.postgres.database import system_tx
from storage.redis.challenges import MAX_ATTEMPTS
from tests.fixtures.gateway import PASSWORD, GatewayRig
from tests.fixtures.second_factor import CodeClock, Enrolled, enrol


async def actions_of(enrolled: Enrolled) -> list[str]:
    """The newest first."""
    items = (await enrolled.tenant.get("/audit")).json()["items"]
    return [item["action"] for item in items]


async def test_log_in_asks_for_the_code_and_then_gives_the_tokens(enrolled: Enrolled) -> None:
    challenge = await enrolled.challenge()
    status, grant = await enrolled.verify(challenge, code=enrolled.fresh_code())
    assert status == 200, grant
    me = await enrolled.tenant.http.get("/me", headers={"Authorization": f"Bearer {grant['access_token']}"})
    assert me.json()["user"]["email"] == enrolled.tenant.email
    state = (await enrolled.tenant.get("/auth/mfa")).json()
    assert state == {"enabled": True, "required": False, "recovery_codes_left": 10}
    assert (await actions_of(enrolled))[:3] == ["user.login", "mfa.enable", "user.login"]


async def test_nothing_is_on_before_a_code_was_confirmed(rig: GatewayRig, code_clock: CodeClock) -> None:
    tenant = await rig.register()
    assert (await tenant.post("/auth/mfa/totp/confirm", json={"code": "123456"})).status_code == 404
    first = (await tenant.post("/auth/mfa/totp/begin")).json()
    second = (await tenant.post("/auth/mfa/totp/begin")).json()
    assert first["secret"] != second["secret"]
    stale = await tenant.post("/auth/mfa/totp/confirm", json={"code": pyotp.TOTP(first["secret"]).at(code_clock.now)})
    assert (stale.status_code, stale.json()["error"]["code"]) == (403, "wrong_code")
    login = await rig.http.post("/auth/login", json={"email": tenant.email, "password": PASSWORD})
    assert "access_token" in login.json()
    async with system_tx(rig.services.db) as tx:
        await tx.execute(
            "update totp_factors set begun_at = now() - interval '2 hours' where user_id = %s",
            [tenant.grant["user"]["id"]],
        )
    late = await tenant.post("/auth/mfa/totp/confirm", json={"code": pyotp.TOTP(second["secret"]).at(code_clock.now)})
    assert late.status_code == 404


async def test_a_factor_that_is_on_is_not_replaced(enrolled: Enrolled) -> None:
    assert (await enrolled.tenant.post("/auth/mfa/totp/begin")).status_code == 409
    again = await enrolled.tenant.post("/auth/mfa/totp/confirm", json={"code": enrolled.fresh_code()})
    assert again.status_code == 409


async def test_setting_it_up_ends_the_sign_ins_without_it(rig: GatewayRig, code_clock: CodeClock) -> None:
    tenant = await rig.register()
    other = (await rig.http.post("/auth/login", json={"email": tenant.email, "password": PASSWORD})).json()
    enrolled = await enrol(tenant, code_clock)
    for old in (tenant.grant, other):
        answer = await rig.http.post("/auth/refresh", json={"refresh_token": old["refresh_token"]})
        assert answer.status_code == 401
    new = await rig.http.post("/auth/refresh", json={"refresh_token": enrolled.tenant.grant["refresh_token"]})
    assert new.status_code == 200


async def test_a_code_counts_once(enrolled: Enrolled) -> None:
    used_to_confirm = enrolled.code()
    assert (await enrolled.verify(await enrolled.challenge(), code=used_to_confirm))[0] == 403
    code = enrolled.fresh_code()
    assert (await enrolled.verify(await enrolled.challenge(), code=code))[0] == 200
    status, body = await enrolled.verify(await enrolled.challenge(), code=code)
    assert (status, body["error"]["code"]) == (403, "wrong_code")
    # An older step within the window is over too.
    enrolled.clock.next_step()
    assert (await enrolled.verify(await enrolled.challenge(), code=code))[0] == 403
    assert (await enrolled.verify(await enrolled.challenge(), code=enrolled.code()))[0] == 200


async def test_of_many_at_once_with_one_code_one_gets_in(enrolled: Enrolled) -> None:
    challenges = [await enrolled.challenge() for _ in range(6)]
    code = enrolled.fresh_code()
    answers = await asyncio.gather(*(enrolled.verify(challenge, code=code) for challenge in challenges))
    assert sorted(status for status, _ in answers) == [200, 403, 403, 403, 403, 403]


async def test_a_challenge_is_answered_once(enrolled: Enrolled) -> None:
    challenge = await enrolled.challenge()
    codes = enrolled.recovery_codes
    assert (await enrolled.verify(challenge, recovery_code=codes[0]))[0] == 200
    assert (await enrolled.verify(challenge, recovery_code=codes[1]))[0] == 401
    other = await enrolled.challenge()
    answers = await asyncio.gather(*(enrolled.verify(other, recovery_code=code) for code in codes[2:5]))
    assert sorted(status for status, _ in answers) == [200, 401, 401]
    # Whoever came too late has used no code.
    assert (await enrolled.tenant.get("/auth/mfa")).json()["recovery_codes_left"] == 8


async def test_a_challenge_dies_after_five_wrong_codes(enrolled: Enrolled) -> None:
    challenge = await enrolled.challenge()
    for _ in range(MAX_ATTEMPTS):
        assert (await enrolled.verify(challenge, code=enrolled.wrong_code()))[0] == 403
    status, body = await enrolled.verify(challenge, code=enrolled.fresh_code())
    assert (status, body["error"]["code"]) == (401, "not_authenticated")
    assert (await enrolled.verify(await enrolled.challenge(), code=enrolled.code()))[0] == 200
    assert (await actions_of(enrolled)).count("mfa.refused") == MAX_ATTEMPTS


async def test_guesses_that_come_at_once_share_the_count(enrolled: Enrolled) -> None:
    challenge = await enrolled.challenge()
    wrong = enrolled.wrong_code()
    answers = await asyncio.gather(*(enrolled.verify(challenge, code=wrong) for _ in range(9)))
    assert sorted(status for status, _ in answers) == [401] * 4 + [403] * 5


async def test_what_is_no_challenge_opens_nothing(rig: GatewayRig, enrolled: Enrolled) -> None:
    good = await enrolled.challenge()
    other = await enrol(await rig.register(), enrolled.clock)
    user, tenant = enrolled.tenant.grant["user"]["id"], enrolled.tenant.grant["tenant"]["id"]
    tokens = rig.services.tokens
    expired = tokens._sign(tokens._challenge_audience, user, -1, tenant=tenant)
    bad = [
        "x",
        good[:-2],
        good + "A",
        good.split(".")[0] + ".e30.",
        expired,
        enrolled.tenant.grant["access_token"],
        enrolled.tenant.grant["refresh_token"],
        f"{good}.{good}",
        "x" * 8_192,
    ]
    code = enrolled.fresh_code()
    for challenge in bad:
        assert (await enrolled.verify(challenge, code=code))[0] == 401, challenge[:40]
    # Somebody else's code, and somebody else's recovery code.
    assert (await enrolled.verify(good, code=other.code()))[0] == 403
    assert (await enrolled.verify(good, recovery_code=other.recovery_codes[0]))[0] == 403
    assert (await enrolled.verify(good, code=code))[0] == 200


async def test_a_challenge_is_no_access_token(enrolled: Enrolled) -> None:
    headers = {"Authorization": f"Bearer {await enrolled.challenge()}"}
    for path in ("/me", "/chatbots", "/auth/mfa"):
        assert (await enrolled.tenant.http.get(path, headers=headers)).status_code == 401


@pytest.mark.parametrize(
    "proof",
    [
        {},
        {"code": "12345"},
        {"code": "1234567"},
        {"code": "12345a"},
        {"code": "١٢٣٤٥٦"},
        {"code": "123456\n"},
        {"code": 123456},
        {"code": None},
        {"code": "123456", "recovery_code": "abcd-efgh-ijkl-mnop"},
        {"recovery_code": "short"},
        {"recovery_code": "abcd-efgh-ijkl-mn\x00p"},
        {"recovery_code": "x" * 41},
        {"code": "123456", "user_id": "other"},
    ],
)
async def test_bad_answers_are_refused_before_they_count(enrolled: Enrolled, proof: dict[str, object]) -> None:
    body = {"challenge": await enrolled.challenge(), **proof}
    answer = await enrolled.tenant.http.post("/auth/mfa/verify", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_input")


async def test_a_recovery_code_works_once_however_it_is_typed(enrolled: Enrolled) -> None:
    code = enrolled.recovery_codes[0]
    challenges = [await enrolled.challenge() for _ in range(3)]
    typed = code.replace("-", " ").upper()
    answers = await asyncio.gather(*(enrolled.verify(challenge, recovery_code=typed) for challenge in challenges))
    assert sorted(status for status, _ in answers) == [200, 403, 403]
    assert (await enrolled.tenant.get("/auth/mfa")).json()["recovery_codes_left"] == 9
    used = [item for item in (await enrolled.tenant.get("/audit")).json()["items"] if "recovery" in item["action"]]
    assert [(item["action"], item["details"]) for item in used] == [("recovery_code.use", {"left": 9})]


async def test_renewed_recovery_codes_replace_the_old_ones(enrolled: Enrolled) -> None:
    wrong = await enrolled.tenant.post("/auth/mfa/recovery-codes", json={"code": enrolled.wrong_code()})
    assert wrong.status_code == 403
    answer = await enrolled.tenant.post("/auth/mfa/recovery-codes", json={"code": enrolled.fresh_code()})
    new = answer.json()["recovery_codes"]
    assert len(new) == 10
    assert not set(new) & set(enrolled.recovery_codes)
    assert (await enrolled.verify(await enrolled.challenge(), recovery_code=enrolled.recovery_codes[0]))[0] == 403
    assert (await enrolled.verify(await enrolled.challenge(), recovery_code=new[0]))[0] == 200


async def test_removing_it_needs_the_password_and_a_code(enrolled: Enrolled) -> None:
    good = {"password": PASSWORD, "code": enrolled.fresh_code()}
    wrong: list[dict[str, str]] = [
        {**good, "password": "guess"},
        {**good, "code": enrolled.wrong_code()},
        {"password": PASSWORD, "recovery_code": "abcd-efgh-ijkl-mnop"},
    ]
    for body in wrong:
        assert (await enrolled.tenant.call("DELETE", "/auth/mfa", json=body)).status_code == 403
    assert (await enrolled.tenant.call("DELETE", "/auth/mfa", json={"password": PASSWORD})).status_code == 422
    # A wrong password has not used the code up.
    assert (await enrolled.tenant.call("DELETE", "/auth/mfa", json=good)).status_code == 204
    login = await enrolled.tenant.http.post("/auth/login", json={"email": enrolled.tenant.email, "password": PASSWORD})
    assert "access_token" in login.json()
    actions = await actions_of(enrolled)
    assert actions.count("mfa.refused") == 3
    assert "mfa.disable" in actions
    again = await enrol(enrolled.tenant, enrolled.clock)
    assert (await again.verify(await again.challenge(), recovery_code=enrolled.recovery_codes[1]))[0] == 403


async def test_a_challenge_dies_with_the_factor_it_asks_for(enrolled: Enrolled) -> None:
    challenge = await enrolled.challenge()
    body = {"password": PASSWORD, "recovery_code": enrolled.recovery_codes[0]}
    assert (await enrolled.tenant.call("DELETE", "/auth/mfa", json=body)).status_code == 204
    assert (await enrolled.verify(challenge, code=enrolled.fresh_code()))[0] == 403
    assert (await enrolled.verify(challenge, recovery_code=enrolled.recovery_codes[1]))[0] == 403


async def test_what_is_stored_tells_no_secret(rig: GatewayRig, enrolled: Enrolled) -> None:
    user = enrolled.tenant.grant["user"]["id"]
    async with system_tx(rig.services.db) as tx:
        factor = await (await tx.execute("select * from totp_factors where user_id = %s", [user])).fetchone()
        codes = await (await tx.execute("select * from recovery_codes where user_id = %s", [user])).fetchall()
    assert factor is not None
    assert enrolled.secret.encode() not in bytes(factor["secret"])
    stored = {bytes(row["code_hash"]) for row in codes}
    assert len(stored) == 10
    assert not {code.encode() for code in enrolled.recovery_codes} & stored


async def test_a_secret_that_was_put_under_somebody_else_does_not_open(rig: GatewayRig, enrolled: Enrolled) -> None:
    thief = await enrol(await rig.register(), enrolled.clock)
    async with system_tx(rig.services.db) as tx:
        await tx.execute(
            "update totp_factors set secret = (select secret from totp_factors where user_id = %s) where user_id = %s",
            [thief.tenant.grant["user"]["id"], enrolled.tenant.grant["user"]["id"]],
        )
    status, body = await enrolled.verify(await enrolled.challenge(), code=thief.fresh_code())
    assert (status, body["error"]["code"]) == (503, "unavailable")
    assert (await enrolled.verify(await enrolled.challenge(), recovery_code=enrolled.recovery_codes[0]))[0] == 200


async def test_guesses_from_everywhere_count_together_and_never_lock_the_owner_out(
    rig: GatewayRig, enrolled: Enrolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = {"address+account": Rate(100, 0.001), "account": Rate(3, 0.001)}
    challenges = [await enrolled.challenge() for _ in range(5)]
    monkeypatch.setitem(RULES, Kind.SECOND_FACTOR, Rule(rates, closed=True))
    statuses = []
    for number in range(4):
        transport = httpx.ASGITransport(rig.app, client=(f"203.0.113.{20 + number}", 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as http:
            body = {"challenge": challenges[number], "code": enrolled.wrong_code()}
            statuses.append((await http.post("/auth/mfa/verify", json=body)).status_code)
    # Setting it up was the first of the three; it counted under the rule of before, with the same key.
    assert statuses[-1] == 429
    status, _ = await enrolled.verify(challenges[4], recovery_code=enrolled.recovery_codes[0])
    assert status == 200


async def test_a_person_of_no_tenant_any_more_is_not_let_in(rig: GatewayRig, enrolled: Enrolled) -> None:
    challenge = await enrolled.challenge()
    async with system_tx(rig.services.db) as tx:
        await tx.execute("delete from memberships where user_id = %s", [enrolled.tenant.grant["user"]["id"]])
    assert (await enrolled.verify(challenge, code=enrolled.fresh_code()))[0] == 401
    stranger = rig.services.tokens.sign(
        Principal(enrolled.tenant.grant["tenant"]["id"], uuid4(), Role.OWNER, uuid4())  # type: ignore[arg-type]
    )
    answer = await rig.http.get("/auth/mfa", headers={"Authorization": f"Bearer {stranger}"})
    assert answer.status_code == 401
