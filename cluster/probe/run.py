"""One run of the probe: plant what is missing, look everywhere, say what was found."""

from pathlib import Path
from typing import Protocol

import httpx

from cluster.probe.http_surface import HttpSurface
from cluster.probe.marks import Marks, Report
from cluster.probe.planting import Canaries, Party, ProbeFailed, load_or_new, plant, save, sign_in, sign_out
from cluster.probe.socket_surface import SocketSurface

WAIT_SECONDS = 60.0
"""For an answer of the model, and for a document to become searchable."""


class Rows(Protocol):
    """The database, asked as the application's own role."""

    async def tables_showing(self, tenant_id: str | None, words: list[str], foreign: str) -> tuple[int, list[str]]:
        """How many tables were read as this tenant (None: as nobody), and which of them show one of the words, or a
        row of the tenant `foreign`."""


async def probe(
    http: httpx.AsyncClient,
    socket_url: str,
    state: Path,
    rows: Rows | None = None,
    wait_seconds: float = WAIT_SECONDS,
) -> Report:
    """`http` has the platform's address as its base; `state` is where the two tenants are remembered.

    Raises ProbeFailed when it could not look.
    """
    try:
        canaries, a, b, missing = await planted(http, state, wait_seconds)
        report = Report(missing=missing, planted=sorted(canaries.words))
        marks = Marks(
            {f"the word in the {surface}": word for surface, word in canaries.words.items()},
            {f"the {name}": value for name, value in a.ids.items()},
        )
        await HttpSurface(http, marks, report).look(a, b)
        await SocketSurface(socket_url, marks, report).look(a, b, canaries.topic, wait_seconds)
        await sign_out(http, a, b)
    except httpx.HTTPError as error:
        raise ProbeFailed(f"The platform does not answer ({type(error).__name__}).") from error
    if rows is not None:
        for who, tenant_id in (("tenant B", b.tenant_id), ("nobody", None)):
            read, showing = await rows.tables_showing(tenant_id, list(canaries.words.values()), a.tenant_id)
            report.checks["tables"] += read
            for table in showing:
                report.add(f"table {table}", who, ["rows of another tenant"])
    return report


async def planted(
    http: httpx.AsyncClient, state: Path, wait_seconds: float
) -> tuple[Canaries, Party, Party, list[str]]:
    """Both tenants signed in and holding what they should, and what could not be planted. Raises ProbeFailed."""
    canaries = load_or_new(state)
    # Before anything is registered: a run that is cut short leaves no tenants that nobody can sign in to.
    save(state, canaries)
    a, b = await sign_in(http, canaries.a), await sign_in(http, canaries.b)
    missing = await plant(http, a, canaries.words, canaries.topic, wait_seconds)
    # What A did not get in time, B would wait for in vain.
    await plant(http, b, dict.fromkeys(canaries.words, "Probe"), "nothing", 0 if missing else wait_seconds)
    save(state, canaries)
    return canaries, a, b, missing
