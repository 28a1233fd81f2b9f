"""The command's log-in, where the account wants more than a password."""

import httpx
import pytest

from cluster.chat_account import ChatAccount
from cluster.client import ChatError


async def test_an_account_with_a_second_factor_is_said_so() -> None:
    body = {"mfa_required": True, "challenge": "c", "expires_in": 300}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=body))
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
        with pytest.raises(ChatError, match="second factor"):
            await ChatAccount(http, "ada@example.com", "secret").token()
