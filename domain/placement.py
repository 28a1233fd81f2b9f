"""Which session host a tenant belongs to."""

from hashlib import blake2b

from domain.ids import TenantId


def slot_of(tenant_id: TenantId, slots: int) -> int:
    """The tenant's slot by rendezvous hashing: with one slot more, only one tenant in `slots + 1` moves.

    Source: Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998.
    """
    return max(range(slots), key=lambda slot: blake2b(tenant_id.bytes + slot.to_bytes(4), digest_size=8).digest())
