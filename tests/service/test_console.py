import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqscope.bus import Event
from reqscope.bus.lines import LineStream
from reqscope.service.console import ConsoleSink
from reqscope.service.pretty import Pretty


class Memory(io.BytesIO):
    def close(self) -> None:
        pass


def test_each_event_is_a_line_as_the_renderer_has_it_and_all_of_a_batch_are_one_write() -> None:
    writes: list[bytes] = []

    class Lines:
        def write(self, lines: bytes) -> None:
            writes.append(lines)

        def close(self) -> None:
            writes.append(b"closed")

    def render(entry: dict[str, Any]) -> str:
        return f"{entry['id']} {entry['url.path']}"

    sink = ConsoleSink("console", "cafe", Lines(), render)
    assert sink.write([Event(time=0, seq=seq, path=f"/{seq}") for seq in (1, 2)]) == 2
    sink.close()

    assert writes == [b"cafe-1 /1\ncafe-2 /2\n", b"closed"]


@pytest.mark.guarantees("31", "32", "33")
@given(st.text(st.characters(exclude_categories=())), st.binary())
def test_whatever_was_captured_it_is_one_line_that_the_terminal_does_not_obey(text: str, data: bytes) -> None:
    memory = Memory()
    event = Event(time=0, method=text, path=text, query=data, client=text, error=text, body=data)

    ConsoleSink("console", "cafe", LineStream(memory), Pretty(False)).write([event])

    line = memory.getvalue().decode()
    assert line.splitlines() == [line.removesuffix("\n")]
    assert not any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in line[:-1])
