import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reqscope.service import Redaction
from reqscope.service.redaction.names import SENSITIVE, Names
from tests.conftest import PROVE

REDACTION = Redaction()
KEYS = st.sampled_from(["password", "accessToken", "X-API-Key", "user_secret", "cookies", "pin", "private key"])
NAMES = Names(SENSITIVE)
PLAIN = st.text(st.characters(exclude_characters="=:<(%"), max_size=8).filter(
    lambda text: not NAMES[text.encode("utf-8", "surrogatepass")]
)
SCALARS = st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats(allow_nan=False) | PLAIN
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN, inner, max_size=3), max_leaves=8
)
SECRETS = (
    st.text(min_size=1, max_size=20) | st.integers() | st.booleans() | st.lists(VALUES) | st.dictionaries(PLAIN, VALUES)
)
FORMATS = st.fixed_dictionaries(
    {
        "indent": st.sampled_from([None, 0, 2]),
        "ensure_ascii": st.booleans(),
        "separators": st.sampled_from([None, (",", ":")]),
    }
)


def redacted(text: str, content_type: bytes = b"application/json") -> str:
    body = REDACTION.body(text.encode("utf-8", "surrogatepass"), content_type)
    return body.decode("utf-8", "surrogatepass")


def shown(text: str) -> str:
    """Return the redacted text, a star for each mask."""
    text = redacted(text)
    while "[redacted]#" in text:
        start = text.index("[redacted]#")
        text = text[:start] + "*" + text[start + 17 :]
    return text


def wrapped(value: Any, around: list[Any]) -> Any:
    for other in around:
        value = {"a": other, "in": value, "z": None} if isinstance(other, dict | str) else [other, value, 1.0]
    return value


@settings(max_examples=3_000 if PROVE else 100)
@given(key=KEYS, secret=SECRETS, around=st.lists(VALUES, max_size=20), style=FORMATS)
def test_json_stays_the_same_but_for_the_secret_however_deep(
    key: str, secret: Any, around: list[Any], style: dict[str, Any]
) -> None:
    before = json.dumps(wrapped({"id": 1, key: secret, "ok": True}, around), **style)
    after = redacted(before)
    mask = find(json.loads(after), key)
    expected = wrapped({"id": 1, key: mask, "ok": True}, around)

    assert isinstance(mask, str)
    assert mask.startswith("[redacted]")
    assert after == json.dumps(expected, **style)


def find(value: Any, key: str) -> Any:
    """Return what stands under the key next to the `id`."""
    if isinstance(value, dict) and key in value and "id" in value:
        return value[key]
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return next((found for member in members if (found := find(member, key)) is not None), None)


@settings(deadline=None)
@given(value=VALUES, style=FORMATS)
def test_json_without_secrets_is_not_touched(value: Any, style: dict[str, Any]) -> None:
    text = json.dumps(value, **style)

    assert redacted(text) == text
    assert redacted(text, b"") == text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"password": "x"}', '{"password": "*"}'),
        ('{"password" :\n\t"x" , "n" : 1.50e+10}', '{"password" :\n\t"*" , "n" : 1.50e+10}'),
        (
            '{"pin": 123, "otp": -1.5e3, "token": true, "jwt": false}',
            '{"pin": "*", "otp": "*", "token": "*", "jwt": "*"}',
        ),
        ('{"password": null, "token": ""}', '{"password": null, "token": ""}'),
        ('{"password": {"a": ["}", 1]}, "b": 2}', '{"password": "*", "b": 2}'),
        ('{"secrets": ["a", {"b": "]"}], "b": 2}', '{"secrets": "*", "b": 2}'),
        ('{"password": "a\\"b\\\\", "b": 2}', '{"password": "*", "b": 2}'),
        ('{"token": "x", "token": "y"}', '{"token": "*", "token": "*"}'),
        ('{"p\\u0061ssword": "x"}', '{"p\\u0061ssword": "*"}'),
        ('{"a": "{\\"token\\": 12, \\"b\\": 1}"}', '{"a": "{\\"token\\": \\"*\\", \\"b\\": 1}"}'),
        ('"{\\"token\\": \\"x\\"}"', '"{\\"token\\": \\"*\\"}"'),
        ('{"url": "https://h/?token=abc&n=1"}', '{"url": "https://h/?token=*&n=1"}'),
        ('{"url": "https:\\/\\/u:pw@h\\/?n=1"}', '{"url": "https:\\/\\/u:*@h\\/?n=1"}'),
        ('{"body": "a=1&password=x&b=2"}', '{"body": "a=1&password=*&b=2"}'),
        ('{"label": "password:", "x": "y"}', '{"label": "password:", "x": "y"}'),
        ('{"label": "the token is: \\"", "x": "y"}', '{"label": "the token is: \\"", "x": "y"}'),
        ('{"password": "x"}\n{"token": "y"}\n', '{"password": "*"}\n{"token": "*"}\n'),
        ('[{"name": "token"}, {"name": "password"}]', '[{"name": "token"}, {"name": "password"}]'),
        ('{"max_tokens": 512, "token_type": "bearer"}', '{"max_tokens": 512, "token_type": "bearer"}'),
        ('{"n": 4111111111111111, "m": 4111111111111112}', '{"n": "*", "m": 4111111111111112}'),
        ('{"at": 0.4111111111111111, "id": "550e8400-e29b-41d4-4716-446655440000"}',) * 2,
        ('{"ghp_' + "a1" * 18 + '": 1}', '{"*": 1}'),
    ],
)
def test_a_value_is_masked_and_all_else_stays(before: str, after: str) -> None:
    assert shown(before) == after


@pytest.mark.guarantees("12", "45")
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"a": "x, "password": "y", "b": 1}', '{"a": "x, "password": "*", "b": 1}'),
        ('{"password": "y', '{"password": "*'),
        ('{"password": "y\\', '{"password": "*\\'),
        ('{"password": ["a", {"b": "c', '{"password": "*"'),
        ('{"password": 12', '{"password": "*"'),
        ('{"password": ', '{"password": '),
        ('{"password"', '{"password"'),
        ("{'password': 'a, b', 'n': 1}", "{'password': '*', 'n': 1}"),
        ('{password: "y", n: 1}', '{password: "*", n: 1}'),
        ('{"a": 1}}}, {"password": "y"}', '{"a": 1}}}, {"password": "*"}'),
        ('for(;;);{"password": "y", "n": 1}', 'for(;;);{"password": "*", "n": 1}'),
        (')]}\',\n{"password": "y", "n": 1}', ')]}\',\n{"password": "*", "n": 1}'),
        ('{"a": "1}\n{"password": "y"}\n{"n": 1}', '{"a": "1}\n{"password": "*"}\n{"n": 1}'),
        ('callback({"password": {"a": "b"}, "n": 1})', 'callback({"password": "*", "n": 1})'),
    ],
)
def test_what_is_not_quite_json_is_masked_as_well(before: str, after: str) -> None:
    assert shown(before) == after


@pytest.mark.guarantees("44", "45")
def test_the_start_of_a_card_number_is_masked_where_the_body_is_cut_off() -> None:
    body = b'{"n": 4111111111'

    assert REDACTION.body(body, b"", complete=False) == b'{"n": "' + REDACTION.mask(b"4111111111") + b'"'
    assert REDACTION.body(body, b"") == body
    assert REDACTION.body(b"[1, 42345678]", b"", complete=False) == b"[1, 42345678]"


@pytest.mark.guarantees("10")
def test_depth_is_no_burden() -> None:
    deep = '{"a":' * 50_000 + '{"token":"abc"}' + "}" * 50_000

    assert shown(deep) == deep.replace("abc", "*")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_with_many_digits_is_no_card(number: float) -> None:
    fraction = math.fmod(number, 1)

    assert redacted(f'{{"n": {fraction!r}}}') == f'{{"n": {fraction!r}}}'
