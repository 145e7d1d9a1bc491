"""Addresses of machines: one way to write each, and which of them count as one.

Limits that hold for an address hold for its `neighbourhood`: who has an IPv6 address has the
other 2^64 - 1 of its network too.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

_NEIGHBOURHOOD_BITS = 64


@lru_cache(maxsize=1024)
def plain_address(host: str) -> str:
    """An address without its zone; an IPv4 one that came as IPv6 is IPv4 again."""
    return str(_parse(host))


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own and never on any wire."""
    return _parse(host).is_loopback


def neighbourhood(host: str) -> str:
    """What shares the limits of an address: itself, or its /64 network in IPv6."""
    address = _parse(host)
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((int(address), _NEIGHBOURHOOD_BITS), strict=False))


@lru_cache(maxsize=1024)
def _parse(host: str) -> IPv4Address | IPv6Address:
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
