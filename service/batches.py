"""Reading a batch of records: lines of JSON, a JSON array, or one JSON object."""

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from itertools import accumulate
from typing import Annotated, Final

import msgspec

from reqscope.bus import Event
from reqscope.bus.event import OVERHEAD, Sealed

MAX_RECORDS: Final = 10_000
MAX_DEPTH: Final = 64
_MAX_ERRORS: Final = 10
_MAX_EXPLAINED: Final = 1 << 20
"""Bytes of what is no JSON and is read once more to say why: as objects, it may take thirty times as many."""
_MAX_PIECES: Final = 1 << 19
"""Lines or elements that a body is cut into, whatever is in them: as objects, 30 MiB."""

_STRETCH: Final = 1 << 16
"""Brackets looked at in one call, during which no other thread runs."""

_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?$)', re.DOTALL)
_STEPS: Final = {b: 1 if b in b"[{" else -1 for b in b"[]{}"}
_NO_BRACKETS: Final = bytes(b for b in range(256) if b not in _STEPS)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Record(msgspec.Struct, gc=False):
    """The fields of a record that lists show and filters read. All others stay in its body."""

    method: str = msgspec.field(default="", name="http.request.method")
    path: str = msgspec.field(default="", name="url.path")
    route: str | None = msgspec.field(default=None, name="http.route")
    status: Annotated[int, msgspec.Meta(ge=0, le=999)] = msgspec.field(default=0, name="http.response.status_code")
    client: str = msgspec.field(default="", name="client.address")
    duration: float | None = None
    error: str | None = msgspec.field(default=None, name="error.type")


@dataclass(slots=True)
class Batch:
    """What was read: events in order, and what was wrong with the rest."""

    events: list[Event] = field(default_factory=list)
    rejected: int = 0
    errors: list[dict[str, object]] = field(default_factory=list)
    """The first ten, each with its `line`, counted from 1, and the `error`."""

    def reject(self, line: int, error: str) -> None:
        self.rejected += 1
        if len(self.errors) < _MAX_ERRORS:
            self.errors.append({"line": line, "error": error})


class BatchError(ValueError):
    """A body that is no batch at all.

    :ivar status: the HTTP status that says so
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


_records: Final = msgspec.json.Decoder(Record)
_array: Final = msgspec.json.Decoder(list[msgspec.Raw])
_NOTHING: Final = msgspec.Raw()


def read_batch(body: bytes, content_type: str, client: str, sealed: Sealed | None = None) -> Batch:
    """Read every record of `body`. A bad one costs no good one.

    NDJSON unless `content_type` is `application/json`, or the body begins as an array does.

    :param client: address of the sender, for records that name none
    :param sealed: what opens their events
    :raises BatchError: it is an array that cannot be read, or there are too many records or lines
    """
    pieces = _split(body, content_type)
    batch = Batch()
    read, pieces = _read_all(body, pieces) or _read_each(body, pieces, batch)
    now = time.time_ns()
    batch.events = [
        Event(  # by position: naming the fields costs half as much again as making the event
            now,
            "record",
            record.method,
            record.route,
            record.status,
            record.client or client,
            "",
            "",
            size := len(piece),
            0,
            None,
            record.duration,
            record.error,
            OVERHEAD + size,
            sealed,
            record.path,
            piece,
        )
        for record, piece in zip(read, pieces, strict=True)
    ]
    return batch


def _read_all(body: bytes, pieces: Sequence[bytes]) -> tuple[Sequence[Record], Sequence[bytes]] | None:
    """Return all records, or None if any needs a closer look."""
    if not _is_flat(body, pieces) or not _is_unicode(body):
        return None
    try:
        return list(map(_records.decode, pieces)), pieces
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _read_each(body: bytes, pieces: Sequence[bytes], batch: Batch) -> tuple[Sequence[Record], Sequence[bytes]]:
    """Return the records that can be read, and say in `batch` what is wrong with the others."""
    records, good = list[Record](), list[bytes]()
    for line, piece in enumerate(pieces, 1):
        if _is_blank(piece):
            continue
        try:
            piece.decode()
            if _is_deep(piece):
                raise RecursionError
            records.append(_records.decode(piece))
            good.append(piece)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            batch.reject(line, _explain(piece, error))
    return records, good


def _split(body: bytes, content_type: str) -> Sequence[bytes]:
    if body.lstrip()[:1] == b"[":
        return _elements(body)
    return [body] if content_type == "application/json" else _lines(body)


def _lines(body: bytes) -> Sequence[bytes]:
    if len(body) > _MAX_PIECES and (feeds := body.count(b"\n")) > _MAX_PIECES:
        raise BatchError(413, f"{feeds} lines in one batch; send at most {MAX_RECORDS} records at a time")
    # This finds line feeds in strides, where `split` looks at each byte: half of the time.
    lines = [line[:-1] for line in BytesIO(body if body.endswith(b"\n") else body + b"\n")]
    if len(lines) > MAX_RECORDS:
        _limit(sum(not _is_blank(line) for line in lines))
    return lines


def _elements(body: bytes) -> Sequence[bytes]:
    few = len(body) <= 2 * _MAX_PIECES or body.count(b",") < _MAX_PIECES
    try:
        elements = _array.decode(body) if few else _beginning(body)
    except RecursionError:
        raise BatchError(422, f"the JSON is nested deeper than {MAX_DEPTH} levels") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BatchError(400, f"not a JSON array: {_explain(body, error)}") from None
    _limit(len(elements), "" if few else "at least ")
    return list(map(bytes, elements))


def _beginning(body: bytes) -> Sequence[msgspec.Raw]:
    """Return as many elements as are allowed and one more. The others are read past, and take no memory."""
    return [element for element in msgspec.structs.astuple(_beginnings().decode(body)) if element is not _NOTHING]


@cache
def _beginnings() -> msgspec.json.Decoder[msgspec.Struct]:
    # A list is limited only after it was made. An array that becomes a struct is read as far as that has fields.
    fields = [(f"element_{n}", msgspec.Raw, _NOTHING) for n in range(MAX_RECORDS + 1)]
    return msgspec.json.Decoder(msgspec.defstruct("Beginning", fields, array_like=True, gc=False))


def _limit(records: int, about: str = "") -> None:
    if records > MAX_RECORDS:
        raise BatchError(413, f"{about}{records} records in one batch; send at most {MAX_RECORDS} at a time")


def _is_blank(piece: bytes) -> bool:
    return not piece or piece.isspace()


def _is_flat(body: bytes, pieces: Sequence[bytes]) -> bool:
    # A record begins with a bracket, and what does not is found out when it is decoded. So none is nested deeply if
    # all of them together have few brackets beyond one each; only if they have many is each looked at.
    beyond = _count(body, b"{") + _count(body, b"[") - len(pieces)
    return beyond < MAX_DEPTH or not any(map(_is_deep, pieces))


def _is_unicode(body: bytes) -> bool:
    # The decoder checks only the strings it keeps, so this looks at all of them, in one pass.
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_deep(piece: bytes) -> bool:
    if piece.count(b"{") + piece.count(b"[") <= MAX_DEPTH:
        return False
    brackets = _STRING.sub(b"", piece).translate(None, _NO_BRACKETS)
    depth = 0
    for start in range(0, len(brackets), _STRETCH):
        steps = map(_STEPS.__getitem__, brackets[start : start + _STRETCH])
        depths = list(accumulate(steps, initial=depth))
        if max(depths) > MAX_DEPTH:
            return True
        depth = depths[-1]
    return False


def _count(body: bytes, byte: bytes) -> int:
    # Where there are few, this leaps from one to the next; before Python 3.13, `count` looks at each byte.
    return len(body) - len(body.replace(byte, b""))


def _explain(piece: bytes, error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}"
    if isinstance(error, RecursionError):
        return f"nested deeper than {MAX_DEPTH} levels"
    if isinstance(error, msgspec.ValidationError):
        return _printable(str(error))
    if len(piece) > _MAX_EXPLAINED:
        return _printable(f"not JSON: {error}")
    try:  # the standard library says where and why, in better words
        json.loads(piece.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as better:
        return _printable(f"not JSON: {better}")
    return "not JSON: a string has half of a surrogate pair"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def _printable(text: str) -> str:
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)[:300]
