"""Stubs made from requests that came, to begin with. Secrets in them are masked, and asked for by presence alone."""

from typing import Any

import msgspec

from reqscope.bus import Event
from reqscope.bus.event import Body
from reqscope.bus.schema import header

from .har import at_path
from .journal import Unmatched
from .request import pairs
from .stub import Stub

_MASK = "[redacted]"


def draft_of_event(event: Event) -> Stub | None:
    """Return a stub that would answer this request, as it was answered if that is known and was no error.

    None where the path is none that a stub may answer.

    :param event: an opened one
    """
    kind = header(event.request_headers, b"content-type")
    request = _request(event.method, event.path, event.query, _data(event.request_body), kind)
    if request is None:
        return None
    response: dict[str, Any] = {"status": 200, "json": {"ok": True}}
    if 200 <= event.status < 400:
        response = {"status": event.status, **_content(_data(event.response_body), event)}
    return msgspec.convert({"request": request, "response": response}, Stub)


def draft_of_unmatched(unmatched: Unmatched) -> Stub | None:
    """Return a stub that would answer this request; None where its path is none that a stub may answer."""
    kind = next((value for name, value in unmatched.headers if name.lower() == "content-type"), "")
    request = _request(unmatched.method, unmatched.path, unmatched.query.encode(), unmatched.body.encode(), kind)
    if request is None:
        return None
    return msgspec.convert({"request": request, "response": {"status": 200, "json": {"ok": True}}}, Stub)


def _request(method: str, path: str, query: bytes, body: bytes, kind: str) -> dict[str, Any] | None:
    request = at_path(method, path)
    if request is None or _MASK in path:
        return None
    asked = {name: {} if _MASK in value else value for name, value in pairs(query)}
    if asked:
        request["query"] = asked
    if body and "json" in kind:
        try:
            content = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return request
        request["json"] = _without_masks(content)
    return request


def _without_masks(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_masks(item) for key, item in value.items() if not _is_masked(item)}
    return value


def _is_masked(value: Any) -> bool:
    return not isinstance(value, dict) and _MASK.encode() in msgspec.json.encode(value)


def _content(body: bytes, event: Event) -> dict[str, Any]:
    kind = header(event.response_headers, b"content-type")
    # Braces in what another service answered are no templates.
    made: dict[str, Any] = {"template": False, **({"headers": {"content-type": kind}} if kind else {})}
    if not body or event.status in (204, 304):
        return made
    try:
        return made | ({"json": msgspec.json.decode(body)} if "json" in kind else {"body": body.decode()})
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return made


def _data(body: Body | None) -> bytes:
    return body.data if body is not None and body.complete else b""
