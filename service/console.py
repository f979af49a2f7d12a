"""The log for people: one short line for each event, on a terminal."""

from collections.abc import Callable
from typing import Any

import msgspec

from reqscope.bus import Event
from reqscope.bus.entries import entries
from reqscope.bus.lines import Lines


class ConsoleSink:
    """Prints events as a renderer has them.

    :param name: what statistics call the sink
    :param boot: the bus's, for event ids
    :param lines: where they go; closed with the sink
    :param render: returns one line, which is printed as it is: what was captured must be safe to print in there
    """

    def __init__(self, name: str, boot: str, lines: Lines, render: Callable[[dict[str, Any]], str]) -> None:
        self.name = name
        self._boot = boot
        self._lines = lines
        self._render = render

    def write(self, events: list[Event]) -> int:
        rendered = [self._render(msgspec.to_builtins(entry)) for entry in entries(events, self._boot)]
        self._lines.write("".join(f"{line}\n" for line in rendered).encode())
        return len(events)

    def close(self) -> None:
        self._lines.close()
