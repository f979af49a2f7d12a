"""The documented schema of log lines is the one that lines have."""

import re
import types
import typing
from pathlib import Path

import msgspec
import pytest

from reqscope.bus import Event, Failure
from reqscope.bus.ecs import NAMES
from reqscope.bus.entries import entries
from reqscope.bus.logentry import VERSION, LogEntry

TEXT = (Path(__file__).parent.parent / "docs" / "log-schema.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\| `.*", TEXT, re.MULTILINE)]
TYPES = {str: "string", int: "integer", float: "number"}


def documented() -> dict[str, list[str]]:
    return {row[0].strip("` "): row[1:] for row in ROWS}


def test_every_field_is_documented_in_the_order_of_a_line_and_nothing_else_is() -> None:
    assert list(documented()) == ["schema", *LogEntry.__struct_encode_fields__]


def test_the_version_is_that_of_the_code() -> None:
    assert TEXT.startswith(f"# The log schema, version {VERSION}\n")
    (entry,) = entries([Event(time=0)], "cafe")
    assert msgspec.to_builtins(entry)["schema"] == VERSION


@pytest.mark.parametrize("field", msgspec.structs.fields(LogEntry), ids=lambda field: field.encode_name)
def test_a_field_has_the_type_that_is_documented_and_is_always_there_if_that_is_said(
    field: msgspec.structs.FieldInfo,
) -> None:
    kind, always, meaning, ecs = documented()[field.encode_name]
    is_union = isinstance(field.type, types.UnionType)
    (plain,) = {each for each in (typing.get_args(field.type) if is_union else (field.type,)) if each is not type(None)}

    assert kind == TYPES[plain]
    assert (always == "yes") == field.required
    assert meaning
    assert ecs.startswith(f"`{NAMES[field.encode_name]}`" if field.encode_name in NAMES else "")
    assert bool(ecs) == (field.encode_name in NAMES)


def test_lines_have_the_documented_names() -> None:
    failure = Failure(type="KeyError", message="m", traceback="t", fingerprint="f")
    events = [
        Event(time=0, method="GET", total=1, status=500),
        Event(time=0, kind="websocket", messages_sent=1, close_code=1000),
        Event(time=0, failure=failure, error="KeyError"),
        Event(time=0, kind="record", body=b"\xff"),
    ]

    for entry in entries(events, "cafe"):
        assert set(msgspec.to_builtins(entry)) <= set(documented())
