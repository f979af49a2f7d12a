"""Sockets to listen on, and what to say when there are none."""

import errno
import socket
from ipaddress import ip_address
from typing import Final

_TRIES: Final = 100


class PortError(Exception):
    """A port that cannot be listened on. The message says what to do."""


def listen(host: str, port: int, flag: str, *, auto: bool = False) -> socket.socket:
    """Return a bound socket.

    :param port: 0 for any free one
    :param flag: the command-line flag that sets this port, for the message
    :param auto: take the next free port if this one is in use
    :raises PortError: it is in use, may not be used, or the address is not this machine's
    """
    last = min(port + _TRIES, 65536) if auto and port else port + 1
    for candidate in range(port, last):
        try:
            return _bind(host, candidate)
        except UnicodeError:
            raise PortError(f"cannot listen on {host}: that is not the name of a host") from None
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise PortError(f"cannot listen on {host} port {candidate}: {error.strerror}") from None
    if auto:
        raise PortError(f"ports {port} to {last - 1} are all in use; name another with {flag}")
    raise PortError(f"port {port} is in use; name another with {flag}, or pass --port-auto for the next free one")


def url(listener: socket.socket) -> str:
    """Return the address to open in a browser on this machine."""
    host, port = listener.getsockname()[:2]
    if ip_address(host).is_unspecified:
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _bind(host: str, port: int) -> socket.socket:
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listener = socket.socket(family, kind)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)  # now, so that a second server is refused here and not later
    except BaseException:
        listener.close()
        raise
    return listener
