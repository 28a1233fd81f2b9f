"""Where the tables of a chatbot lie; knows nothing of LanceDB, whose import takes a second."""

import re
from pathlib import Path
from uuid import UUID

from domain.ids import ChatbotId, TenantId

_TABLE = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:-g([1-9][0-9]{0,8}))?")


def root_of(objects_url: str) -> str:
    """The object store's URL, or the absolute path of its folder."""
    return objects_url.rstrip("/") if "://" in objects_url else str(Path(objects_url).resolve())


def database_of(root: str, tenant_id: TenantId | str) -> str:
    """The tenant's database below a `root_of`."""
    return f"{root}/{tenant_id}/vectors"


def table_of(chatbot_id: ChatbotId | str, generation: int = 0) -> str:
    """The name of a generation of the bot's knowledge in its tenant's database."""
    return f"{chatbot_id}-g{generation:d}" if generation else str(chatbot_id)


def place_of(table: str) -> tuple[ChatbotId, int] | None:
    """The bot and the generation that a table's name says; None for any other name."""
    found = _TABLE.fullmatch(table)
    return (ChatbotId(UUID(found[1])), int(found[2] or 0)) if found else None


def has_no_database(root: str, tenant_id: TenantId) -> bool:
    """Whether it is certain that the tenant never had a document: only a local store can tell at once."""
    return "://" not in root and not Path(database_of(root, tenant_id)).exists()


def has_no_table(root: str, tenant_id: TenantId, chatbot_id: ChatbotId, generation: int = 0) -> bool:
    """Whether it is certain that the bot has no document in the generation: only a local store can tell at once."""
    table = f"{table_of(chatbot_id, generation)}.lance"
    return "://" not in root and not Path(database_of(root, tenant_id), table).exists()
