"""Two standing canary tenants: A with words in everything it can hold, B with little, both kept in a private file."""

import asyncio
import hmac
import json
import secrets
import string
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
from pydantic import TypeAdapter, ValidationError

from cluster.embedded.process import SetupError, write_private

SURFACES = ("bot", "persona", "greeting", "document", "session", "message", "comment", "visitor", "company", "address")
"""What a word is planted in."""
TEXT = "text/plain"
POLL_SECONDS = 0.25


class ProbeFailed(SetupError):
    """The probe could not be made; that says nothing about what it would have found."""


def new_word() -> str:
    """26 letters that nobody guesses, one word for any tokenizer of a full-text index."""
    return "canary" + "".join(secrets.choice(string.ascii_lowercase) for _ in range(20))


@dataclass
class Side:
    """One of the two tenants: its log-in, and the ids of what it holds by the names of path parameters."""

    email: str
    password: str
    company: str
    ids: dict[str, str] = field(default_factory=dict)


@dataclass
class Canaries:
    words: dict[str, str]
    topic: str
    """What B asks its bot about; only A's document knows."""
    a: Side
    b: Side


@dataclass
class Party:
    """A tenant's owner and a visitor of its bot, signed in."""

    side: Side
    tokens: dict[str, str]
    tenant_id: str
    user_id: str
    refresh_token: str = ""

    @property
    def ids(self) -> dict[str, str]:
        """By the names of path parameters."""
        return {**self.side.ids, "tenant_id": self.tenant_id, "user_id": self.user_id}

    def header(self, who: str = "owner") -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[who]}"} if self.tokens.get(who) else {}


def load_or_new(file: Path) -> Canaries:
    """What an earlier run has planted, or two tenants that do not exist yet. Raises ProbeFailed for a broken file."""
    if file.is_file():
        try:
            return TypeAdapter(Canaries).validate_json(file.read_bytes())
        except (OSError, ValidationError) as error:
            raise ProbeFailed(f"{file} is not what the probe wrote there.") from error
    words = {surface: new_word() for surface in SURFACES}
    sides = [
        Side(f"{mailbox}@canary.example", secrets.token_urlsafe(24), company)
        for mailbox, company in ((words["address"], words["company"]), (new_word(), "Probe"))
    ]
    return Canaries(words, new_word(), *sides)


def save(file: Path, canaries: Canaries) -> None:
    write_private(file, json.dumps(asdict(canaries), indent=1))


async def call(http: httpx.AsyncClient, method: str, path: str, **options: Any) -> Any:
    """The answer's content. Raises ProbeFailed for an error."""
    answer = await http.request(method, path, **options)
    if answer.is_error:
        raise ProbeFailed(f"{method} {path} answered {answer.status_code} while the canaries were planted.")
    return answer.json() if answer.content else None


async def sign_in(http: httpx.AsyncClient, side: Side) -> Party:
    """Registers the tenant on the first run."""
    log_in = {"email": side.email, "password": side.password}
    answer = await http.post("/auth/login", json=log_in)
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        answer = await http.post("/auth/register", json={**log_in, "company": side.company})
    if answer.is_error:
        raise ProbeFailed(f"The canary tenant could not sign in: status {answer.status_code}.")
    grant = answer.json()
    tokens = {"owner": str(grant["access_token"])}
    return Party(side, tokens, str(grant["tenant"]["id"]), str(grant["user"]["id"]), str(grant["refresh_token"]))


async def sign_out(http: httpx.AsyncClient, *parties: Party) -> None:
    """A probe that goes on for months leaves no list of sign-ins."""
    for party in parties:
        await http.post("/auth/logout", json={"refresh_token": party.refresh_token})


async def plant(
    http: httpx.AsyncClient, party: Party, words: Mapping[str, str], topic: str, wait_seconds: float
) -> list[str]:
    """Give the tenant everything that it does not have yet; what could not be planted.

    An answer and a searchable document need the whole platform: they are waited for, and missed otherwise.
    """
    ids, headers = party.side.ids, party.header()
    bots = {bot["id"] for bot in (await call(http, "GET", "/chatbots", headers=headers))["items"]}
    if ids.get("chatbot_id") not in bots:
        ids.clear()
        config = {"persona": words["persona"], "greeting": words["greeting"]}
        bot = await call(http, "POST", "/chatbots", headers=headers, json={"name": words["bot"], "config": config})
        ids["chatbot_id"] = bot["id"]
    home, base = f"/chatbots/{ids['chatbot_id']}", f"/knowledgebase/{ids['chatbot_id']}"
    if "document_id" not in ids:
        text = f"The code word of {topic} is {words['document']}. Ask for {topic} when you need it."
        file = {"files": (f"{words['document']}.txt", text.encode(), TEXT)}
        uploaded = await call(http, "POST", f"{base}/upload", headers=headers, files=file)
        ids["document_id"] = uploaded["documents"][0]["id"]
    await _welcome(http, party, words["visitor"])
    if "session_id" not in ids:
        session = await call(http, "POST", f"{home}/sessions", headers=headers, json={"title": words["session"]})
        ids["session_id"] = session["id"]
        await call(
            http, "POST", f"{home}/sessions/{session['id']}/messages", headers=headers, json={"text": words["message"]}
        )
    missing = []
    if not await _answered(http, party, f"{home}/sessions/{ids['session_id']}", words["comment"], wait_seconds):
        missing.append("an answer with a comment")
    if not await _searchable(http, party, f"{base}/documents/{ids['document_id']}", wait_seconds):
        missing.append("a searchable document")
    return missing


async def remove(http: httpx.AsyncClient, canaries: Canaries) -> None:
    """Delete what both tenants hold; their empty accounts stay. Raises ProbeFailed."""
    for side in (canaries.a, canaries.b):
        party = await sign_in(http, side)
        for bot in (await call(http, "GET", "/chatbots", headers=party.header()))["items"]:
            await call(http, "DELETE", f"/chatbots/{bot['id']}", headers=party.header())


async def _welcome(http: httpx.AsyncClient, party: Party, name: str) -> None:
    home, headers = f"/chatbots/{party.side.ids['chatbot_id']}", party.header()
    secret = (await call(http, "GET", f"{home}/identity-secret", headers=headers))["secret"]
    signature = hmac.new(secret.encode(), name.encode(), "sha256").hexdigest()
    grant = await call(http, "POST", f"{home}/visitors", json={"user_id": name, "signature": signature})
    party.side.ids["visitor_id"] = grant["visitor_id"]
    party.tokens["visitor"] = grant["token"]


async def _answered(http: httpx.AsyncClient, party: Party, session: str, comment: str, wait_seconds: float) -> bool:
    """Whether the question has its answer and a rating of it; notes the ids of both."""
    ids, deadline = party.side.ids, time.monotonic() + wait_seconds
    while True:
        messages = (await call(http, "GET", f"{session}/messages", headers=party.header()))["items"]
        answers = [message for message in messages if message["role"] == "assistant"]
        if messages:
            ids["turn_id"] = messages[0]["turn_id"]
            ids["question_id"] = messages[0]["id"]
        if answers:
            ids["message_id"] = answers[0]["id"]
            path = f"{session}/messages/{ids['message_id']}/feedback"
            await call(http, "PUT", path, headers=party.header(), json={"rating": "up", "comment": comment})
            return True
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)


async def _searchable(http: httpx.AsyncClient, party: Party, document: str, wait_seconds: float) -> bool:
    deadline = time.monotonic() + wait_seconds
    while (await call(http, "GET", document, headers=party.header()))["status"] != "ready":
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True
