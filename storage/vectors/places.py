"""Where a chatbot's table lies; knows nothing of LanceDB, whose import takes a second."""

from pathlib import Path

from domain.ids import ChatbotId, TenantId


def root_of(objects_url: str) -> str:
    """The object store's URL, or the absolute path of its folder."""
    return objects_url.rstrip("/") if "://" in objects_url else str(Path(objects_url).resolve())


def database_of(root: str, tenant_id: TenantId | str) -> str:
    """The tenant's database below a `root_of`."""
    return f"{root}/{tenant_id}/vectors"


def table_of(chatbot_id: ChatbotId | str) -> str:
    """The name of the bot's table in its tenant's database."""
    return str(chatbot_id)


def has_no_database(root: str, tenant_id: TenantId) -> bool:
    """Whether it is certain that the tenant never had a document: only a local store can tell at once."""
    return "://" not in root and not Path(database_of(root, tenant_id)).exists()


def has_no_table(root: str, tenant_id: TenantId, chatbot_id: ChatbotId) -> bool:
    """Whether it is certain that the bot never had a document: only a local store can tell at once."""
    return "://" not in root and not Path(database_of(root, tenant_id), f"{table_of(chatbot_id)}.lance").exists()
