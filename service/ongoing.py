"""Which exchange the code that runs belongs to, and what has begun and not ended."""

from collections.abc import Iterable
from contextlib import suppress
from contextvars import ContextVar, Token
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from reqscope.bus import EventBus

if TYPE_CHECKING:
    from .exchange import Exchange

place: ContextVar[int] = ContextVar("reqscope_exchange", default=0)
"""The number of the exchange that the code that runs belongs to.

A number, because servers keep the context of a request for as long as a timer of its connection runs: an exchange in
there would outlive its request by seconds, and with it all that it holds on to.
"""

unended: Final[dict[int, "Exchange"]] = {}
"""By number, exchanges whose application has not returned yet."""

# What every request calls is bound once: looking a method up on an imported name makes an object of it each time.
latest: Final = place.get
enter: Final = place.set
leave: Final = place.reset
forget: Final = unended.pop

numbers: Final = count(1)


def current() -> "Exchange | None":
    """Return the exchange that the code that runs belongs to: its log lines are shown beside it. Safe in any thread."""
    return unended.get(place.get())


def unfinished(number: int) -> "Exchange | None":
    """Return the exchange of that number, or else the next outer one, that has not published its event."""
    exchange = unended.get(number)
    while exchange is not None and exchange.event is not None:  # servers begin requests in old contexts
        exchange = exchange.outer
    return exchange


def undo(bus: EventBus, number: int, tokens: Iterable[Token[Any] | None]) -> None:
    """Leave nothing of an exchange behind, after a fault: each by itself, as far as it is still there."""
    with suppress(Exception):
        exchange = unended.pop(number)
        bus.in_flight.discard(exchange)
    for token in tokens:
        with suppress(Exception):
            if token is not None:
                token.var.reset(token)
