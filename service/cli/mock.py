"""`reqscope mock`: stubs that answer in place of a service."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.markup import escape

from reqscope.service.settings import Settings
from reqscope.service.terminal import err, fail, out

from .checks import guarded
from .launch import launch
from .options import Given, read_settings, settings_flags, with_defaults

if TYPE_CHECKING:
    from reqscope.service.mock import StubStore
    from reqscope.service.mock.record import Recorder


@settings_flags(but="replay collector stubs")
def mock(
    given: Given,
    stubs: Annotated[
        Path | None,
        typer.Argument(
            metavar="PATH",
            help="A file or folder of stubs: Reqscope's own YAML or JSON, WireMock mappings, OpenAPI 3 or HAR.",
        ),
    ] = None,
    record: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Ask this service what no stub answers, and save its answers as stubs."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Say what is wrong in the stubs, and serve nothing.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of stub files.")] = False,
) -> None:
    """Play a service that others provide: stubs answer, and the panel shows what was asked. Keeps bodies, and logs
    nothing, unless told."""
    if schema:
        _print_schema()
        return
    settings = guarded(read_settings({**given, "stubs": stubs}), ingest=True)
    if settings.stubs is None:
        fail("which stubs? Name a file or a folder: reqscope mock stubs.yaml", status=2)
    if check:
        _check_stubs(settings.stubs)
        return
    store, recorder = _prepare(settings.stubs, record, settings)
    from reqscope.service.collector import fallback_app

    settings = with_defaults(settings, log="none", bodies="all")
    launch(settings, fallback_app, ingest=True, replays=False, stubs=store, recorder=recorder)


def load_stubs(path: Path, settings: Settings) -> "StubStore":
    """Return the stubs of a file or folder, or end the command with what is wrong in them."""
    from reqscope.service.mock import StubError, StubStore

    try:
        return StubStore([path], settings.redact)
    except StubError as error:
        fail(error)


def _prepare(path: Path, record: str | None, settings: Settings) -> "tuple[StubStore, Recorder | None]":
    if record is None:
        return load_stubs(path, settings), None
    from reqscope.service.mock.record import Recorder

    if path.suffix and not path.exists():
        try:
            path.write_text("stubs: []\n")
        except OSError as error:
            fail(f"cannot write {path}: {error.strerror}")
    store = load_stubs(path, settings)
    try:
        return store, Recorder(record, path / "recorded.yaml" if path.is_dir() else path, store)
    except ValueError as error:
        fail(f"--record: {error}", status=2)


def _print_schema() -> None:
    from reqscope.service.mock import json_schema

    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(json_schema()), indent=2) + b"\n")


def _check_stubs(path: Path) -> None:
    from reqscope.service.mock import StubError
    from reqscope.service.mock.files import files_of, load_file

    count, wrong = 0, 0
    for file in files_of(path):
        try:
            count += len(load_file(file, path if path.is_dir() else None))
        except StubError as error:
            wrong += 1
            err.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
    if wrong:
        sys.exit(1)
    out.print(f"Stubs: {count}, and nothing wrong with them.", highlight=False)
