"""What the documentation says of settings, filters, log lines and files is what the code does and has."""

import importlib.util
import json
import re
from types import ModuleType

import pytest

from reqscope.bus import Event, Filter
from reqscope.service import Settings

from .blocks import BLOCKS, ROOT

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_settings_is_as_it_would_be_written_now(reference: ModuleType) -> None:
    assert (DOCS / "configuration.md").read_text("utf-8") == reference.settings_page(), "run python docs/reference.py"


def test_the_table_of_fields_is_as_it_would_be_written_now(reference: ModuleType) -> None:
    page = (DOCS / "filters.md").read_text("utf-8")

    assert page == reference.filters_page(page), "run python docs/reference.py"


def test_every_setting_says_what_it_does() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("status:4xx OR status:5xx method:GET", True),  # OR binds less
        ("(status:4xx OR status:5xx) method:GET", False),
        ("error:KeyError", False),
        ("-error:KeyError", True),  # there is none
        ("path~CART", True),
        ('"status:5xx"', False),
        ("size:1kB", True),
        ("size:1KiB", False),
        ("time:2026-01-01T00:00:00..", True),
        ("time:..2026-01-01", True),
    ],
)
def test_a_filter_does_what_its_page_says(text: str, passes: bool) -> None:
    event = Event(time=1_767_225_600_000_000_000, method="POST", path="/cart", status=404, response_size=1_000)

    assert Filter.parse(text)(event) is passes


def test_the_log_line_that_is_shown_has_fields_of_the_schema() -> None:
    (line,) = [block.text for block in BLOCKS if block.page == "docs/logs.md" and '"schema"' in block.text]
    known = set(re.findall(r"^\| `(\S+)` \|", (DOCS / "log-schema.md").read_text("utf-8"), re.MULTILINE))

    assert json.loads(line).keys() <= known


def test_the_picture_of_the_architecture_shows_files_that_exist() -> None:
    (picture,) = [block.text for block in BLOCKS if block.page == "docs/architecture.md"]
    files = re.findall(r"\w+/\w+\.py", picture)

    assert len(files) == 6
    assert [file for file in files if not (ROOT / file).exists()] == []
