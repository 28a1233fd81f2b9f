"""Where the installation's database is, for commands that work on it directly."""

from cluster.embedded.process import SetupError, remembered_secret
from cluster.runtime import load_state, process_of
from configs.settings import Settings


def database_of(settings: Settings) -> tuple[str, str]:
    """The address, without a log-in where it is the embedded server's, and the platform's secret.

    Raises SetupError.
    """
    kept = settings.root / "secret_key"
    secret = settings.secret_key.get_secret_value() or (remembered_secret(kept) if kept.is_file() else "")
    if settings.database_url is not None:
        if not secret:
            raise SetupError("Set LOQUENT_SECRET_KEY: the platform's log-ins and seals come from it.")
        return settings.database_url, secret
    state = load_state(settings.root)
    for part in state.parts if state else ():
        if part.name == "PostgreSQL" and process_of(part.pid, part.created) is not None and secret:
            return f"postgresql://127.0.0.1:{part.port}/loquent", secret
    raise SetupError("Loquent is not running here; `loquent up` starts it.")
