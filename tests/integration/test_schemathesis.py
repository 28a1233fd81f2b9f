"""schemathesis on a live gateway with two tenants: whatever it sends, no answer is a 5xx or shows the other tenant."""

import asyncio
import itertools
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.generation.case import Case
from schemathesis.specs.openapi.checks import response_schema_conformance

from cluster.probe.marks import Marks
from cluster.probe.planting import SURFACES, Party, Side, new_word, plant
from configs.settings import Settings
from tests.fixtures.gateway import Chat, SocketRig, Tenant
from tests.fixtures.stored_turns import store_turn

EXAMPLES = 5
"""Of every operation and each way to make them."""
NOT_CALLED = frozenset(("/auth/logout", "/readyz"))
"""Signing B out would leave only refusals to look at; without models nothing is ready."""


@pytest.fixture
def gateway_settings(gateway_settings: Settings) -> Settings:
    return gateway_settings.model_copy(update={"rate_limit_factor": 10_000.0})


@dataclass
class Look:
    """Sends what schemathesis makes, as somebody of tenant B, and looks at what comes back."""

    url: str
    tokens: list[str]
    own: dict[str, str]
    theirs: dict[str, str]
    marks: Marks
    answers: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    session: requests.Session = field(default_factory=requests.Session)

    def send(self, case: Case[Any]) -> None:
        """Ids are sometimes those that the case has, often A's, and B's own where nothing is deleted."""
        known = [self.theirs] if case.method.upper() == "DELETE" else [self.theirs, self.own]
        for name in case.path_parameters or {}:
            ids = self.chance.choice(known)
            if name in ids and self.chance.random() < 0.9:
                case.path_parameters[name] = ids[name]
        headers = {"Authorization": f"Bearer {self.chance.choice(self.tokens)}"}
        answer = case.call(base_url=self.url, session=self.session, headers=headers, timeout=30, allow_redirects=False)
        self.answers[answer.status_code] += 1
        head = "\n".join(f"{name}: {values}" for name, values in answer.headers.items())
        asked = f"{answer.request.url}\n{answer.request.body!r}"
        found = self.marks.found_in(f"{head}\n{answer.content.decode('utf-8', 'replace')}", asked)
        if answer.status_code >= 500 or found:
            self.wrong.append(
                f"{case.method} {answer.request.url} {answer.request.body!r}: {answer.status_code} {found}"
            )
        if answer.status_code < 300 and case.path != "/audit/export":
            try:
                case.validate_response(answer, checks=[response_schema_conformance])
            except FailureGroup as error:
                self.wrong.append(f"{case.method} {case.path} is not as documented: {error.exceptions}")


def explore(look: Look, document: dict[str, Any]) -> int:
    """Every operation of the document; how many there were."""
    operations = 0
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        if operation.path in NOT_CALLED:
            continue
        operations += 1
        modes = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
        for mode in modes:

            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def run(case: Case[Any]) -> None:
                look.send(case)

            try:
                run()
            except Exception as error:
                # An operation without anything to get wrong has no negative cases.
                if type(error).__name__ not in ("Unsatisfiable", "SkipTest", "Skipped"):
                    raise
    return operations


async def party_of(tenant: Tenant) -> Party:
    grant = tenant.grant
    token = {"owner": grant["access_token"]}
    return Party(Side(tenant.email, "", ""), token, grant["tenant"]["id"], grant["user"]["id"])


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
async def test_nothing_breaks_and_nothing_of_the_other_tenant_comes_back(
    socket_rig: SocketRig,
) -> None:
    rig = socket_rig.rig
    rig.services.tokens.lifetime_seconds = 3_600
    first, second = await rig.register(), await rig.register()
    a, b = await party_of(first), await party_of(second)
    words = {surface: new_word() for surface in SURFACES}
    await plant(rig.http, a, words, "nothing", 0)
    stored = await store_turn(rig, Chat(first, a.side.ids["chatbot_id"], a.side.ids["session_id"]), words["message"])
    await plant(rig.http, a, words, "nothing", 0)
    assert a.side.ids["message_id"] == stored.answer
    await plant(rig.http, b, dict.fromkeys(words, "Probe"), "nothing", 0)
    marks = Marks(words, {name: value for name, value in a.ids.items() if name != "question_id"})
    look = Look(f"http://127.0.0.1:{socket_rig.port}", list(b.tokens.values()), b.ids, a.ids, marks)
    document = (await rig.http.get("/openapi.json")).json()
    operations = await asyncio.to_thread(explore, look, document)
    print(f"{operations} operations, {look.answers.total()} calls: {dict(look.answers)}")
    assert look.wrong == []
    assert operations > 25
    assert look.answers.total() > 5 * operations
    assert sum(itertools.chain(count for status, count in look.answers.items() if status < 300)) > operations // 2
    assert look.answers[404] > operations // 2
    assert (await first.get(f"/chatbots/{a.side.ids['chatbot_id']}")).json()["name"] == words["bot"]
