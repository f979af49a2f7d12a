"""How much and how long a client may send."""

from collections import Counter
from dataclasses import dataclass, field

from .settings import Settings


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server lets a client do. None stands for no limit."""

    head: int = 64 << 10
    """Bytes of the request line and the headers."""
    headers: int = 100
    head_time: float = 10.0
    """Seconds until the head is whole."""
    body_time: float | None = 60.0
    """Seconds until the body is whole, without those in which the application does not read or the server parses."""
    send_time: float | None = 30.0
    """Seconds in which a client takes nothing of what waits for it."""
    connections: int | None = 1_000
    refused: Counter[int] = field(default_factory=Counter[int])
    """How many requests were refused before the application saw them, by status."""


def strict_limits(settings: Settings) -> Limits:
    """Return the limits of a server that runs nothing but Reqscope."""
    return _limits(settings, 60.0, 30.0, 1_000)


def open_limits(settings: Settings) -> Limits:
    """Return the limits of a server that runs an application of the user's.

    How large a body is, how long it takes and who stays connected is the application's business, unless `settings`
    name a limit. What no application ever sees, an endless head, is bounded here too.
    """
    return _limits(settings, None, None, None)


def _limits(settings: Settings, body: float | None, send: float | None, connections: int | None) -> Limits:
    return Limits(
        head=settings.max_header_bytes,
        headers=settings.max_headers,
        head_time=settings.header_timeout,
        body_time=settings.body_timeout or body,
        send_time=settings.send_timeout or send,
        connections=settings.max_connections or connections,
    )
