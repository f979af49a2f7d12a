import io
import json
import logging
from collections.abc import Iterator
from contextlib import redirect_stdout

import pytest
from uvicorn.logging import AccessFormatter

from reqscope.bus import Event
from reqscope.bus.lines import LineStream
from reqscope.service.access import AccessSink, instead_of_uvicorn
from reqscope.service.console import ConsoleSink
from reqscope.service.pretty import Pretty

REQUEST = Event(
    time=1_795_258_528_039_000_000,
    seq=3,
    method="GET",
    path="/caf\u00e9\n\x1b[31m",
    query=b"a=1&b=%20",
    status=404,
    client="127.0.0.1",
    http_version="1.1",
    total=0.0059,
    route="/{name}",
)


class Memory(io.BytesIO):
    def close(self) -> None:
        pass


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("reqscope.access")
    yield logger
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)
    logger.propagate = True


def sink(memory: Memory) -> AccessSink:
    return AccessSink("cafe", ConsoleSink("stdout", "cafe", LineStream(memory), Pretty(False)))


def test_without_a_configuration_requests_are_printed_and_records_are_not(logger: logging.Logger) -> None:
    memory = Memory()

    assert sink(memory).write([REQUEST, Event(time=0, kind="log", body=b"x")]) == 2

    (line,) = memory.getvalue().splitlines()
    words = ["GET", "404", "5.9", "ms", "0", "B", "/caf\u00e9\\x0a\\x1b[31m?a=1&b=%20", "127.0.0.1"]
    assert line.decode().split()[1:] == words


def test_uvicorns_own_formatter_takes_the_records(logger: logging.Logger) -> None:
    memory, text = Memory(), io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(
        AccessFormatter(
            '%(levelprefix)s %(client_addr)s - "%(request_line)s" %(status_code)s %(duration)s', use_colors=False
        )
    )
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)

    assert sink(memory).write([REQUEST]) == 1

    expected = 'WARNING:  127.0.0.1 - "GET /caf%C3%A9%0A%1B%5B31m?a=1&b=%20 HTTP/1.1" 404 Not Found 0.0059\n'
    assert (text.getvalue(), memory.getvalue()) == (expected, b"")


def test_a_record_has_the_fields_of_a_log_line_and_the_time_of_the_request(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    logger.addHandler(caplog.handler)
    logger.propagate = False

    sink(Memory()).write([REQUEST])

    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.created == pytest.approx(1_795_258_528.039)
    assert (vars(record)["http.route"], vars(record)["id"], vars(record)["duration"]) == ("/{name}", "cafe-3", 0.0059)
    json.dumps(record.getMessage())


def test_a_level_leaves_out_what_is_below_it(logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    logger.addHandler(caplog.handler)
    logger.propagate = False
    logger.setLevel(logging.ERROR)

    assert sink(Memory()).write([REQUEST]) == 1

    assert caplog.records == []


def test_uvicorns_access_log_is_silent_inside_the_block_and_as_it_was_behind_it() -> None:
    uvicorn = logging.getLogger("uvicorn.access")
    with redirect_stdout(io.StringIO()), instead_of_uvicorn():
        assert uvicorn.disabled
        assert not uvicorn.isEnabledFor(logging.CRITICAL)
    assert not uvicorn.disabled
