"""The pipeline is killed at each of its stages: documents end ready with every chunk once, or failed with none."""

from typing import Any

import pytest
from pydantic import SecretStr

from configs.settings import Settings
from tests.faults.ingestion_schedule import run_deaths
from tests.fixtures.database import DATABASE_SECRET, MASTER_KEYS
from tests.fixtures.knowledge import KnowledgeBase

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.mark.parametrize(
    ("seed", "stages"), [(1, ("parse", "mark")), (2, ("embed", "write")), (3, ("write", "marked"))]
)
async def test_a_killed_pipeline_leaves_nothing_half_done(
    ray_cluster: Any, knowledge: KnowledgeBase, redis_url: str, seed: int, stages: tuple[str, ...]
) -> None:
    settings = Settings(
        object_store_url=knowledge.objects_url,
        profile="test",
        redis_url=redis_url,
        secret_key=SecretStr(DATABASE_SECRET),
        master_keys=MASTER_KEYS,
    )
    assert await run_deaths(ray_cluster, knowledge, settings, seed, stages) == []
