"""The gateway with one identity provider, `acme`, which is believed about addresses at acme.example."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import yaml

from configs.settings import Settings
from tests.fixtures.gateway import GatewayRig
from tests.fixtures.identity_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    PAGE_URL,
    SECRET_VARIABLE,
    Browser,
    IdentityServer,
    new_key,
)


@pytest.fixture(scope="package")
def acme(identity_server: IdentityServer) -> Iterator[IdentityServer]:
    """Started with one key; whoever changes that starts it again."""
    identity_server.start([new_key("RS256", "first")])
    yield identity_server
    identity_server.stop()


@pytest.fixture
def gateway_settings(
    gateway_settings: Settings, acme: IdentityServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    monkeypatch.setenv(SECRET_VARIABLE, CLIENT_SECRET)
    table = {
        "name": "acme",
        "label": "Acme",
        "issuer": acme.issuer,
        "client_id": CLIENT_ID,
        "client_secret_env": SECRET_VARIABLE,
        "domains": ["acme.example"],
    }
    file = tmp_path / "identity.yaml"
    file.write_text(yaml.safe_dump({"providers": [table]}))
    return gateway_settings.model_copy(update={"identity_file": file, "public_url": PAGE_URL})


@pytest.fixture
async def browser(rig: GatewayRig) -> AsyncIterator[Browser]:
    found = Browser(rig)
    yield found
    await found.close()


@pytest.fixture
def ada(acme: IdentityServer) -> str:
    """A name that nobody had before, with a verified address at acme.example."""
    return acme.add("ada")
