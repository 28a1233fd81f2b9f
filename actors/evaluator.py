"""The evaluator: starts requested evaluations, one per tenant at a time, and sees to it that each of them ends."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from storage.postgres.database import Database, system_tx
from storage.postgres.evaluations import MOST_ATTEMPTS, Claim, Evaluations

log = structlog.get_logger()

EVERY_SECONDS = 1.0
GRACE_SECONDS = 30.0
"""How long an evaluation that nobody wants any more may take to end by itself."""


class Evaluator:
    """One per platform. An evaluation that was at work when its process ended goes on where it was."""

    def __init__(self, db: Database, run: Callable[[Claim], Awaitable[None]], most: int) -> None:
        """`run` evaluates one and returns; at most `most` of them run at once."""
        self._db = db
        self._run = run
        self._most = most
        self._running: dict[Claim, asyncio.Task[None]] = {}
        self._unwanted: dict[Claim, float] = {}
        """When each was first seen to be not wanted any more."""

    async def work(self) -> float | None:
        """Start what may start, and end what goes on though it should not."""
        await self._end_unwanted()
        while len(self._running) < self._most:
            async with system_tx(self._db) as tx:
                claim = await Evaluations(tx).claim([one.tenant_id for one in self._running])
            if claim is None:
                break
            if claim.attempts > MOST_ATTEMPTS:
                await self._give_back(claim)
                continue
            task = self._running[claim] = asyncio.create_task(self._follow(claim))
            task.add_done_callback(lambda _, claim=claim: self._ended(claim))  # type: ignore[misc]
        return None

    async def close(self) -> None:
        """End them all; the next process goes on with them."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, claim: Claim) -> None:
        log.info("evaluation.started", evaluation=str(claim.id), tenant=str(claim.tenant_id), attempt=claim.attempts)
        try:
            await self._run(claim)
        except Exception as error:  # noqa: BLE001 - whatever happens in one must not stop the others
            log.warning("evaluation.cut_off", evaluation=str(claim.id), attempt=claim.attempts, error=repr(error))
        # One that has ended is not taken back.
        await self._give_back(claim)

    async def _give_back(self, claim: Claim) -> None:
        async with system_tx(self._db) as tx:
            await Evaluations(tx).give_back(claim)

    async def _end_unwanted(self) -> None:
        if not self._running:
            return
        async with system_tx(self._db) as tx:
            wanted = await Evaluations(tx).still_running(list(self._running))
        now = asyncio.get_running_loop().time()
        for claim, task in list(self._running.items()):
            if claim.id not in wanted and now - self._unwanted.setdefault(claim, now) > GRACE_SECONDS:
                task.cancel()

    def _ended(self, claim: Claim) -> None:
        task = self._running.pop(claim)
        self._unwanted.pop(claim, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            # The row says `running` yet, and is claimed again.
            log.warning("evaluation.not_given_back", evaluation=str(claim.id), error=repr(error))
