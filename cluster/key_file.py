"""The master keys of an installation: those of the settings, or those kept in its data folder."""

from pathlib import Path

from cluster.embedded.process import SetupError, remembered_secret, write_private
from configs.settings import Settings
from storage.keys import new_master_key, parse_master_keys


def key_file(settings: Settings) -> Path:
    return settings.root / "master_keys"


def master_keys_of(settings: Settings, *, make: bool = True) -> str:
    """The value of the setting `master_keys`; without `make` a missing file is an error. Raises SetupError."""
    text = settings.master_keys.get_secret_value()
    place = "LOQUENT_MASTER_KEYS"
    if not text:
        file = key_file(settings)
        if not make and not file.is_file():
            raise SetupError("Set LOQUENT_MASTER_KEYS: the tenants' keys are wrapped with them.")
        text, place = remembered_secret(file, new_master_key), str(file)
    try:
        parse_master_keys(text)
    except ValueError as error:
        raise SetupError(f"{place} is not valid: {error}.") from None
    return text


def add_master_key(settings: Settings) -> str:
    """Put a new key before the ones in the data folder; its id. Raises SetupError when the settings name the keys."""
    if settings.master_keys.get_secret_value():
        raise SetupError("The keys are in LOQUENT_MASTER_KEYS: put a new one before them there.")
    present = master_keys_of(settings, make=False)
    made = new_master_key()
    write_private(key_file(settings), f"{made},{present}")
    return made.partition(":")[0]
