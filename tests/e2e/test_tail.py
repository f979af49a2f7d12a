"""`reqscope tail`: real processes, pipes and terminals."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx
import pytest

from tests import nursery
from tests.nursery import Process

from .conftest import DEADLINE, Server, Start, free_port, wait_until

TAIL = ["reqscope.service", "tail"]
ENVIRONMENT = {"NO_COLOR": "", "TERM": "xterm-256color", "TZ": "UTC"}


@dataclass
class Tail:
    """A running `reqscope tail`, and what it printed so far."""

    process: Process
    lines: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def seqs(self) -> list[int]:
        return [json.loads(line)["seq"] for line in self.lines]


def gather(stream: IO[bytes], into: list[str]) -> None:
    def read() -> None:
        with contextlib.suppress(OSError):  # a terminal whose other side has closed
            into.extend(line.decode() for line in iter(stream.readline, b""))

    threading.Thread(target=read, daemon=True).start()


@contextmanager
def tailing(server: Server | str, *arguments: str, **environment: str) -> Generator[Tail]:
    """Run `reqscope tail` for as long as the block lasts, reading all that it prints."""
    url = server if isinstance(server, str) else server.panel
    process = nursery.start(*TAIL, *arguments, "--url", url, stdout=subprocess.PIPE, env=ENVIRONMENT | environment)
    tail = Tail(process)
    assert process.stdout
    assert process.stderr
    gather(process.stdout, tail.lines)
    gather(process.stderr, tail.notices)
    with process:
        try:
            yield tail
        finally:
            process.kill()


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return nursery.run(*TAIL, *arguments, env=ENVIRONMENT | environment, timeout=DEADLINE)


@pytest.fixture(scope="module")
def server(start: Start) -> Iterator[Server]:
    with start("serve") as running:
        yield running


@pytest.fixture
def log(server: Server) -> Callable[[str], int]:
    """Post something, and return its number."""
    return lambda text: int(httpx.post(f"{server.api}/log", content=text).json()["seq"])


def in_terminal(*arguments: str, **environment: str) -> str:
    """Return what a terminal would show."""
    ours, theirs = pty.openpty()
    with nursery.start(*TAIL, *arguments, stdout=theirs, env=ENVIRONMENT | environment) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):
            while piece := os.read(ours, 65_536):
                shown += piece
        os.close(ours)
        assert process.wait(DEADLINE) == 0
    return shown.decode()


class TestOutput:
    def test_a_pipe_gets_the_newest_as_the_lines_that_the_log_has(
        self, server: Server, log: Callable[[str], int]
    ) -> None:
        last = [log(f"number {number} \x1b[31m \u202e") for number in range(15)][-1]

        done = run("--url", server.panel)

        assert (done.returncode, done.stderr) == (0, "")
        entries = [json.loads(line) for line in done.stdout.splitlines()]
        assert [entry["seq"] for entry in entries] == [*range(last - 9, last + 1)]
        assert entries[-1]["body"] == "number 14 \x1b[31m \u202e"
        assert "\x1b" not in done.stdout
        assert "\u202e" not in done.stdout
        wait_until(lambda: f'"seq":{last},' in server.log.read_text(), "the last line in the log")
        of_log = server.log.read_text().splitlines()[-10:]
        assert [line.replace("{", '{"schema":1,', 1) for line in done.stdout.splitlines()] == of_log

    def test_a_terminal_gets_columns_and_colours(self, server: Server, log: Callable[[str], int]) -> None:
        log("one")
        httpx.get(f"{server.api}/nowhere")

        shown = in_terminal("--url", server.panel, "-n", "2").splitlines()

        assert "\x1b[32m200\x1b[0m" in shown[0]
        assert "\x1b[33m404\x1b[0m" in shown[1]
        plain = [re.sub(r"\x1b\[\d*m", "", line) for line in shown]
        assert re.match(r"\d\d:\d\d:\d\d\.\d{3}  POST     200 +[\d.]+ ms +\d+ B  /log", plain[0])
        assert plain[0].index("/log") == plain[1].index("/nowhere")

    @pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
    def test_who_wants_no_colour_gets_none(
        self, server: Server, log: Callable[[str], int], variables: dict[str, str]
    ) -> None:
        log("x \x1b[2J")

        assert "\x1b" not in in_terminal("--url", server.panel, **variables)

    def test_every_way_to_write_can_be_asked_for_anywhere(self, server: Server, log: Callable[[str], int]) -> None:
        seq = log("two words")
        url = ["--url", server.panel, "-n", "1"]

        assert json.loads(in_terminal("--json", *url))["seq"] == seq
        assert f" seq={seq} " in run("--logfmt", *url).stdout
        assert 'body="two words"' in run("--logfmt", *url).stdout
        pretty = run("--pretty", *url).stdout
        assert "  POST     200  " in pretty
        assert "\x1b" not in pretty

    def test_only_what_passes_is_shown_and_counted(self, server: Server, log: Callable[[str], int]) -> None:
        found = [log("needle"), log("hay"), log("needle"), log("hay")]

        done = run("--url", server.panel, "needle -hay", "-n", "2")

        assert [json.loads(line)["seq"] for line in done.stdout.splitlines()] == [found[0], found[2]]

    def test_the_address_may_be_in_the_environment(self, server: Server, log: Callable[[str], int]) -> None:
        seq = log("x")

        assert f'"seq":{seq}' in run("-n", "1", REQSCOPE_URL=server.panel).stdout

    def test_a_proxy_is_not_asked_for_what_is_on_this_machine(self, server: Server) -> None:
        assert (
            run("--url", server.panel, HTTP_PROXY="http://127.0.0.1:9", http_proxy="http://127.0.0.1:9").returncode == 0
        )


class TestFollowing:
    def test_what_comes_is_shown_at_once_behind_what_was(self, server: Server, log: Callable[[str], int]) -> None:
        first = log("before")
        with tailing(server, "-f", "-n", "1") as tail:
            wait_until(lambda: tail.seqs() == [first], "the event that was there")
            second, third = log("after"), log("after")
            wait_until(lambda: tail.seqs() == [first, second, third], "those that came")
        assert tail.notices == []

    def test_a_restarted_server_is_followed_on_with_a_notice_and_a_gap(self, start: Start) -> None:
        port = free_port()
        with start("serve", panel_port=port) as server:
            httpx.post(f"{server.api}/log", content="first life")
            with tailing(server, "-f") as tail:
                wait_until(lambda: len(tail.lines) == 1, "the first event")
                server.stop()
                wait_until(lambda: "connecting again" in "".join(tail.notices), "the notice")
                with start("serve", panel_port=port) as again:
                    wait_until(lambda: "connected again" in "".join(tail.notices), "the connection")
                    httpx.post(f"{again.api}/log", content="second life")
                    wait_until(lambda: len(tail.lines) == 2, "the event of the second life")
        assert [json.loads(line)["body"] for line in tail.lines] == ["first life", "second life"]
        assert "gap: the server was restarted" in "".join(tail.notices)

    def test_a_dropped_connection_is_taken_up_where_it_was_and_what_was_missed_is_counted(
        self, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("REQSCOPE_CAPACITY", "20")
        with start("serve") as server, Relay(server.panel) as relay, tailing(relay.url, "-f") as tail:
            relay.let_through()
            httpx.post(f"{server.api}/log", content="x")
            wait_until(lambda: tail.lines != [], "the first event")
            relay.cut()
            for _ in range(5):
                httpx.post(f"{server.api}/log", content="x")
            relay.let_through()
            wait_until(lambda: len(tail.lines) == 6, "what came meanwhile")
            assert "gap" not in "".join(tail.notices)

            relay.cut()
            for _ in range(50):
                httpx.post(f"{server.api}/log", content="x")
            relay.let_through()
            wait_until(lambda: len(tail.lines) == 26, "what the ring still had")
        assert tail.seqs() == [*range(1, 7), *range(37, 57)]
        assert "gap: 30 events were missed" in "".join(tail.notices)
        assert "".join(tail.notices).count("connected again") == 2


class Relay:
    """A port in front of a server, that can cut every connection and refuse new ones."""

    def __init__(self, url: str) -> None:
        self._target = url.removeprefix("http://")
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Relay":
        self.let_through()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def let_through(self) -> None:
        if self._process is None:
            code = RELAY.format(port=self._port, target=self._target)
            self._process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
            assert self._process.stdout
            self._process.stdout.readline()

    def cut(self) -> None:
        if self._process is not None:
            with self._process:
                self._process.kill()
            self._process = None


RELAY = """
import asyncio

async def pump(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()

async def relay(reader, writer):
    host, port = "{target}".split(":")
    up_reader, up_writer = await asyncio.open_connection(host, int(port))
    await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer), return_exceptions=True)

async def main():
    server = await asyncio.start_server(relay, "127.0.0.1", {port})
    print("ready", flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


class TestEnds:
    def test_ctrl_c_ends_it_quietly(self, server: Server, log: Callable[[str], int]) -> None:
        log("x")
        with tailing(server, "-f") as tail:
            wait_until(lambda: tail.lines != [], "the first line")
            tail.process.send_signal(signal.SIGINT)
            assert tail.process.wait(DEADLINE) == -signal.SIGINT, "which a shell knows as 130"
        assert tail.notices == []

    def test_ctrl_c_ends_it_while_nobody_reads(self, server: Server, log: Callable[[str], int]) -> None:
        for _ in range(20):
            log("x" * 100_000)
        with nursery.start(*TAIL, "-f", "-n", "20", "--url", server.panel, stdout=subprocess.PIPE) as process:
            assert process.stdout
            assert os.read(process.stdout.fileno(), 1)
            process.send_signal(signal.SIGINT)
            assert process.wait(DEADLINE) == -signal.SIGINT

    def test_a_reader_that_has_enough_ends_it_quietly_though_nothing_more_comes(
        self, server: Server, log: Callable[[str], int]
    ) -> None:
        for _ in range(5):
            log("x")
        command = " ".join([sys.executable, "-m", *TAIL, "-f", "-n", "5", "--url", server.panel])

        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", f"{command} | head -3"], capture_output=True, text=True, timeout=DEADLINE
        )

        assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 3)

    def test_a_file_gets_everything(self, server: Server, log: Callable[[str], int], tmp_path: Path) -> None:
        seq = log("x")
        with (
            (tmp_path / "out").open("wb") as out,
            nursery.start(*TAIL, "-n", "1", "--url", server.panel, stdout=out.fileno()) as process,
        ):
            assert process.wait(DEADLINE) == 0

        assert json.loads((tmp_path / "out").read_bytes())["seq"] == seq


class TestRefusals:
    def test_a_filter_that_cannot_be_read_is_pointed_at(self) -> None:
        done = run("path:/a statsu:500")

        assert (done.returncode, done.stdout) == (2, "")
        assert "error: there is no field 'statsu'; did you mean status or stub?" in done.stderr
        assert "\n  path:/a statsu:500\n          ^" in done.stderr

    def test_the_pointer_stands_right_below_wide_and_hidden_characters(self) -> None:
        assert '\n  世界 \\x1b "x\n            ^' in run('世界 \x1b "x').stderr

    def test_when_nobody_is_there_it_says_what_to_start(self) -> None:
        done = run("-f", "--url", f"http://127.0.0.1:{free_port()}")

        assert (done.returncode, done.stdout) == (1, "")
        assert "Connection refused" in done.stderr
        assert "reqscope serve" in done.stderr
        assert "--url" in done.stderr
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize("where", ["panel", "api"])
    def test_a_server_that_is_no_panel_is_told_from_one(self, server: Server, where: str) -> None:
        url = server.api if where == "api" else f"{server.panel}/elsewhere"

        done = run("--url", url)

        assert (done.returncode, done.stdout) == (1, "")
        assert f"there is no panel at {url}" in done.stderr

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--url", "localhost:7860"], "is not an address"),
            (["--url", "http://"], "is not an address"),
            (["--url", "http://localhost:99999"], "is not an address"),
            (["--json", "--pretty"], "--json and --pretty"),
            (["-n", "-1"], "Usage"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else value,
    )
    def test_what_means_nothing_is_an_error_of_use(self, arguments: list[str], words: str) -> None:
        done = run(*arguments)

        assert done.returncode == 2
        assert words in done.stderr

    def test_help_has_examples_and_says_what_the_exit_status_means(self) -> None:
        shown = run("--help", COLUMNS="200").stdout

        assert "reqscope tail 'status:5xx dur>250ms' -n 50 -f" in shown
        assert "Exit status" in shown
        assert all(flag in shown for flag in ("--json", "--logfmt", "--pretty", "--url", "--token", "REQSCOPE_TOKEN"))
