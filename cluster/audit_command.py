"""`loquent audit verify`: what the audit log's check found, for people and for scripts."""

import asyncio
from uuid import UUID

from rich.console import Console

from cluster.audit import Report, verify
from cluster.embedded.process import SetupError
from cluster.installed_database import database_of
from configs.settings import Settings
from domain.audit_anchor import KEY_PURPOSE
from domain.errors import AppError
from domain.ids import TenantId
from domain.keys import derive_key
from storage.blobs import BlobStore
from storage.postgres.database import Database
from storage.postgres.migrator import role_urls


def verify_audit(settings: Settings, tenant: UUID | None, console: Console) -> bool:
    """Print a line per chain; whether all is well. Raises SetupError when it cannot be told."""
    report = asyncio.run(_verify(settings, TenantId(tenant) if tenant else None))
    for finding in report.anchor_findings:
        console.print(f"[bold red]✗[/bold red] anchors: {finding.sentence}", highlight=False)
    for found in report.tenants:
        mark = "[bold red]✗[/bold red]" if found.findings else "[green]✓[/green]"
        state = " ".join(finding.sentence for finding in found.findings) or "ok"
        counts = f"{found.events} events, anchored up to {found.anchored}"
        console.print(f"{mark} tenant {found.tenant_id}: {state} ({counts})", highlight=False, soft_wrap=True)
    console.print(f"{len(report.tenants)} chains and {report.anchors} anchors read.", highlight=False)
    return report.ok


async def _verify(settings: Settings, tenant: TenantId | None) -> Report:
    url, secret = database_of(settings)
    db = await Database.open(*role_urls(url, secret), min_size=0, max_size=2)
    try:
        return await verify(db, BlobStore(settings.objects_url), derive_key(secret, KEY_PURPOSE), tenant)
    except AppError as error:
        raise SetupError(error.message) from error
    except OSError as error:
        raise SetupError(f"The anchors cannot be read: {error.strerror or type(error).__name__}.") from error
    finally:
        await db.close()
