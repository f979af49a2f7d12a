"""Standard output as a log sink: lines for whoever reads them, and no harm from whoever does not."""

import json
import os
import signal
import subprocess

import httpx
import pytest

from .conftest import Start, wait_until


def test_lines_on_standard_output_are_json_and_nothing_else(start: Start) -> None:
    with start("serve", stdout=subprocess.PIPE) as server:
        httpx.post(f"{server.api}/log", content="tab\t, \u009b and \u2028")
        assert server.stop() == 0
        assert server.process.stdout is not None
        lines = server.process.stdout.read().splitlines()

    assert [json.loads(line)["body"] for line in lines] == ["tab\t, \u009b and \u2028"]
    assert all(line.isascii() for line in lines)


@pytest.mark.guarantees("F15")
def test_a_reader_that_goes_away_is_counted_and_shown_and_changes_nothing_else(start: Start) -> None:
    reading, writing = os.pipe()
    with start("serve", stdout=writing) as server:
        os.close(writing)
        os.close(reading)

        answers = [httpx.post(f"{server.api}/log", content="hello").status_code for _ in range(5)]

        assert answers == [200] * 5
        wait_until(lambda: server.stats()["sinks"][0]["lost"] == 5, "every line counted as lost")
        assert httpx.get(f"{server.panel}/readyz").json() == {"status": "degraded", "failing": ["stdout"]}
        assert server.stop() == 0
        assert any("BrokenPipeError" in line for line in server.output)


@pytest.mark.guarantees("F14", "F23")
def test_a_reader_that_never_reads_holds_up_neither_the_api_nor_the_end(start: Start) -> None:
    reading, writing = os.pipe()
    with start("serve", stdout=writing) as server, httpx.Client(base_url=server.api) as client:
        os.close(writing)
        for _ in range(200):  # a pipe holds 64 KiB
            assert client.post("/log", content=b"x" * 1_000).status_code == 200

        sink = server.stats()["sinks"][0]
        assert sink["held"] > 0
        assert sink["reader"]["delivered"] == sink["written"] + sink["lost"] + sink["held"]
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(3) == 0
        os.close(reading)
    assert any("before the end" in line for line in server.output)
