"""What a stub asks of a request, part by part, each with what it can say of a request that does not fit."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec
import re2  # type: ignore[import-untyped]
from jsonpath import JSONPath as CompiledPath
from jsonpath import JSONPathEnvironment, JSONPathError
from msgspec import UNSET

from .request import MockRequest
from .stub import JsonRule, Scalar, StubRequest, TextRule, checked_pattern, text_of

_SHOWN: Final = 200
_MAX_JSONPATH: Final = 200
_PLACE: Final = re.compile(r"\{(\w[\w-]*)(:path)?\}")

_regex_options = re2.Options()
_regex_options.log_errors = False  # it would write them to standard error, past every log

_jsonpath: Final = JSONPathEnvironment(strict=True)
for _name in ("match", "search"):  # they run Python's regular expressions, which a pattern can keep busy for ever
    del _jsonpath.function_extensions[_name]


class Condition(NamedTuple):
    """One thing that a stub asks for."""

    field: str
    """Which part of a request: `query.page`, `json.amount`."""
    expected: str
    holds: Callable[[MockRequest], bool]
    actual: Callable[[MockRequest], str]
    """What the request has there instead, in words."""


def conditions(request: StubRequest) -> list[Condition]:
    """Return what there is to hold besides method and path, the cheapest first.

    :raises ValueError: a pattern or a JSONPath is wrong, saying where
    """
    return [
        *_texts("query", request.query, lambda each: each.query),
        *_texts("headers", {name.lower(): rule for name, rule in request.headers.items()}, lambda each: each.headers),
        *_texts("form", request.form, lambda each: each.form),
        *_json(request),
        *_body(request.body),
    ]


def path_matcher(request: StubRequest) -> Callable[[str], dict[str, str] | None]:
    """Return what takes a path and gives the values of the template, or None where the path is another.

    :raises ValueError: the pattern is wrong
    """
    if request.path_regex is not None:
        pattern = regex(request.path_regex)
        return lambda path: None if (match := pattern.fullmatch(path)) is None else match.groupdict()
    if request.path is None:
        return lambda path: {}
    if "{" not in request.path:
        exact = request.path
        return lambda path: {} if path == exact else None
    return _template(request.path)


def regex(pattern: str) -> Any:
    """Return the compiled pattern.

    :raises ValueError: it is none in RE2's syntax, which has neither look-around nor back-references
    """
    try:
        return re2.compile(checked_pattern(pattern), _regex_options)
    except re2.error as error:
        why = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise ValueError(f"the pattern {pattern!r} is not in RE2's syntax: {why}") from None


def is_within(expected: Any, value: Any) -> bool:
    """Whether `value` holds all of `expected`: an object may hold more keys, a list is as long and in that order."""
    if isinstance(expected, dict):
        return isinstance(value, dict) and all(
            key in value and is_within(item, value[key]) for key, item in expected.items()
        )
    if isinstance(expected, list):
        return (
            isinstance(value, list)
            and len(value) == len(expected)
            and all(is_within(one, other) for one, other in zip(expected, value, strict=True))
        )
    return is_same(expected, value)


def is_same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal; true is not 1, but 1 is 1.0."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(item, other[key]) for key, item in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)


def _template(path: str) -> Callable[[str], dict[str, str] | None]:
    names = [match[1] for match in _PLACE.finditer(path)]
    if len(names) != len(set(names)):
        raise ValueError(f"{path} has a name twice")
    pattern, end = "", 0
    for match in _PLACE.finditer(path):
        pattern += re2.escape(path[end : match.start()]) + ("(.*)" if match[2] else "([^/]+)")
        end = match.end()
    if "{" in path[end:] or "}" in _PLACE.sub("", path):
        raise ValueError(f"{path}: a name is written {{id}} or {{rest:path}}")
    compiled = re2.compile(pattern + re2.escape(path[end:]), _regex_options)

    def match_template(path: str) -> dict[str, str] | None:
        found = compiled.fullmatch(path)
        return None if found is None else dict(zip(names, found.groups(), strict=True))

    return match_template


def _texts(
    part: str, rules: Mapping[str, Scalar | TextRule], get: Callable[[MockRequest], Mapping[str, list[str]]]
) -> list[Condition]:
    return [_text(part, name, rule, get) for name, rule in rules.items()]


def _text(
    part: str, name: str, rule: Scalar | TextRule, get: Callable[[MockRequest], Mapping[str, list[str]]]
) -> Condition:
    test = text_test(rule)
    absent = isinstance(rule, TextRule) and rule.absent

    def holds(request: MockRequest) -> bool:
        values = get(request).get(name)
        return values is None if absent else values is not None and any(map(test, values))

    def actual(request: MockRequest) -> str:
        values = get(request).get(name)
        return "absent" if values is None else shortened(", ".join(values))

    return Condition(f"{part}.{name}", described(rule), holds, actual)


def text_test(rule: Scalar | TextRule) -> Callable[[str], bool]:
    """Return whether a text is as the rule says.

    :raises ValueError: its pattern is wrong
    """
    if not isinstance(rule, TextRule):
        text = text_of(rule)
        return lambda value: value == text
    fold = str.casefold if rule.ignore_case else str
    tests: list[Callable[[str], bool]] = []
    if rule.equals is not None:
        equal = fold(text_of(rule.equals))
        tests.append(lambda value: fold(value) == equal)
    if rule.contains is not None:
        part = fold(rule.contains)
        tests.append(lambda value: part in fold(value))
    if rule.regex is not None:
        pattern = regex(f"(?is:{rule.regex})" if rule.ignore_case else f"(?s:{rule.regex})")
        tests.append(lambda value: pattern.fullmatch(value) is not None)
    return lambda value: all(test(value) for test in tests)


def _json(request: StubRequest) -> list[Condition]:
    found: list[Condition] = []
    if request.json_equals is not UNSET:
        whole = request.json_equals
        found.append(Condition("json", shown(whole), lambda each: is_same(whole, each.json_or_unset), _shown_json))
    if isinstance(request.json_body, dict):
        found += [_json_key(str(key), value) for key, value in request.json_body.items()]
        found = found or [Condition("json", "an object", lambda each: isinstance(each.json, dict), _shown_json)]
    elif request.json_body is not UNSET:
        part = request.json_body
        found.append(Condition("json", shown(part), lambda each: is_within(part, each.json_or_unset), _shown_json))
    return found + [_json_path(path, rule) for path, rule in request.json_path.items()]


def _json_key(key: str, expected: Any) -> Condition:
    def holds(request: MockRequest) -> bool:
        body = request.json
        return isinstance(body, dict) and key in body and is_within(expected, body[key])

    def actual(request: MockRequest) -> str:
        body = request.json
        if not isinstance(body, dict):
            return _shown_json(request)
        return shown(body[key]) if key in body else "absent"

    return Condition(f"json.{key}", shown(expected), holds, actual)


def _json_path(path: str, rule: Scalar | JsonRule) -> Condition:
    compiled = _compiled(path)
    test = _value_test(rule if isinstance(rule, JsonRule) else JsonRule(equals=rule))
    absent = isinstance(rule, JsonRule) and rule.absent

    def values(request: MockRequest) -> list[Any]:
        try:
            return [] if request.json_or_unset is UNSET else compiled.findall(request.json_or_unset)
        except (JSONPathError, RecursionError):
            return []

    def actual(request: MockRequest) -> str:
        found = values(request)
        return shown(found[0] if len(found) == 1 else found) if found else "absent"

    def holds(request: MockRequest) -> bool:
        found = values(request)
        return not found if absent else any(map(test, found))

    return Condition(f"json_path {path}", described(rule), holds, actual)


def _compiled(path: str) -> CompiledPath:
    if len(path) > _MAX_JSONPATH or path.count("..") > 1 or path.count("?") > 2:
        raise ValueError(
            f"the JSONPath {shortened(path)} is too much work for a request: up to {_MAX_JSONPATH} characters, "
            "one .. and two filters"
        )
    try:
        compiled = _jsonpath.compile(path)
    except JSONPathError as error:
        raise ValueError(f"the JSONPath {path!r} is wrong: {str(error).splitlines()[0]}") from None
    if not isinstance(compiled, CompiledPath):
        raise ValueError(f"{path!r} is more than one JSONPath")
    return compiled


def _value_test(rule: JsonRule) -> Callable[[Any], bool]:
    tests: list[Callable[[Any], bool]] = []
    above, below = rule.above, rule.below
    if rule.equals is not UNSET:
        tests.append(lambda value: is_same(rule.equals, value))
    if rule.regex is not None:
        pattern = regex(f"(?s:{rule.regex})")
        tests.append(lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None)
    if above is not None:
        tests.append(lambda value: _is_number(value) and value > above)
    if below is not None:
        tests.append(lambda value: _is_number(value) and value < below)
    return lambda value: all(test(value) for test in tests)


def _body(rule: Scalar | TextRule | None) -> list[Condition]:
    if rule is None:
        return []
    test = text_test(rule)
    if isinstance(rule, TextRule) and rule.absent:
        return [Condition("body", "absent", lambda each: not each.body, lambda each: shortened(each.text))]
    return [Condition("body", described(rule), lambda each: test(each.text), lambda each: shortened(each.text))]


def described(rule: Scalar | TextRule | JsonRule) -> str:
    """Return a rule in words."""
    if not isinstance(rule, TextRule | JsonRule):
        return text_of(rule)
    if rule.absent:
        return "absent"
    said = [
        f"{name.replace('_', ' ')} {value if isinstance(value, str) else shown(value)}"
        for name, value in msgspec.to_builtins(rule).items()
        if name != "ignore_case"
    ]
    return " and ".join(said) or "present"


def shown(value: object) -> str:
    """Return JSON to be read by people, cut to a line."""
    return shortened(msgspec.json.encode(value).decode())


def shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _shown_json(request: MockRequest) -> str:
    if request.json_or_unset is UNSET:
        return "not JSON" if request.body else "no body"
    return shown(request.json_or_unset)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
