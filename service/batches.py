"""Reading a batch of records: lines of JSON, a JSON array, or one JSON object."""

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import methodcaller
from typing import Annotated, Final

import msgspec

from reqscope.bus import Event
from reqscope.bus.event import OVERHEAD

MAX_RECORDS: Final = 10_000
MAX_DEPTH: Final = 64
_MAX_ERRORS: Final = 10

_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?$)', re.DOTALL)
_BRACKET: Final = re.compile(rb"[\[\]{}]")
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


_is_object: Final = methodcaller("startswith", b"{")
_records: Final = msgspec.json.Decoder(Record)
_array: Final = msgspec.json.Decoder(list[msgspec.Raw])


def read_batch(body: bytes, content_type: str, client: str) -> Batch:
    """Read every record of `body`. A bad one costs no good one.

    NDJSON unless `content_type` is `application/json`, or the body begins as an array does.

    :param client: address of the sender, for records that name none
    :raises BatchError: it is an array that cannot be read, or there are too many records
    """
    pieces = _split(body, content_type)
    records = len(pieces) if len(pieces) <= MAX_RECORDS else sum(not _is_blank(piece) for piece in pieces)
    if records > MAX_RECORDS:
        raise BatchError(413, f"{records} records in one batch; send at most {MAX_RECORDS} at a time")
    batch = Batch()
    read, pieces = _read_all(body, pieces) or _read_each(body, pieces, batch)
    now = time.time_ns()
    batch.events = [
        Event(
            time=now,
            kind="record",
            method=record.method,
            path=record.path,
            route=record.route,
            status=record.status,
            client=record.client or client,
            request_size=len(piece),
            total=record.duration,
            error=record.error,
            body=piece,
            size=OVERHEAD + len(piece),
        )
        for record, piece in zip(read, pieces, strict=True)
    ]
    return batch


def _read_all(body: bytes, pieces: Sequence[bytes]) -> tuple[Sequence[Record], Sequence[bytes]] | None:
    """Return all records, or None if any needs a closer look."""
    # None is nested deeply if all of them together have few brackets beyond those that they begin with.
    flat = body.count(b"{") + body.count(b"[") - sum(map(_is_object, pieces)) < MAX_DEPTH
    if not flat or not _is_unicode(body):
        return None
    try:
        return list(map(_records.decode, pieces)), pieces
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _read_each(body: bytes, pieces: Sequence[bytes], batch: Batch) -> tuple[Sequence[Record], Sequence[bytes]]:
    """Return the records that can be read, and say in `batch` what is wrong with the others."""
    records, good = list[Record](), list[bytes]()
    for line, piece in enumerate(pieces, 1):
        if _is_blank(piece):
            continue
        try:
            piece.decode()
            if _depth(piece) > MAX_DEPTH:
                raise RecursionError
            records.append(_records.decode(piece))
            good.append(piece)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            batch.reject(line, _explain(piece, error))
    return records, good


def _split(body: bytes, content_type: str) -> Sequence[bytes]:
    first = body.lstrip()[:1]
    if first != b"[":
        return [body] if content_type == "application/json" else body.removesuffix(b"\n").split(b"\n")
    try:
        return [bytes(piece) for piece in _array.decode(body)]
    except RecursionError:
        raise BatchError(422, f"the JSON is nested deeper than {MAX_DEPTH} levels") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BatchError(400, f"not a JSON array: {_explain(body, error)}") from None


def _is_blank(piece: bytes) -> bool:
    return not piece or piece.isspace()


def _is_unicode(body: bytes) -> bool:
    # The decoder checks only the strings it keeps, so this looks at all of them, in one pass.
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _depth(piece: bytes) -> int:
    if piece.count(b"{") + piece.count(b"[") <= MAX_DEPTH:
        return 1
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", piece)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _explain(piece: bytes, error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}"
    if isinstance(error, RecursionError):
        return f"nested deeper than {MAX_DEPTH} levels"
    if isinstance(error, msgspec.ValidationError):
        return _printable(str(error))
    try:  # the standard library says where and why, in better words
        json.loads(piece.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as better:
        return _printable(f"not JSON: {better}")
    return "not JSON: a string has half of a surrogate pair"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def _printable(text: str) -> str:
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)[:300]
