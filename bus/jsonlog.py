"""The structlog sink: one line of JSON for each event."""

import os
import select
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

import msgspec
import structlog
from structlog.typing import Processor

from .encoding import encode, encode_lines
from .event import Event
from .schema import Entry, view

_STDOUT: Final = 1


class JsonLogSink:
    """Renders events as structlog would and writes each batch as whole lines.

    Without processors of the user's, lines are encoded straight from the events, a batch at a time. With
    processors, each event goes through the chain as an event dict, which costs more; a processor that raises
    `structlog.DropEvent` leaves the event out.

    :param name: what statistics call the sink
    :param boot: the bus's, for event ids
    :param destination: where lines go; closed with the sink
    """

    def __init__(self, name: str, boot: str, destination: BinaryIO, processors: Sequence[Processor] = ()) -> None:
        self.name = name
        self._boot = boot
        self._destination = destination
        # Below a buffer, if there is one: a thread that hangs in a write would hold its lock, which Python takes
        # when it exits.
        self._raw: Any = getattr(destination, "raw", destination)
        self._torn = False
        self._processors = tuple(processors)
        self._render = structlog.processors.JSONRenderer(serializer=_serialize)

    @classmethod
    def to_stdout(cls, boot: str, processors: Sequence[Processor] = ()) -> Self:
        """Write to the process's standard output, whatever `sys.stdout` is at the moment.

        :raises OSError: the process has none
        """
        return cls("stdout", boot, os.fdopen(os.dup(_STDOUT), "wb", buffering=0), processors)

    @classmethod
    def to_file(cls, path: Path, boot: str, processors: Sequence[Processor] = ()) -> Self:
        """Append to `path`, which is created with mode 0600.

        :raises OSError: it cannot be opened for writing
        """
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        return cls(f"file:{path}", boot, os.fdopen(os.open(path, flags, 0o600), "ab", buffering=0), processors)

    def write(self, events: list[Event]) -> int:
        entries = [view(event, self._boot, Entry) for event in events]
        data = self._run_chain(entries) if self._processors else encode_lines(entries)
        self._write_whole(data)
        return len(events)

    def close(self) -> None:
        self._destination.close()

    def _run_chain(self, entries: list[Entry]) -> bytes:
        lines: list[str] = []
        for entry in entries:
            event_dict: Any = msgspec.to_builtins(entry)
            try:
                for processor in self._processors:
                    event_dict = processor(None, entry.level, event_dict)
            except structlog.DropEvent:
                continue
            if isinstance(event_dict, Mapping):
                event_dict = self._render(None, entry.level, dict(event_dict))
            lines.append(event_dict if isinstance(event_dict, str) else event_dict.decode())
        return "".join(line + "\n" for line in lines).encode()

    def _write_whole(self, data: bytes) -> None:
        # What a failed write left behind is no line: the next one begins on a line of its own.
        rest = memoryview(b"\n" + data if self._torn else data)
        while rest:
            written = self._raw.write(rest)
            if written is None:  # somebody who shares the descriptor has made it non-blocking
                poll = select.poll()
                poll.register(self._raw, select.POLLOUT)
                poll.poll()
            else:
                rest = rest[written:]
                self._torn = bool(rest)


def _serialize(value: object, **_: object) -> str:
    return encode(value).decode()
