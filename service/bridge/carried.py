"""Batches within one machine: what was captured goes to another process of the same user as it is, and is opened there.

Making an event safe to show costs tens of microseconds, and most are never looked at. So a worker hands its events over
sealed, where nobody but its own user can read along, and says by what rules they are to be opened.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from reqscope.bus import Event
from reqscope.service.bodies import Chunks
from reqscope.service.redaction import Redaction
from reqscope.service.sealed import Gate, SealedEnding, SealedExchange

from .packed import Packed, Rules, checked, unpack, without_surrogates

_MOST_RULES: Final = 16
"""Rules that are kept ready, beyond which the oldest go. All workers have the same as a rule."""


class _Ending(SealedEnding, array_like=True, tag=1, gc=False):
    before: SealedExchange | None  # pyright: ignore[reportIncompatibleVariableOverride]  # narrower, to be decoded


class _Event(Event, array_like=True, gc=False):
    sealed: SealedExchange | _Ending | None = None  # pyright: ignore[reportIncompatibleVariableOverride]  # as well


class _Carried(Packed, kw_only=True, array_like=True, gc=False):
    events: list[_Event] = msgspec.field(default_factory=list)  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleVariableOverride]  # as well


class Sealer:
    """Packs batches for a process of the same user on this machine, with their events sealed as they were captured.

    :param redaction: what captured events would be masked with here
    :param rules: what the other process is to make the same of
    """

    def __init__(self, redaction: object, rules: Rules) -> None:
        self._rules = rules
        self._encode = msgspec.msgpack.Encoder(enc_hook=_Portable(redaction, rules).__getitem__).encode

    def pack(self, packed: Packed) -> bytes:
        """Return the batch as bytes. An event that is sealed in some other way is opened before."""
        packed.rules = self._rules
        try:
            return self._encode(packed)
        except (TypeError, UnicodeEncodeError):
            packed.events = [self._portable(event) for event in packed.events]
            return self._encode(packed)

    def _portable(self, event: Event) -> Event:
        try:
            self._encode(event)
        except (TypeError, UnicodeEncodeError):
            event = without_surrogates(event.open())
        return event


class _Portable(dict[object, Any]):
    """What stands for a part that MessagePack has no form for: a table, because each event has such a part, its gate.

    Nothing stands for a gate that the other process can make the like of. There are few gates, and they last.
    """

    def __init__(self, redaction: object, rules: Rules) -> None:
        self._redaction = redaction
        self._rules = rules

    def __missing__(self, part: object) -> Any:
        match part:
            case Chunks():
                return part.parts
            case Gate() if part.redaction is self._redaction and part.body_cap == self._rules.body_cap:
                return self.setdefault(part, None)
            case _:
                raise TypeError("it is sealed in a way that only this process knows how to open")


class Unsealer:
    """Unpacks what `Sealer` packed, and gives each event the gate that opens it by the rules of its worker.

    :param faults: where failures to open one are counted, as `Faults` does
    """

    def __init__(self, faults: Any) -> None:
        self._faults = faults
        self._decoders: dict[Rules, msgspec.msgpack.Decoder[_Carried]] = {}
        self._rules = Rules((), 0)
        """Those of the batch before."""

    def unpack(self, data: bytes) -> Packed:
        """Return the batch that these bytes were made of, its events sealed where they were.

        :raises msgspec.DecodeError: they are none, or of a version that is not known here
        """
        # The rules stand behind the events, which they are needed for. They are guessed, because looking for them first
        # costs a quarter of reading the batch.
        packed = self._decoder(self._rules).decode(data)
        if packed.rules is None:
            return unpack(data)
        if packed.rules != self._rules:
            self._rules = packed.rules
            packed = self._decoder(self._rules).decode(data)
        return checked(packed)

    def _decoder(self, rules: Rules) -> "msgspec.msgpack.Decoder[_Carried]":
        decoder = self._decoders.get(rules)
        if decoder is None:
            gate = Gate(Redaction(rules.names), self._faults, rules.body_cap)
            decoder = self._decoders[rules] = msgspec.msgpack.Decoder(_Carried, dec_hook=_restorer(gate))
            if len(self._decoders) > _MOST_RULES:
                del self._decoders[next(iter(self._decoders))]
        return decoder


def was_raised(event: Event) -> bool:
    """Whether an exception left the application there, which is told once the event is opened."""
    return event.failure is not None or (isinstance(event.sealed, SealedEnding) and event.sealed.raised is not None)


def _restorer(gate: Gate) -> Callable[[type, Any], Any]:
    def restored(kind: type, part: Any) -> Any:
        if kind is Gate:
            return gate
        chunks = Chunks(0)
        chunks.parts = msgspec.convert(part, list[bytes])
        return chunks

    return restored
