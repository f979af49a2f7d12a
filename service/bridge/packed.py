"""A packed batch: what goes over a bridge as one piece."""

from typing import Any, Final

import msgspec

from reqscope.bus import Event

VERSION: Final = 1


class Rules(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """By what rules sealed events are to be made safe to show: those of the process that captured them."""

    names: tuple[str, ...]
    """See `Redaction`."""
    body_cap: int
    """Bytes of a body to show."""


class Packed(msgspec.Struct, array_like=True, kw_only=True, gc=False):
    """Events of one life of one worker, in their order, without holes.

    It is a MessagePack array, whose fields are only ever added to at its end. A worker numbers its batches from 1 up.
    They cover its events without holes too: each begins with the event behind the last one's `next`.
    """

    version: int = VERSION
    worker: str
    boot: str
    """Names the life of the worker's bus."""
    number: int
    """Of the batch, from 1 up; 0 of a sign of life, which holds nothing new."""
    after: int
    """Number, in the worker's ring, of the last event before this batch; all up to there were handed over."""
    missed: int = 0
    """Events that are lost for good: evicted before they were packed, or their batch dropped before it was sent."""
    events: list[Event] = []
    thinned: list[Event] = []
    """Events to be counted and, by sampling, not shown. They have numbers only, and no place in the ring."""
    heartbeat: float = 0.0
    """Seconds within which the next batch or sign of life follows; 0 when this is the last one."""
    host: str = ""
    in_flight: int = 0
    """Requests that have begun and not ended."""
    uncounted: int = 0
    """Thinned events of batches that were dropped before they were sent: no statistics have them."""
    rules: Rules | None = None
    """For events that are still sealed; None where all were opened, as between machines."""

    @property
    def next(self) -> int:
        """Number, in the worker's ring, of the last event that this batch covers."""
        return self.after + self.missed + len(self.events)


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Packed)


def pack(packed: Packed) -> bytes:
    """Return the batch as bytes. Its events must have been opened: raw secrets go to nobody but this user.

    :raises TypeError: an event is sealed
    """
    try:
        return _encoder.encode(packed)
    except UnicodeEncodeError:  # a lone surrogate in one of them, which UTF-8 has no form for
        events = [without_surrogates(event) for event in packed.events]
        return _encoder.encode(msgspec.structs.replace(packed, events=events))


def unpack(data: bytes) -> Packed:
    """Return the batch that `pack` made these bytes of.

    :raises msgspec.DecodeError: they are none, or of a version that is not known here, or an event is sealed
    """
    try:
        return checked(_decoder.decode(data))
    except TypeError:  # what seals an event is of no type that could be read
        raise msgspec.DecodeError("an event is sealed") from None


def checked(packed: Packed) -> Packed:
    """Return the batch.

    :raises msgspec.DecodeError: it is of a version that is not known here, or makes no sense
    """
    if packed.version != VERSION or min(packed.number, packed.after, packed.missed) < 0:
        raise msgspec.DecodeError(f"not a batch of version {VERSION}")
    return packed


def numbers_of(event: Event) -> Event:
    """Return what of an event is counted: no text that was captured."""
    return Event(
        time=event.time,
        kind=event.kind,
        method=event.method,
        route=event.route,
        status=event.status,
        request_size=event.request_size,
        response_size=event.response_size,
        total=event.total,
        error=event.error,
    )


def without_surrogates(value: Any) -> Any:
    """Return a copy of an event, or of some other value, in which they are written as escapes."""
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case tuple():
            return tuple(map(without_surrogates, value))
        case msgspec.Struct():
            fields = {name: without_surrogates(getattr(value, name)) for name in value.__struct_fields__}
            return type(value)(**fields)
        case _:
            return value
