"""Which user of this machine is at the other end of a connection: the kernel knows (Linux, sock_diag(7))."""

import os
import socket
import struct
from functools import cache
from ipaddress import ip_address
from typing import Final

_SOCK_DIAG: Final = 4
"""NETLINK_SOCK_DIAG, which Python has no name for."""
_BY_FAMILY: Final = 20
_IS_REQUEST: Final = 1
_LISTEN: Final = 10
_HEAD: Final = struct.Struct("=IHHII")
_ASKED: Final = struct.Struct("=BBBBI2s2s16s16sIII")
_FOUND: Final = struct.Struct("=BBBB48sIIIII")
_ANY_COOKIE: Final = 0xFFFFFFFF

Address = tuple[str, int]


def user_of(client: Address, server: Address) -> int | None:
    """Return the id of the user whose process has the client's end of a TCP connection within this machine.

    None if that is nobody's: the process has closed it, or it is not of this machine.

    :raises OSError: this system does not say
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
        kernel.settimeout(1)
        kernel.send(_question(client, server))
        answer = kernel.recv(8192)
    _, kind, *_ = _HEAD.unpack_from(answer)
    if kind != _BY_FAMILY:
        return None
    _, state, _, _, _, _, _, _, user, inode = _FOUND.unpack_from(answer, _HEAD.size)
    return user if inode and state != _LISTEN else None


@cache
def can_tell_users() -> bool:
    """Whether this system says whose a connection is: tried with one of this process's own."""
    try:
        with (
            socket.create_server(("127.0.0.1", 0)) as server,
            socket.create_connection(server.getsockname()) as client,
        ):
            return user_of(client.getsockname(), server.getsockname()) == os.geteuid()
    except (OSError, AttributeError, struct.error):  # there is no such thing, or it may not be asked
        return False


def _question(client: Address, server: Address) -> bytes:
    family, ours = _packed(client[0])
    _, theirs = _packed(server[0])
    ports = [port.to_bytes(2, "big") for port in (client[1], server[1])]
    asked = _ASKED.pack(
        family, socket.IPPROTO_TCP, 0, 0, _ANY_COOKIE, *ports, ours, theirs, 0, _ANY_COOKIE, _ANY_COOKIE
    )
    return _HEAD.pack(_HEAD.size + len(asked), _BY_FAMILY, _IS_REQUEST, 0, 0) + asked


def _packed(host: str) -> tuple[int, bytes]:
    address = ip_address(host)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return family, address.packed.ljust(16, b"\0")
