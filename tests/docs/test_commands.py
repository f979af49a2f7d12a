"""The commands of the documentation do what they are shown for, as they stand there."""

import re
import subprocess
import tomllib
from contextlib import ExitStack
from itertools import takewhile
from pathlib import Path

import httpx
import pytest

from benchmarks.__main__ import parser
from benchmarks.contenders import NAMES

from .blocks import BLOCKS, ROOT, Block, commands, program, words
from .inventory import CLIENTS, SERVERS, SHELL, named, of_kind, run_here
from .sandbox import Sandbox, wait_until

COMMANDS = of_kind(*SHELL)


def is_server(command: str) -> bool:
    return program(command) in SERVERS


@pytest.mark.parametrize("block", named(COMMANDS))
def test_a_command_is_of_a_program_that_is_known_here(block: Block) -> None:
    for command in commands(block):
        name = program(command)
        assert name.startswith((*SERVERS, *CLIENTS, "make ", "pip install", "python")), f"{block}: {command}"
        if name.startswith("make "):
            make = subprocess.run(
                ["make", "-n", *name.split()[1:]], cwd=ROOT, capture_output=True, text=True, check=False
            )
            assert make.returncode == 0, make.stderr
        if name.startswith("pip install"):
            known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
            wanted = command.partition("[")[2].partition("]")[0]
            assert set(filter(None, wanted.split(","))) <= set(known), f"{block}: {command}"
        if name == "python":
            assert reads_benchmarks(words(command)[1:]), f"{block}: {command}"


def reads_benchmarks(arguments: list[str]) -> bool:
    """Whether `python` with these would measure something: they are read as they would be then."""
    assert arguments[:2] == ["-m", "benchmarks"]
    if arguments[2:3] == ["growth"]:
        return all((ROOT / folder).is_dir() for folder in arguments[3:])
    names: list[str] = parser().parse_args(list(takewhile(lambda word: word != ">", arguments[2:]))).names
    return set(names) <= set(NAMES)


@pytest.mark.prove
@pytest.mark.timeout(600)
@pytest.mark.parametrize("block", named(block for block in COMMANDS if run_here(block)))
def test_commands_do_what_they_are_shown_for(block: Block, tmp_path: Path) -> None:
    configurations = [each.text for each in BLOCKS if each.kind == "json" and '"formatters"' in each.text]
    sandbox = Sandbox(tmp_path, {"log.json": configurations[0]})
    wanted = run_here(block)
    with ExitStack() as stack:
        if not any(is_server(command) and program(command) != "uvicorn" for command in wanted):
            prepare(block, sandbox, stack)
        elif "uvicorn" in block.text:
            sandbox.monitor_the_shop()
        for command in wanted:
            if is_server(command):
                stack.enter_context(sandbox.serving(command))
            elif " -f" in command and "reqscope tail" in command:
                sandbox.run("curl -s localhost:8000/; curl -s localhost:8000/broken; true")
                sandbox.follow(command)
            else:
                sandbox.run(command)
        for words_of_it, shows in SHOWS.items():
            if words_of_it in block.text:
                shows(sandbox)


def prepare(block: Block, sandbox: Sandbox, stack: ExitStack) -> None:
    """Start what the text in front of the block says is there: a collector, the demo, or an application."""
    if "OTEL_" in block.text:
        stack.enter_context(sandbox.serving("reqscope serve"))
    elif "uvicorn" in block.text:
        sandbox.monitor_the_shop()
    elif "/log" in block.text:
        stack.enter_context(sandbox.serving("reqscope demo"))
    else:
        stack.enter_context(sandbox.serving("reqscope run shop.main:app"))


def workers_report(sandbox: Sandbox) -> None:
    """Four of them, and a request to one of them is in the panel."""

    def reporting() -> bool:
        return bool(httpx.get(f"{sandbox.panel}/api/workers").json()["summary"]["reporting"] == 4)

    wait_until(reporting, lambda: f"no four workers: {sandbox.printed()}")
    httpx.get(sandbox.api)
    wait_until(lambda: bool(_events(sandbox, "path:/ worker:*")), lambda: "the request is not in the panel")


def lines_are_printed(sandbox: Sandbox) -> None:
    """By uvicorn's formatter, with the duration."""
    httpx.get(sandbox.api)
    wait_until(
        lambda: re.search(r'"GET / HTTP/1.1" 200.* [\d.e-]+s$', sandbox.printed(), re.MULTILINE) is not None,
        lambda: sandbox.printed(),
    )


def spans_are_requests(sandbox: Sandbox) -> None:
    httpx.get(f"http://127.0.0.1:{sandbox.ports['8080']}/")
    wait_until(lambda: bool(_events(sandbox, "path:/")), lambda: f"no span came: {sandbox.printed()}")


def a_user_is_asked_for(sandbox: Sandbox) -> None:
    """Who may look at nothing without having signed in, and send nothing without a token."""
    assert httpx.get(f"{sandbox.panel}/api/events").status_code == 401
    assert httpx.post(f"{sandbox.api}/log", content="hello").status_code == 401


@pytest.mark.prove
def test_a_stream_looks_as_it_is_shown(tmp_path: Path) -> None:
    """As in docs/reading.md: an event, and a gap, which comes first here."""
    (shown,) = [block.text for block in BLOCKS if (block.page, block.kind) == ("docs/reading.md", "text")]
    sandbox = Sandbox(tmp_path, {})
    with sandbox.serving("reqscope serve --log none --capacity 100"):
        httpx.post(f"{sandbox.api}/events", content=b'{"event":"paid"}\n' * 150).raise_for_status()
        came = httpx.get(f"{sandbox.panel}/api/events/stream?after=0&follow=false").text

    event, gap = (shape(piece) for piece in shown.split("\n\n"))
    first, *others = (shape(piece) for piece in came.split("\n\n") if piece.startswith(("id:", "event:")))
    assert first == gap
    assert len(others) == 100
    assert set(others) == {event}


def shape(piece: str) -> str:
    """Return a piece of a stream with what differs left out: numbers, epochs, and all fields but the first four."""
    piece = re.sub(r'("id":"[^"]*").*}', r"\1, …}", piece.strip())
    return re.sub(r'(?<=:)"[^"]*"|[0-9a-f]{8}|\d+', "…", piece)


SHOWS = {
    "--workers 4": workers_report,
    "REQSCOPE_ACCESS_LOG": lines_are_printed,
    "OTEL_EXPORTER_OTLP_ENDPOINT": spans_are_requests,
    "--host 0.0.0.0": a_user_is_asked_for,
}
"""What commands are shown for, where that is more than to end well."""


def _events(sandbox: Sandbox, passing: str) -> list[object]:
    answer = httpx.get(f"{sandbox.panel}/api/events", params={"filter": passing}).raise_for_status()
    found: list[object] = answer.json()["events"]
    return found
