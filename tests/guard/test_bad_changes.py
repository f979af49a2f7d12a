"""The guard does notice: each bad change goes over a bound of its."""
# pyright: reportPrivateUsage=false
# A bad change is one to what is private.

import json
from collections.abc import Awaitable
from typing import Any

import pytest
from starlette.types import Message

from reqscope.bus import Event, EventBus, RingBuffer
from reqscope.service import batches
from reqscope.service.exchange import Exchange
from reqscope.ui.frames import Frame, Frames

from . import test_guard as guard

pytestmark = [pytest.mark.anyio, pytest.mark.interpreted]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize("asleep", [False, True], ids=["busy", "woken"])
async def test_a_publish_that_looks_at_every_reader(monkeypatch: pytest.MonkeyPatch, asleep: bool) -> None:
    def publish(self: EventBus, event: Event) -> int:
        seq = self.ring.append(event)
        for reader in self._readers:
            _ = reader.cursor
        return seq

    monkeypatch.setattr(EventBus, "publish", publish)

    with pytest.raises(AssertionError):
        await guard.test_a_publish_costs_the_same_whatever_reads(asleep)


async def test_a_publish_that_copies_the_list_of_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = EventBus.publish

    def publish(self: EventBus, event: Event) -> int:
        _ = self._readers.copy()  # in C, so that only memory tells
        return whole(self, event)

    monkeypatch.setattr(EventBus, "publish", publish)

    with pytest.raises(AssertionError):
        await guard.test_a_publish_costs_the_same_whatever_reads(False)


def test_a_copy_of_the_body_on_its_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Exchange.send

    def send(self: Exchange, message: Message) -> Awaitable[None]:
        copy = bytearray(message.get("body", b""))
        assert copy is not None
        return whole(self, message)

    monkeypatch.setattr(Exchange, "send", send)

    with pytest.raises(AssertionError, match="peak"):
        guard.test_capture_copies_no_body()


def test_a_copy_of_the_body_on_its_way_in(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Exchange.receive

    async def receive(self: Exchange) -> Message:
        message = await whole(self)
        return {**message, "body": message["body"][:-1] + message["body"][-1:]}

    monkeypatch.setattr(Exchange, "receive", receive)

    with pytest.raises(AssertionError, match="peak"):
        guard.test_capture_copies_no_body()


def test_a_body_that_is_held_on_to(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[bytes] = []
    whole = Exchange.send

    def send(self: Exchange, message: Message) -> Awaitable[None]:
        held.append(message.get("body", b"") + b" ")
        return whole(self, message)

    monkeypatch.setattr(Exchange, "send", send)

    with pytest.raises(AssertionError):
        guard.test_capture_copies_no_body()


def test_encoding_in_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Exchange.send

    def send(self: Exchange, message: Message) -> Awaitable[None]:
        json.dumps({"path": self.scope["path"], "sent": self.response_size})
        return whole(self, message)

    monkeypatch.setattr(Exchange, "send", send)

    with pytest.raises(AssertionError):
        guard.test_what_capture_adds_to_a_request_is_bounded({}, 810, 53)
    with pytest.raises(AssertionError):
        guard.test_a_further_chunk_costs_little_and_allocates_nothing(True)


def test_masking_in_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Exchange.publish

    def publish(self: Exchange, error: BaseException | None) -> Event:
        return whole(self, error).open()

    monkeypatch.setattr(Exchange, "publish", publish)

    with pytest.raises(AssertionError):
        guard.test_what_capture_adds_to_a_request_is_bounded({}, 810, 53)


def test_a_ring_that_measures_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = RingBuffer.append

    def append(self: RingBuffer, event: Event) -> int:
        assert sum(each.size for each in self._slots if each is not None) >= 0
        return whole(self, event)

    monkeypatch.setattr(RingBuffer, "append", append)

    with pytest.raises(AssertionError):
        guard.test_a_publish_into_a_full_ring_is_bounded()


def test_a_batch_that_is_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = batches._read_all

    def read(body: bytes, pieces: Any) -> Any:
        for piece in pieces:
            json.loads(piece)
        return whole(body, pieces)

    monkeypatch.setattr(batches, "_read_all", read)

    with pytest.raises(AssertionError):
        guard.test_a_record_of_a_batch_is_bounded()


def test_a_frame_for_each_viewer(monkeypatch: pytest.MonkeyPatch) -> None:
    def once(self: Frames, key: tuple[object, ...], build: Any) -> Frame:
        frame: Frame = build()
        return frame

    monkeypatch.setattr(Frames, "_once", once)

    with pytest.raises(AssertionError):
        guard.test_a_further_viewer_of_the_same_filter_costs_next_to_nothing()
