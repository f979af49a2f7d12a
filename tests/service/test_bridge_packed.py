from typing import Any

import msgspec
import pytest

from reqscope.bus import Body, Event, Failure, LogLine
from reqscope.service.bridge.packed import Packed, numbers_of, pack, unpack


def batch(*events: Event, **more: Any) -> Packed:
    return Packed(worker="1", boot="cafe", number=1, after=0, events=list(events), **more)


def test_a_batch_comes_back_as_it_was() -> None:
    event = Event(
        time=1,
        kind="websocket",
        path="/ä",
        query=b"a=\xff",
        request_headers=((b"host", b"x"), (b"host", b"\xff")),
        request_body=Body(data=b"\x00", captured=1),
        failure=Failure(type="E", message="m", traceback="t", fingerprint="f"),
        logs=(LogLine(time=2, level="info", logger="l", message="m"),),
        total=0.25,
        size=700,
    )
    packed = batch(event, missed=3, thinned=[numbers_of(event)], heartbeat=0.5, host="h", in_flight=2)

    assert unpack(pack(packed)) == packed
    assert packed.next == 4


def test_text_that_utf8_has_no_form_for_costs_no_event() -> None:
    line = LogLine(time=2, level="info", logger="l", message="\udcff")
    event = Event(time=1, path="/\ud800", logs=(line,))

    (found,) = unpack(pack(batch(Event(time=0, path="/fine"), event))).events[1:]

    assert (found.path, found.logs[0].message) == ("/\\ud800", "\\udcff")


class Sealed:
    def open(self, event: Event) -> None: ...

    def glance(self, event: Event) -> None: ...


def test_what_is_sealed_does_not_leave_the_process() -> None:
    with pytest.raises(TypeError):
        pack(batch(Event(time=1, sealed=Sealed())))  # type: ignore[arg-type]  # it need not be a real seal


def test_what_is_counted_holds_no_text_that_was_captured() -> None:
    event = Event(time=1, path="/secret", query=b"q", client="10.0.0.1", status=200, route="/{x}", request_id="r")

    assert numbers_of(event) == Event(time=1, status=200, route="/{x}")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"{}",
        pack(batch())[:-1],
        pack(batch(version=2)),
        pack(msgspec.structs.replace(batch(), number=-1)),
        pack(msgspec.structs.replace(batch(), after=-1)),
        msgspec.msgpack.encode(["1"]),
    ],
)
def test_what_is_no_batch_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        unpack(data)


def test_a_later_version_may_have_more_fields_at_the_end() -> None:
    fields = msgspec.msgpack.decode(pack(batch()))

    assert unpack(msgspec.msgpack.encode([*fields, "new"])) == batch()
