"""HAR files, as browsers save them: what was answered becomes what is answered."""

import logging
import re
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec

from .paths import is_reserved, normalised
from .request import pairs
from .stub import MAX_ANSWER, Stub

logger = logging.getLogger(__name__)

_KEPT: Final = frozenset(("content-type", "cache-control", "etag", "last-modified", "location", "retry-after", "link"))
"""Headers that belong to the answer. Others belong to the connection, or to whoever was signed in."""


def is_har(content: dict[str, Any]) -> bool:
    """Whether this is a HAR document."""
    log = content.get("log")
    return isinstance(log, dict) and isinstance(log.get("entries"), list)


def har_stubs(content: dict[str, Any]) -> list[Stub]:
    """Return a stub for each different request, which gives the answers that it got in their order.

    :raises ValueError: an entry makes no sense, saying which
    """
    found: dict[bytes, tuple[dict[str, Any], list[dict[str, Any]]]] = {}
    for number, entry in enumerate(content["log"]["entries"]):
        try:
            request, response = asked(entry["request"]), _answered(entry["response"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"entry {number}: {type(error).__name__}: {error}") from None
        if request is None or response is None:
            logger.warning("entry %d of the HAR is left out: it was never answered, or is too large", number)
            continue
        found.setdefault(msgspec.json.encode(request), (request, []))[1].append(response)
    return [
        msgspec.convert({"request": request, "responses": responses}, Stub) for request, responses in found.values()
    ]


def asked(request: dict[str, Any]) -> dict[str, Any] | None:
    """Return the request of a stub, or None for one that no stub may answer."""
    parts = urlsplit(request["url"])
    made = at_path(request["method"], unquote(parts.path) or "/")
    if made is None:
        return None
    query = dict(pairs(parts.query.encode()))
    if query:
        made["query"] = query
    post = request.get("postData") or {}
    if "json" in post.get("mimeType", ""):
        try:
            made["json_equals"] = msgspec.json.decode(post.get("text", ""))
        except msgspec.DecodeError:
            made["body"] = post.get("text", "")
    return made


def at_path(method: str, path: str) -> dict[str, Any] | None:
    """Return the request of a stub for exactly this path, or None if it is Reqscope's own."""
    path = normalised(path)
    if is_reserved(path):
        return None
    place = {"path_regex": re.escape(path)} if set(path) & set("{}?") else {"path": path}
    return {"method": method, **place}


def _answered(response: dict[str, Any]) -> dict[str, Any] | None:
    status = response["status"]
    content = response.get("content") or {}
    text = content.get("text")
    if not 200 <= status <= 599 or len(text or "") > MAX_ANSWER:
        return None
    headers = {each["name"].lower(): each["value"] for each in response.get("headers", ())}
    headers = {name: value for name, value in headers.items() if name in _KEPT}
    if text and content.get("mimeType"):
        headers["content-type"] = content["mimeType"]
    made: dict[str, Any] = {"status": status, "headers": headers, "template": False}
    if text and status not in (204, 304):
        made["base64" if content.get("encoding") == "base64" else "body"] = text
    return made
