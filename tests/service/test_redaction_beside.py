"""Values in JSON whose name stands beside them."""

import json
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from reqscope.service.redaction import Redaction

REDACTION = Redaction()
SECRET = "hunter2"

words = st.sampled_from(["name", "Key", "loc", "value", "input", "password", "token", "colour", "", "x"])
documents = st.recursive(
    words | st.integers() | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=20,
)


def redacted(document: object) -> Any:
    return json.loads(REDACTION.body(json.dumps(document).encode(), b"application/json"))


@pytest.mark.parametrize(
    "document",
    [
        {"name": "password", "value": SECRET},
        {"value": SECRET, "name": "password"},
        [{"name": "DB_PASSWORD", "value": SECRET}, {"name": "DB_HOST", "value": "db"}],
        {"ParameterKey": "DbPassword", "ParameterValue": SECRET},
        {"key": "access_token", "value": {"stringValue": SECRET}},
        {"k": "api_key", "v": [SECRET]},
        {"form": [{"type": "password", "id": "f1", "value": SECRET}]},
        {"loc": ["body", "user", "password"], "msg": "too short", "input": SECRET},
        {"loc": ["body", ["password"]], "input": {"text": SECRET}},
        {"text": json.dumps({"name": "password", "value": SECRET})},
        {"name": "password", "note": "}", "more": {"name": "x"}, "value": SECRET},
    ],
)
def test_it_is_masked(document: object) -> None:
    assert SECRET not in json.dumps(redacted(document))


@pytest.mark.parametrize(
    "document",
    [
        {"name": "colour", "value": "red"},
        {"name": "password", "interval": "5s", "message": "is required", "value": None},
        {"user": {"name": "password"}, "value": "red"},
        [{"name": "password"}, {"value": "red"}],
        {"names": [{"name": "password"}], "value": "red"},
        [["password"], {"value": "red"}],
        {"title": "password", "value": "red"},
    ],
)
def test_what_stands_beside_nothing_of_the_kind_stays(document: object) -> None:
    assert redacted(document) == document


@pytest.mark.parametrize("cut", range(1, 20))
def test_it_is_masked_where_the_body_is_cut_off(cut: int) -> None:
    body = b'{"name": "password", "value": {"text": "zzzzzzzzzzzzzzzzzzzzzz"'

    assert b"zz" not in REDACTION.body(body[:-cut], b"application/json", complete=False)


def test_input_that_fastapi_repeats_in_its_answer_is_masked() -> None:
    class User(BaseModel):
        name: str
        password: str = Field(min_length=20)

    app = FastAPI()

    @app.post("/users")
    def create(user: User) -> None: ...

    answer = TestClient(app).post("/users", json={"name": "ada", "password": SECRET})
    assert answer.status_code == 422
    assert SECRET in answer.text

    shown = REDACTION.body(answer.content, b"application/json").decode()
    assert SECRET not in shown
    assert json.loads(shown)["detail"][0]["loc"] == ["body", "password"]


@given(documents)
def test_json_stays_json_of_the_same_shape_and_settles(document: object) -> None:
    once = redacted(document)

    assert redacted(once) == once
    assert _shape(once, document)


def _shape(shown: Any, document: Any) -> bool:
    """Whether it is the same, but for masks."""
    if isinstance(shown, str) and shown.startswith("[redacted]"):
        return True
    if isinstance(document, dict) and isinstance(shown, dict):
        return shown.keys() == document.keys() and all(_shape(shown[key], document[key]) for key in document)
    if isinstance(document, list) and isinstance(shown, list):
        return len(shown) == len(document) and all(map(_shape, shown, document))
    return bool(shown == document)


@pytest.mark.parametrize("unit", [b'{"name":"password","value":', b'{"name":["password"],"value":['])
def test_what_is_nested_is_masked_once(unit: bytes) -> None:
    shown = REDACTION.body(unit * 20_000, b"application/json", complete=False)

    assert shown.count(b"[redacted]") == 1
