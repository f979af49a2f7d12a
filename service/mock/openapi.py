"""OpenAPI 3 documents: every operation becomes a stub, answered with its example, or with one made from its schema."""

import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec

from .examples import example_of, resolve
from .paths import normalised
from .stub import Stub

_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def is_openapi(content: dict[str, Any]) -> bool:
    """Whether this is an OpenAPI document, of whatever version."""
    return isinstance(content.get("openapi") or content.get("swagger"), str) and "paths" in content


def openapi_stubs(content: dict[str, Any]) -> list[Stub]:
    """Return a stub for each operation, and for each other answer of it one that `Prefer: code=404` asks for.

    :raises ValueError: the document is of another version, or an operation makes no sense, saying which
    """
    if not str(content.get("openapi", "")).startswith("3."):
        raise ValueError("only OpenAPI 3 is understood; a Swagger 2 document can be converted with swagger-converter")
    prefix = _prefix(content)
    stubs: list[Stub] = []
    # What is written out goes before what a template would take, as OpenAPI has it.
    for path, item in sorted(content["paths"].items(), key=lambda each: each[0].count("{")):
        item = resolve(content, item)
        for method in _METHODS:
            if isinstance(item.get(method), dict):
                try:
                    stubs += _operation(content, prefix + path, method, item[method])
                except (ValueError, msgspec.ValidationError) as error:
                    raise ValueError(f"{method.upper()} {path}: {error}") from None
    return stubs


def _operation(content: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> Iterator[Stub]:
    name = operation.get("operationId") or f"{method.upper()} {path}"
    responses = {
        str(code): resolve(content, each)
        for code, each in operation.get("responses", {}).items()
        if not str(code).startswith("x-")
    }
    usual = min((code for code in responses if code.startswith("2")), default=next(iter(responses), "200"))
    request = {"method": method, "path": re.sub(r"\{([^{}]*)\}", lambda each: _placeholder(each[1]), path)}
    for code, response in responses.items() or [("200", {})]:
        answer = _answer(content, _status(code), response)
        if code == usual:
            yield msgspec.convert({"name": name, "request": request, "response": answer}, Stub)
        else:
            asked = {**request, "headers": {"prefer": {"contains": f"code={_status(code)}"}}}
            stub = {"name": f"{name} {code}", "priority": 4, "request": asked, "response": answer}
            yield msgspec.convert(stub, Stub)


def _placeholder(name: str) -> str:
    return "{" + re.sub(r"[^\w-]|^(?=[^\w])", "_", name) + "}"


def _status(code: str) -> int:
    """Return a status: `4XX` and `default` stand for several."""
    if code.isdecimal():
        return int(code)
    return int(code[0]) * 100 if code[:1].isdecimal() else 500


def _answer(content: dict[str, Any], status: int, response: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"status": max(status, 200), "template": False, "headers": _headers(content, response)}
    media = response.get("content", {})
    if not media or status in (204, 304):
        return answer
    kind = next((each for each in media if "json" in each), next(iter(media)))
    value = _example(content, media[kind])
    answer["headers"]["content-type"] = kind if "*" not in kind else "application/json"
    if "json" in kind or not isinstance(value, str):
        answer["json"] = value
    else:
        answer["body"] = value
    return answer


def _headers(content: dict[str, Any], response: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, header in response.get("headers", {}).items():
        header = resolve(content, header)
        if name.lower() == "content-type" or not header.get("required"):
            continue
        value = _example(content, header)
        made[name] = value if isinstance(value, str | int | float) else msgspec.json.encode(value).decode()
    return made


def _example(content: dict[str, Any], media: dict[str, Any]) -> Any:
    if "example" in media:
        return media["example"]
    for each in media.get("examples", {}).values():
        each = resolve(content, each)
        if "value" in each:
            return each["value"]
    return example_of(content, media.get("schema", {}))


def _prefix(content: dict[str, Any]) -> str:
    servers: list[dict[str, Any]] = content.get("servers") or [{"url": "/"}]
    variables = servers[0].get("variables", {})
    url = re.sub(r"\{(\w+)\}", lambda each: str(variables.get(each[1], {}).get("default", "")), servers[0]["url"])
    return normalised("/" + unquote(urlsplit(url).path)).rstrip("/")
