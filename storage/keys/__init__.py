"""Keys and ciphers: master keys, tenants' data keys in memory, and values that are sealed with them."""

from storage.keys.cipher import TenantCipher
from storage.keys.document_keys import DocumentKeys
from storage.keys.master_keys import LocalMasterKeys, new_master_key, parse_master_keys
from storage.keys.vault import Vault

__all__ = ["DocumentKeys", "LocalMasterKeys", "TenantCipher", "Vault", "new_master_key", "parse_master_keys"]
