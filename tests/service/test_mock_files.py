import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqscope.service.mock import StubError, StubStore, json_schema
from reqscope.service.mock.files import files_of, load_file, parse

from .mocking import asked


def error_of(text: str, file: Path | None = None) -> StubError:
    with pytest.raises(StubError) as caught:
        parse(text, file)
    return caught.value


@pytest.mark.guarantees("F41")
@pytest.mark.parametrize(
    ("text", "line", "key", "why"),
    [
        ("stubs:\n- name: a\n  requst: {}\n", 3, "stubs[0].requst", "there is no such key"),
        ("stubs:\n- name: a\n- response:\n    status: 700\n", 3, "stubs[1].response", "from 200 to 599"),
        ("stubs:\n- response:\n    headers:\n      X-A: {b: 1}\n", 3, "stubs[0].response.headers", "expected"),
        ("stubs:\n- request:\n    path_regex: (\n", 2, "stubs[0]", "RE2"),
        ("stubs:\n- priority: high\n", 2, "stubs[0].priority", "expected `int`, got `str`"),
        ("stubs:\n- name: a\n  name: b\n", 3, "", "given twice"),
        ("stubs:\n- name: [\n", 3, "", "is not YAML"),
        ("stubs: 3\n", 1, "stubs", "list"),
        ("stabs: []\n", 1, "stabs", "there is no such key"),
        ("just words\n", 1, "", "holds no stubs"),
        ("stubs:\n- &a {request: *a}\n", 2, "", "anchor"),
        ("- !!python/object/apply:os.system [echo]\n", 1, "", "is not YAML"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_key(text: str, line: int, key: str, why: str) -> None:
    error = error_of(text, Path("stubs.yaml"))

    assert (error.line, error.key) == (line, key)
    assert why in error.message


def test_json_is_read_too_and_its_errors_have_lines(tmp_path: Path) -> None:
    file = tmp_path / "stubs.json"
    file.write_text('{\n\t"stubs": [\n\t\t{"name": "a", "request": {"query": {"page": 2}}}\n\t]\n}')
    assert [each.name for each in load_file(file)] == ["a"]

    file.write_text('{\n "stubs": [\n  {"name": 3}\n ]\n}')
    assert (error_of(file.read_text(), file).line, error_of(file.read_text(), file).key) == (3, "stubs[0].name")
    file.write_text('{\n "stubs": [,]\n}')
    assert error_of(file.read_text(), file).line == 2


def test_anchors_that_grow_without_end_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]

    assert "500000" in error_of("\n".join(lines)).message


def test_dates_and_words_that_yaml_takes_for_something_else_are_texts() -> None:
    (stub,) = parse("request: {query: {on: 2026-01-31, yes: no}}\nresponse: {json: {on: 2026-01-31}}")

    assert stub.takes(asked("GET", "/?on=2026-01-31&true=false"))


def test_a_folder_holds_stubs_in_files_and_bodies_in_the_folder_called_files(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.json", "sub/c.yml", "files/body.json", ".hidden.yaml", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("[]")

    assert [str(each.relative_to(tmp_path)) for each in files_of(tmp_path)] == ["a.json", "b.yaml", "sub/c.yml"]


class TestBodiesInFiles:
    def test_they_are_read_from_the_folder_of_the_stubs(self, tmp_path: Path) -> None:
        (tmp_path / "files").mkdir()
        (tmp_path / "files" / "pay.json").write_text('{"id": 1}')
        (tmp_path / "a.yaml").write_text("response: {file: files/pay.json}")
        found = StubStore([tmp_path]).answer(asked())

        assert found is not None
        assert (found[1].body, dict(found[1].headers)) == (b'{"id": 1}', {b"content-type": b"application/json"})

    @pytest.mark.guarantees("40")
    @pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "link", "nothing"])
    def test_no_other_file_can_be_named(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "secret").write_text("secret")
        folder = tmp_path / "stubs"
        folder.mkdir()
        os.symlink(tmp_path / "secret", folder / "link")
        (folder / "a.yaml").write_text(f"response: {{file: {name}}}")

        with pytest.raises(StubError, match=r"outside of|cannot be read"):
            StubStore([folder])

    def test_a_stub_of_the_api_has_none(self) -> None:
        assert "only by a stub that is in a file" in error_of("response: {file: a.json}").message


@pytest.mark.guarantees("78")
@pytest.mark.parametrize(
    ("response", "why"),
    [
        ({"headers": {"X-A": "a\r\nSet-Cookie: b=1"}}, "line break"),
        ({"headers": {"X-A\r\nB": "a"}}, "not the name of a header"),
        ({"headers": {"Content-Length": "3"}}, "set by the server"),
        ({"headers": {"X-A": "€"}}, "Latin-1"),
        ({"headers": {"Set-Cookie": "reqscope_session=1"}}, "panel"),
        ({"headers": {"Set-Cookie": "{{request.query.c}}=1"}}, "panel"),
        ({"body": "x" * ((1 << 20) + 1)}, "larger than"),
        ({"json": ["x" * ((1 << 20) + 1)]}, "larger than"),
        ({"status": 99}, "from 200 to 599"),
        ({"status": "200"}, "expected"),
        ({"status": 204, "body": "x"}, "no body"),
        ({"body": "a", "json": 1}, "one of"),
        ({"base64": "!"}, "not Base64"),
        ({"delay": "1e9"}, "not a time"),
        ({"delay": 31}, "from 0 to 30"),
        ({"delay": {"uniform": {"low": 2, "high": 1}}}, "more than high"),
        ({"dribble": {"chunks": 0, "over": 1}}, "from 1 to 1000"),
        ({"fault": "explode"}, "nvalid enum value"),
        ({"body": "{{request.secret}}"}, "means nothing"),
        ({"body": "{{__import__('os')}}"}, "means nothing"),
        ({"json": {"a": ["{{request.}}"]}}, "means nothing"),
    ],
)
def test_an_answer_that_would_do_harm_is_refused_when_it_is_loaded(response: dict[str, Any], why: str) -> None:
    assert why in error_of(json.dumps({"response": response})).message


def test_the_json_schema_knows_every_key() -> None:
    schema = json_schema()
    kinds = schema["$defs"]

    assert set(kinds["StubRequest"]["properties"]) == {
        *("method", "path", "path_regex", "query", "headers", "form", "json", "json_equals", "json_path", "body")
    }
    assert not kinds["Stub"]["additionalProperties"]
    assert schema["$ref"] == "#/$defs/StubFile"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 700) | st.floats() | st.text(max_size=12),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["stubs", "request", "response", "responses", "path", "headers", "json", "json_path", "body", "status",
                 "query", "equals", "regex", "delay", "uniform", "low", "openapi", "swagger", "paths", "/a", "get",
                 "$ref", "content", "schema", "log", "entries", "mappings", "url", "bodyPatterns", "method", "{{x}}"]
            ),
            children,
            max_size=5,
        )
    ),
    max_leaves=30,
)  # fmt: skip


@given(JSON)
def test_whatever_a_file_holds_it_is_stubs_or_an_error_for_people(content: object) -> None:
    text = json.dumps(content)
    for file in (None, Path("a.json"), Path("a.yaml")):
        with suppress(StubError):
            parse(text, file)


@given(st.text(max_size=60))
def test_whatever_the_text_it_is_stubs_or_an_error_for_people(text: str) -> None:
    for file in (None, Path("a.json"), Path("a.yaml")):
        with suppress(StubError):
            parse(text, file)
