"""What `loquent erasure verify` and `loquent retention run` do."""

import asyncio
from pathlib import Path
from typing import Any

from cluster.embedded.process import SetupError, remembered_secret
from cluster.installed_database import database_of
from configs.settings import Settings
from domain.erasure import Counts
from domain.errors import AppError
from pipelines.retention import expire
from storage.postgres.database import Database
from storage.postgres.migrator import role_urls
from storage.receipts import ReceiptSigner, verify_receipt


def check_receipt(settings: Settings, file: Path, public_key: str) -> dict[str, Any]:
    """What the receipt says. `public_key` is hexadecimal; without one it is this installation's own.

    Raises SetupError with the reason when the receipt does not hold, or cannot be checked.
    """
    try:
        key = bytes.fromhex(public_key) if public_key else _own_key(settings)
        return verify_receipt(file.read_bytes(), key)
    except OSError as error:
        raise SetupError(f"{file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        known = str(error).endswith(".")
        raise SetupError(str(error) if known else "A public key is 64 hexadecimal digits.") from error


def run_retention(settings: Settings) -> Counts:
    """Erase what is older than its chatbot keeps it; the rows that went. Raises SetupError without the database."""
    return asyncio.run(_expire(settings))


async def _expire(settings: Settings) -> Counts:
    url, secret = database_of(settings)
    db = await Database.open(*role_urls(url, secret), min_size=0, max_size=2)
    try:
        return await expire(db)
    except AppError as error:
        raise SetupError(error.message) from error
    finally:
        await db.close()


def _own_key(settings: Settings) -> bytes:
    kept = settings.root / "secret_key"
    secret = settings.secret_key.get_secret_value() or (remembered_secret(kept) if kept.is_file() else "")
    if not secret:
        raise SetupError("Give the platform's public key with --key; `GET /erasures/receipt-key` shows it.")
    return ReceiptSigner(secret).public_key
