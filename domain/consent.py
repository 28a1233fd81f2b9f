"""Consent of visitors to a version of the tenant's privacy policy."""

from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address, ip_network
from uuid import UUID

IPV4_BITS, IPV6_BITS = 24, 48


@dataclass(frozen=True, slots=True)
class NeededConsent:
    """What a visitor has to agree to before they ask."""

    policy_url: str
    policy_version: str


@dataclass(frozen=True, slots=True)
class Consent:
    id: UUID
    policy_version: str
    ip: str | None
    """Shortened."""
    at: datetime


def shortened(ip: str | None) -> str | None:
    """The network of an address, /24 or /48, which says where and not who. None for what is no address."""
    try:
        address = ip_address(ip or "")
    except ValueError:
        return None
    address = getattr(address, "ipv4_mapped", None) or address
    bits = IPV4_BITS if address.version == 4 else IPV6_BITS
    return str(ip_network(f"{address}/{bits}", strict=False).network_address)
