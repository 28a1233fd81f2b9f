"""One `X-Request-ID` in an answer, with Serve around the application and without."""

import httpx
import pytest
from ray.serve._private.http_util import RequestIdMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.gateway.client_address import TrustedProxies
from deployments.gateway.metrics import GatewayMetrics
from deployments.gateway.request_context import RequestContext


async def tells_its_id(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(scope["state"]["request_id"])(scope, receive, send)


@pytest.mark.parametrize("behind_serve", [True, False])
@pytest.mark.parametrize("given", ["a-callers-own-id", None])
async def test_there_is_one_and_it_is_the_requests(behind_serve: bool, given: str | None) -> None:
    context = RequestContext(tells_its_id, GatewayMetrics(), TrustedProxies(()), names_request=not behind_serve)
    app: ASGIApp = RequestIdMiddleware(context) if behind_serve else context
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as http:
        answer = await http.get("/", headers={"X-Request-ID": given} if given else {})
    assert answer.headers.get_list("x-request-id") == [answer.text]
    assert given is None or answer.text == given
