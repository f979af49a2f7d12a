"""A reader's place in a stream of NATS JetStream, and what becomes of the messages that come from there."""

from datetime import datetime
from typing import Final

import anyio
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy, StreamInfo

from .bridge import Take
from .parts import PART, Parts

HISTORY: Final = 8 << 20
"""Bytes of batches that a new panel begins with, more or less, if the stream still has them."""
QUIET: Final = 1.0
"""Seconds without a batch after which the server says that it is there."""
_SILENT: Final = 3.0
"""Seconds of hearing nothing at all after which what the server does for a reader is taken to have ended."""


class Reader:
    """Takes each message of a stream once, in order. It outlives connections, and the stream too."""

    def __init__(self) -> None:
        self._cursor = 0
        """Number of the last message that was taken."""
        self._stream: datetime | None = None
        """When the stream was made that this is a number in: another one of that name counts anew."""
        self._parts = Parts()
        self._next = 1
        self._torn = False
        self._heard = self._behind = 0.0
        self._synchronised = anyio.Event()

    def consumer(self, about: StreamInfo, inbox: str) -> ConsumerConfig:
        """Return what to ask the server for: all behind the cursor, or the end of a stream that is new here."""
        state = about.state
        if about.created != self._stream or self._cursor > state.last_seq:
            self._stream, self._parts = about.created, Parts()
            share = min(1.0, HISTORY / state.bytes) if state.bytes else 1.0
            self._cursor = max(0, state.last_seq - int(state.messages * share))
        self._next, self._torn, self._heard = 1, False, anyio.current_time()
        self._synchronised = anyio.Event()
        return ConsumerConfig(
            deliver_subject=inbox,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=self._cursor + 1,
            ack_policy=AckPolicy.NONE,
            max_deliver=1,
            flow_control=True,
            idle_heartbeat=QUIET,
            mem_storage=True,
            num_replicas=1,
        )

    def synchronise(self, made: ConsumerInfo) -> None:
        """Learn from the server, which has just made a consumer, what time it is there. Messages wait for that."""
        self._behind = made.created.timestamp() - anyio.current_time()
        self._synchronised.set()

    @property
    def ended(self) -> bool:
        """Whether nothing more will come, or something was left out on the way."""
        return self._torn or anyio.current_time() - self._heard > _SILENT

    async def hear(self, client: Client, message: Msg, take: Take) -> None:
        """Take a batch, or answer a question of the server's."""
        await self._synchronised.wait()
        self._heard = anyio.current_time()
        headers = message.headers or {}
        if "Status" in headers:  # no batch: that it is quiet, or whether all before was taken
            if again := message.reply or headers.get("Nats-Consumer-Stalled"):
                await client.publish(again)
            return
        about = message.metadata
        self._torn = self._torn or about.sequence.consumer != self._next
        if self._torn:
            return
        self._next += 1
        packed = self._parts.add(headers[PART], message.data) if PART in headers else message.data
        if packed is not None:
            take(packed, max(0.0, self._heard + self._behind - about.timestamp.timestamp()))
        self._cursor = about.sequence.stream
