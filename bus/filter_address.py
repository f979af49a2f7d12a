"""Comparing the addresses of peers, one by one or by network."""

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from .filter_kinds import Predicate, Text, shortened, tested
from .filter_text import Test
from .filter_tree import FilterError, Term, Value

_ADDRESSES: Final = 4_096
"""Peers of which it is remembered whether they are in a network: reading an address takes microseconds."""


@dataclass(frozen=True, slots=True)
class Address(Text):
    """A field with the address of a peer, which may also be compared with networks."""

    def predicate(self, term: Term) -> Predicate:
        """See `Field`."""
        if term.operator != ":" or any(len(value.pieces) > 1 for value in term.values):
            return Text.predicate(self, term)
        tests = [_in_network(value) for value in term.values]
        test = tests[0] if len(tests) == 1 else (lambda text: any(test(text) for test in tests))
        return tested(self.get, lru_cache(_ADDRESSES)(test))


def _in_network(value: Value) -> Test:
    """Return whether a client is the one that `value` names, however it is written, or in the network that it names."""
    text = value.text
    address, _, length = text.partition("/")
    if (named := _address(address)) is None:
        return lambda client: client.casefold() == text.casefold()
    if not length and "/" not in text:
        return lambda client: client == text or _address(client) == named
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        message = f"{shortened(text)} is not a network such as 10.0.0.0/8 or 2001:db8::/32"
        raise FilterError(message, value.position) from None
    return lambda client: (peer := _address(client)) is not None and peer.version == network.version and peer in network


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A server that listens on both calls an IPv4 peer ::ffff:10.0.0.1.
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
