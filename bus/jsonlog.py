"""The structlog sink: one line of JSON for each event."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

import msgspec
import structlog
from structlog.typing import Processor

from .encoding import encode_lines
from .entries import entries
from .event import Event
from .lines import Lines, LineStream, PartlyWritten
from .logfile import LogFile

_STRETCH: Final = 128
"""Events whose lines are made at once. All that is made of so many stays in the processor's nearer caches until it is
encoded; all of a batch does not. Putting the lines together costs less."""

_CONTROLS: Final = re.compile(r"[\x00-\x1f]")


class JsonLogSink:
    """Renders events as structlog would and writes each batch as whole lines, in one write.

    Without processors of the user's, lines are encoded straight from the events, a batch at a time. With
    processors, each event goes through the chain as an event dict, which costs more. A processor that raises
    `structlog.DropEvent` leaves the event out; one that fails loses it, which is counted. A chain may end in a
    renderer, whose text is taken as it is, but for characters that JSON escapes and a terminal would obey.

    :param name: what statistics call the sink
    :param boot: the bus's, for event ids
    :param destination: where lines go; closed with the sink
    """

    def __init__(
        self, name: str, boot: str, destination: BinaryIO | LogFile | LineStream, processors: Sequence[Processor] = ()
    ) -> None:
        self.name = name
        self._boot = boot
        self._lines: Lines = destination if isinstance(destination, LogFile | LineStream) else LineStream(destination)
        self._processors = tuple(processors)

    @classmethod
    def to_stdout(cls, boot: str, processors: Sequence[Processor] = ()) -> Self:
        """Write to the process's standard output, whatever `sys.stdout` is at the moment.

        :raises OSError: the process has none
        """
        return cls("stdout", boot, LineStream.stdout(), processors)

    @classmethod
    def to_file(cls, file: Path | LogFile, boot: str, processors: Sequence[Processor] = ()) -> Self:
        """Append to a file, which is created with mode 0600.

        :param file: its path, or how it is kept
        :raises OSError: it cannot be opened for writing
        """
        file = LogFile(file) if isinstance(file, Path) else file
        return cls(f"file:{file.path}", boot, file, processors)

    def write(self, events: list[Event]) -> int:
        if not self._processors:
            stretches = [events[start : start + _STRETCH] for start in range(0, len(events), _STRETCH)]
            self._lines.write(b"".join([encode_lines(entries(some, self._boot)) for some in stretches]))
            return len(events)
        rendered, failed, error = self._run_chain(entries(events, self._boot))
        left_out = len(events) - len(rendered) - failed
        try:
            self._lines.write(encode_lines(rendered, lenient=True))
        except PartlyWritten as partly:
            raise PartlyWritten(partly.written + left_out) from partly.__cause__
        if error is not None:
            raise PartlyWritten(len(events) - failed) from error
        return len(events)

    def reopen(self) -> None:
        """Go on in the file of that name, whatever has become of the one that was written so far."""
        if isinstance(self._lines, LogFile):
            self._lines.reopen()

    @property
    def keeps(self) -> bool:
        """Whether lines go to a file that can be synced."""
        return isinstance(self._lines, LogFile) and self._lines.regular

    def sync(self) -> None:
        """Return when what was written is safe from a loss of power.

        :raises OSError: it may not be
        """
        if isinstance(self._lines, LogFile):
            self._lines.sync()

    def close(self) -> None:
        self._lines.close()

    def _run_chain(self, made: Sequence[msgspec.Struct]) -> tuple[list[object], int, Exception | None]:
        rendered = list[object]()
        failed, error = 0, None
        for entry in made:
            event_dict: Any = msgspec.to_builtins(entry)
            level = event_dict["level"]
            try:
                for processor in self._processors:
                    event_dict = processor(None, level, event_dict)
                rendered.append(_ready(event_dict))
            except structlog.DropEvent:
                continue
            except Exception as raised:  # a processor is the user's
                failed, error = failed + 1, raised
        return rendered, failed, error


def _ready(result: object) -> object:
    """Return what a chain ends with in a form that the encoder takes: a renderer's text goes out as it is."""
    match result:
        case str() | bytes() | bytearray():
            text = result if isinstance(result, str) else result.decode("utf-8", "backslashreplace")
            one_line = _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
            return msgspec.Raw(one_line.encode("utf-8", "backslashreplace"))
        case Mapping():
            return dict(result)
        case _:
            raise TypeError(f"the chain ended with {type(result).__name__}, which is neither a mapping nor text")
