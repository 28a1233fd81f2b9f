"""Vault: the tenants' ciphers of this process, unwrapped and kept for a few minutes."""

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Self

from configs.settings import Settings
from domain.errors import Erased
from domain.ids import TenantId
from domain.sealing import KEY_BYTES, KeyEncryption, StoredKey, WrappedKey
from storage.keys.cipher import TenantCipher
from storage.keys.master_keys import LocalMasterKeys, parse_master_keys

REMEMBER_SECONDS = 300.0
"""How long a process goes on with keys that were shredded or replaced meanwhile."""
ACTIVE_AFTER_SECONDS = REMEMBER_SECONDS + 60.0
"""From the making of a key's version to its use: every process has read it by then, slow transactions too."""
CAPACITY = 2_000


class Vault:
    """A bounded memory over the master key; knows no database (see `storage.postgres.tenant_keys`)."""

    def __init__(
        self,
        master: KeyEncryption,
        *,
        seconds: float = REMEMBER_SECONDS,
        capacity: int = CAPACITY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.master = master
        self._seconds = seconds
        self._capacity = capacity
        self._clock = clock
        self._ciphers: OrderedDict[TenantId, tuple[float, TenantCipher]] = OrderedDict()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Raises ValueError when the settings have no master key."""
        text = settings.master_keys.get_secret_value()
        return cls(LocalMasterKeys(parse_master_keys(text) if text else {}))

    def remembered(self, tenant_id: TenantId) -> TenantCipher | None:
        """The tenant's cipher while it is fresh."""
        found = self._ciphers.get(tenant_id)
        if found is None:
            return None
        until, cipher = found
        if self._clock() >= until:
            del self._ciphers[tenant_id]
            return None
        self._ciphers.move_to_end(tenant_id)
        return cipher

    def remember(self, cipher: TenantCipher) -> None:
        """Only what is committed: a key that is rolled back must not seal anything afterwards."""
        self._ciphers[cipher.tenant_id] = (self._clock() + self._seconds, cipher)
        self._ciphers.move_to_end(cipher.tenant_id)
        while len(self._ciphers) > self._capacity:
            self._ciphers.popitem(last=False)

    def forget(self, tenant_id: TenantId) -> None:
        self._ciphers.pop(tenant_id, None)

    async def unwrap(self, tenant_id: TenantId, keys: Sequence[StoredKey]) -> TenantCipher:
        """A cipher of these versions. Raises Erased when they are shredded, Unavailable, Unreadable."""
        found: dict[int, bytes] = {}
        for key in keys:
            if key.wrapped is None:
                raise Erased
            found[key.version] = await self.master.unwrap(tenant_id, key.version, key.wrapped)
        return TenantCipher(tenant_id, found, {key.version: key.active_in for key in keys}, self._clock)

    async def new_key(self, tenant_id: TenantId, version: int) -> WrappedKey:
        """A random data key, wrapped with the newest master key. Raises Unavailable."""
        return await self.master.wrap(tenant_id, version, os.urandom(KEY_BYTES))
