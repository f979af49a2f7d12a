"""Texts with values from the request in them: `{{request.path.id}}`. Names and nothing else; no code can be written."""

import html
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from uuid import uuid4

import msgspec

if TYPE_CHECKING:
    from .request import MockRequest

Value: TypeAlias = Callable[["MockRequest", int], object]
Quote: TypeAlias = Callable[[str], str]

_PLACE: Final = re.compile(r"\{\{\s*([^{}|]*?)\s*(?:\|([^{}]*))?\}\}")
_KNOWN: Final = (
    "request.method, request.path, request.path.NAME, request.query.NAME, request.headers.NAME, request.json.KEY, "
    "request.form.NAME, request.body, now, uuid and count"
)


class Template:
    """A text with places for values, each `{{name}}` or `{{name|what to write without one}}`.

    :raises ValueError: a name means nothing
    """

    def __init__(self, text: str) -> None:
        self.parts: list[str | Value] = []
        end = 0
        for match in _PLACE.finditer(text):
            self.parts += [text[end : match.start()], _or(_value(match[1]), match[2])]
            end = match.end()
        self.parts.append(text[end:])
        self.fixed = len(self.parts) == 1
        """Whether there is no place in it."""

    def render(self, request: "MockRequest", count: int, quote: Quote = str) -> str:
        """Return the text for a request, each value `quote`d for where it stands."""
        return "".join(part if isinstance(part, str) else quote(written(part(request, count))) for part in self.parts)

    @property
    def alone(self) -> Value | None:
        """The value that is all there is to the text, if so: in JSON it keeps its type."""
        match self.parts:
            case ["", value, ""] if not isinstance(value, str):
                return value
            case _:
                return None


def fill(value: object, request: "MockRequest", count: int) -> object:
    """Return JSON of `compiled` with the values of a request. What comes from a request is never taken for JSON."""
    match value:
        case Template():
            alone = value.alone
            return value.render(request, count) if alone is None else alone(request, count)
        case dict():
            return {key: fill(item, request, count) for key, item in value.items()}
        case list():
            return [fill(item, request, count) for item in value]
        case _:
            return value


def compiled(value: object) -> tuple[object, bool]:
    """Return JSON with templates in the place of texts that are such, and whether there is none.

    :raises ValueError: a name in one means nothing
    """
    match value:
        case str() if "{{" in value:
            template = Template(value)
            return (value, True) if template.fixed else (template, False)
        case dict():
            pairs = {key: compiled(item) for key, item in value.items()}
            return {key: item for key, (item, _) in pairs.items()}, all(fixed for _, fixed in pairs.values())
        case list():
            items = [compiled(item) for item in value]
            return [item for item, _ in items], all(fixed for _, fixed in items)
        case _:
            return value, True


def quote_for(content_type: str) -> Quote:
    """Return how values are written into a body of that type, so that they stay values."""
    kind = content_type.lower()
    if "json" in kind:
        return lambda text: msgspec.json.encode(text).decode()[1:-1]
    return html.escape if "html" in kind or "xml" in kind else str


def written(value: object) -> str:
    """Return a value as text: as it is, or as JSON."""
    match value:
        case None:
            return ""
        case str():
            return value
        case _:
            return msgspec.json.encode(value).decode()


def _or(value: Value, instead: str | None) -> Value:
    if instead is None:
        return value

    def choose(request: "MockRequest", count: int) -> object:
        found = value(request, count)
        return instead if found is None else found

    return choose


def _value(name: str) -> Value:
    simple: dict[str, Value] = {
        "now": lambda request, count: datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "uuid": lambda request, count: str(uuid4()),
        "count": lambda request, count: count,
        "request.method": lambda request, count: request.method,
        "request.path": lambda request, count: request.path,
        "request.body": lambda request, count: request.text,
        "request.json": lambda request, count: request.json,
    }
    if name in simple:
        return simple[name]
    _, _, rest = name.partition("request.")
    where, dot, key = rest.partition(".")
    if dot and key:
        match where:
            case "path":
                return lambda request, count: request.path_values.get(key)
            case "query":
                return lambda request, count: _first(request.query.get(key))
            case "headers":
                lower = key.lower()
                return lambda request, count: _first(request.headers.get(lower))
            case "form":
                return lambda request, count: _first(request.form.get(key))
            case "json":
                keys = key.split(".")
                return lambda request, count: _inside(request.json, keys)
            case _:
                pass
    raise ValueError(f"{{{{{name}}}}} means nothing; there are {_KNOWN}")


def _first(values: list[str] | None) -> str | None:
    return values[0] if values else None


def _inside(value: Any, keys: list[str]) -> object:
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and int(key[:9]) < len(value):
            value = value[int(key[:9])]
        else:
            return None
    return value
