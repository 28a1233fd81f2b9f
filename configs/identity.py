"""Reader of identity.yaml: the OpenID providers that people may sign in with, and their secrets."""

import os
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, Field, SecretStr, model_validator

from configs.tables import HERE, Table

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def is_safe_url(url: str, *, plain: bool = False) -> bool:
    """Whether it is https; with `plain`, http to this very machine will do too."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    if not host or parts.username is not None or parts.fragment:
        return False
    return parts.scheme == "https" or (plain and parts.scheme == "http" and host in _LOOPBACK)


def _checked_issuer(url: str) -> str:
    if not is_safe_url(url, plain=True) or urlsplit(url).query:
        raise ValueError("an issuer is an https address without a query")
    return url


class IdentityProvider(Table):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    label: str = Field(min_length=1, max_length=60)
    issuer: Annotated[str, AfterValidator(_checked_issuer)]
    client_id: str = Field(min_length=1)
    client_secret_env: str | None = None
    domains: tuple[Annotated[str, Field(pattern=r"^[a-z0-9.-]+$")], ...] = ()
    """Of e-mail addresses: only these may sign in, and the provider is believed about them."""

    @property
    def plain(self) -> bool:
        """Whether the provider runs on this machine, without TLS."""
        return self.issuer.startswith("http://")

    @property
    def client_secret(self) -> SecretStr | None:
        """Raises ValueError when the environment lacks it."""
        if self.client_secret_env is None:
            return None
        secret = os.environ.get(self.client_secret_env)
        if not secret:
            raise ValueError(f"the provider {self.name!r} needs the environment variable {self.client_secret_env}")
        return SecretStr(secret)


class IdentityTable(Table):
    providers: tuple[IdentityProvider, ...]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for what in ("name", "issuer"):
            values = [getattr(provider, what) for provider in self.providers]
            if len(set(values)) != len(values):
                # An account belongs to an issuer and a subject: two tables of one issuer would share their people.
                raise ValueError(f"two providers have the same {what}")
        return self


def load_identity(path: Path | None = None) -> tuple[IdentityProvider, ...]:
    """In the order of the file. Raises ValueError for one that is not valid."""
    text = (path or HERE / "identity.yaml").read_text("utf-8")
    return IdentityTable.model_validate(yaml.safe_load(text)).providers
