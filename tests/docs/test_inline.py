"""What stands between backquotes in a sentence is there, too: commands, flags, settings, targets and files."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest
import typer.main

from reqscope.service import Settings
from reqscope.service.cli import app

from .blocks import BLOCKS, PAGES, ROOT, inline_code
from .sandbox import Sandbox

Command: TypeAlias = Any
"""Of click, or of the copy that typer has of it."""

COMMANDS: Command = typer.main.get_command(app)
PIECES = [(page, code) for page in PAGES if page.name != "CHANGELOG.md" for code in inline_code(page)]
FOLDERS = ("bus", "service", "ui", "tests", "docs", "benchmarks", "requirements")


def settings() -> set[str]:
    names: set[str] = set()
    for name, field in Settings.model_fields.items():
        choices = getattr(field.validation_alias, "choices", None)
        names |= set(map(str, choices)) if choices else {f"REQSCOPE_{name.upper()}"}
    return names


def flags(command: Command) -> Iterator[str]:
    """Yield all flags of a command and of those below it."""
    for parameter in command.params:
        yield from parameter.opts
        yield from parameter.secondary_opts
    for below in getattr(command, "commands", {}).values():
        yield from flags(below)


def found(words: Sequence[str]) -> Command | None:
    """Return the command that `words` name, if there is one."""
    command: Command = COMMANDS
    for word in words:
        below: dict[str, Command] = getattr(command, "commands", {})
        if not below:
            break
        if word not in below:
            return None
        command = below[word]
    return command


def pieces(pattern: str) -> list[object]:
    """Return pieces of inline code that match, as parameters, each once."""
    kept = {code: page for page, code in PIECES if re.match(pattern, code)}
    return [pytest.param(code, id=f"{page.name} {code}") for code, page in kept.items()]


@pytest.mark.parametrize("code", pieces(r"reqscope [a-z]"))
def test_a_command_in_a_sentence_is_one_and_has_these_flags(code: str) -> None:
    command, *_ = re.split(r" --(?: |$)", code)
    words = command.split()[1:]
    named = found([word for word in words if re.fullmatch("[a-z]+", word)][:2])

    assert named is not None, code
    assert {word.partition("=")[0] for word in words if word.startswith("-")} <= {*flags(named), "--help"}, code


@pytest.mark.parametrize("code", pieces(r"--[a-z]"))
def test_a_flag_in_a_sentence_is_one_of_some_command(code: str) -> None:
    others = {"--http", "--h11-max-incomplete-event-size", "--limit-concurrency", "--preload", "--csv", "--latency"}
    others |= {"--summary-export", "--output-format", "--limit-max-requests"}  # of uvicorn, gunicorn and load tools

    assert set(re.findall(r"(?<!\S)--[a-z0-9-]+", code)) <= {*flags(COMMANDS)} | others


def test_variables_are_settings() -> None:
    texts = [code for _, code in PIECES] + [block.text for block in BLOCKS]
    named = {name for text in texts for name in re.findall(r"\bREQSCOPE_[A-Z_]*[A-Z]", text)}

    assert named - settings() - {"REQSCOPE_URL", "REQSCOPE_TOKEN", "REQSCOPE_RUN", "REQSCOPE_COMPILE"} == set()


@pytest.mark.parametrize("code", pieces(r"make [a-z]"))
def test_a_target_in_a_sentence_is_one_of_the_makefile(code: str) -> None:
    assert re.search(rf"^{code.split()[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("code", pieces(rf"(?:{'|'.join(FOLDERS)})/[\w./-]*$"))
def test_a_file_in_a_sentence_is_there(code: str) -> None:
    assert (ROOT / code).exists()


@pytest.mark.prove
def test_routes_are_those_of_a_server(tmp_path: Path) -> None:
    """As the control plane's OpenAPI document tells; others are asked for."""
    sandbox = Sandbox(tmp_path, {"stubs.yaml": "stubs: []"})
    named = {code for _, code in PIECES if re.match(r"(GET|POST|PUT|DELETE) /", code)}
    with sandbox.serving("reqscope serve --log none --stubs stubs.yaml"):
        known = httpx.get(f"{sandbox.panel}/openapi.json").json()["paths"]
        others = {code for code in named if not is_known(known, *re.split("[ ?]", code)[:2])}
        missing = {code for code in others if not is_answered(sandbox, *code.split())}

    assert len(known) > 30
    assert missing == set()


def is_answered(sandbox: Sandbox, method: str, path: str) -> bool:
    """Whether either plane has a route, whatever it thinks of a request without a body."""
    return any(httpx.request(method, url + path).status_code not in (404, 405) for url in (sandbox.api, sandbox.panel))


def is_known(known: dict[str, dict[str, object]], method: str, path: str) -> bool:
    """Whether an OpenAPI document tells of a route, whatever they call its parameters."""
    return any(
        method.lower() in item and re.fullmatch(re.sub(r"{\w+}", "[^/]+", route), path) for route, item in known.items()
    )
