"""Uploaded files and what was parsed from them, in a folder or an object store."""

from storage.blobs.store import ORIGINAL, PARSED, BlobStore, document_prefix, export_key, original_key, parsed_key

__all__ = ["ORIGINAL", "PARSED", "BlobStore", "document_prefix", "export_key", "original_key", "parsed_key"]
