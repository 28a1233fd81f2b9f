"""A visitor's token is bound to the page that asked for it, over HTTP and on sockets."""

import time

from configs.settings import Settings
from deployments.gateway.tokens import AccessTokens
from domain.ids import ChatbotId, TenantId, VisitorId, new_uuid
from tests.fixtures.gateway import Chat, GatewayRig, SocketRig


async def test_a_token_works_from_the_page_that_asked_for_it(rig: GatewayRig, chat: Chat) -> None:
    page, sessions = {"Origin": "http://gateway.test"}, f"/chatbots/{chat.bot}/sessions"
    grants = [
        (await rig.http.post(f"/chatbots/{chat.bot}/visitors", json={}, headers=headers)).json()
        for headers in (page, {})
    ]
    own_read = {"Sec-Fetch-Site": "same-origin"}
    elsewhere = {"Origin": "https://elsewhere.example"}
    cases: list[tuple[int, str, dict[str, str], int]] = [
        (0, "POST", page, 201),
        (0, "GET", page, 200),
        (0, "GET", own_read, 200),
        (0, "GET", {**own_read, "Host": "other.example"}, 401),
        (0, "GET", {"Sec-Fetch-Site": "cross-site"}, 401),
        (0, "POST", own_read, 401),
        (0, "GET", {}, 401),
        (0, "GET", elsewhere, 401),
        (0, "GET", {"Origin": "null"}, 401),
        (0, "GET", {"Origin": "http://GATEWAY.test"}, 401),
        (1, "POST", {}, 201),
        (1, "GET", {}, 200),
        (1, "GET", page, 401),
        (1, "GET", elsewhere, 401),
    ]
    for which, method, headers, status in cases:
        bearer = {"Authorization": f"Bearer {grants[which]['token']}"}
        answer = await rig.http.request(method, sessions, headers={**bearer, **headers})
        assert answer.status_code == status, (which, method, headers)
    # Coming back is bound in the same way.
    for grant, headers, status in ((grants[0], page, 201), (grants[0], {}, 401), (grants[1], page, 401)):
        body = {"token": grant["token"]}
        answer = await rig.http.post(f"/chatbots/{chat.bot}/visitors", json=body, headers=headers)
        assert answer.status_code == status


async def test_pages_that_are_not_allowed_get_no_token(rig: GatewayRig, chat: Chat) -> None:
    for origin in ("https://elsewhere.example", "null", "no origin", "http://" + "x" * 300):
        answer = await rig.http.post(f"/chatbots/{chat.bot}/visitors", json={}, headers={"Origin": origin})
        assert answer.status_code == 403, origin


async def test_a_visitors_socket_opens_from_its_page_only(socket_rig: SocketRig, chat: Chat) -> None:
    port, http = socket_rig.port, socket_rig.rig.http
    page = f"http://127.0.0.1:{port}"
    headers = {"Origin": page, "Host": f"127.0.0.1:{port}"}
    for given, opened, code in ((page, page, None), (page, None, 4401), (None, page, 4401), (None, None, None)):
        asked = headers if given else {}
        grant = (await http.post(f"/chatbots/{chat.bot}/visitors", json={}, headers=asked)).json()
        bearer = {"Authorization": f"Bearer {grant['token']}"}
        session = (await http.post(f"/chatbots/{chat.bot}/sessions", headers={**asked, **bearer})).json()["id"]
        async with await socket_rig.connect(chat.bot, session, origin=opened) as client:
            await client.send(type="auth", token=grant["token"])
            await client.expect("error" if code else "ready")
            if code:
                assert await client.closed() == code, (given, opened)


async def test_the_lifetime_of_a_token_is_a_setting(gateway_settings: Settings) -> None:
    tokens = AccessTokens(gateway_settings.model_copy(update={"visitor_token_minutes": 5}))
    token = tokens.sign_visitor(TenantId(new_uuid()), ChatbotId(new_uuid()), VisitorId(new_uuid()))
    assert 0 <= time.time() + 300 - tokens.verify_chatter(token).expires_at <= 2
