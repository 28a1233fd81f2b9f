"""The checks of one session host, opened with it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from ray.util.metrics import Counter

from actors.guarding.moderation_api import ModerationApi
from actors.guarding.personal_data import personal_data
from configs.settings import Settings
from configs.tables import load_moderation
from domain.guarding.checks import Checks
from domain.moderation import RuleGuard

CONNECTIONS = 32


@asynccontextmanager
async def host_checks(settings: Settings) -> AsyncIterator[Checks]:
    outcomes = Counter(
        "loquent_guard_outcomes",
        description="What the checks of turns found, and that they failed.",
        tag_keys=("check", "place", "outcome"),
    )

    def count(check: str, place: str, outcome: str) -> None:
        outcomes.inc(tags={"check": check, "place": place, "outcome": outcome})

    rules = RuleGuard((rule.name, rule.pattern, rule.refusal) for rule in load_moderation())
    key = settings.moderation_api_key
    limits = httpx.Limits(max_connections=CONNECTIONS)
    async with httpx.AsyncClient(limits=limits, timeout=10.0, follow_redirects=False) as http:
        api = None
        if key is not None:
            base, model = settings.moderation_base_url, settings.moderation_model
            api = ModerationApi(http, base, key.get_secret_value(), model)
        yield Checks(rules, personal_data, api, count)
