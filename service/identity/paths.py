"""Where a browser may be sent, and whether it is one that asks."""

import re
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

# Browsers read a backslash as a slash, and skip tabs and line ends, also between two slashes.
_HOSTILE: Final = re.compile(r"[\x00-\x20\x7f\\]")
_MAX_LENGTH: Final = 4_000


def local_path(text: str | None, default: str) -> str:
    """Return `text` as a path on the same host to redirect to, with query and fragment, or else `default`.

    What names another host or scheme, in any spelling that a browser understands, is not a path.
    """
    return text if text and is_local_path(text) else default


def is_local_path(text: str) -> bool:
    """Whether a browser that is sent to `text` stays where it is."""
    if not text.startswith("/") or text.startswith("//") or len(text) > _MAX_LENGTH or _HOSTILE.search(text):
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return not parts.scheme and not parts.netloc


def here(scope: Scope) -> str:
    """Return the path and query of a request as a browser wrote them, to come back to: always a local path."""
    query = scope.get("query_string", b"").decode("latin-1")
    # Behind two slashes, a browser would look for the name of another host.
    path = "/" + quote(scope["path"].lstrip("/"), safe="/:@!$&'()*+,;=~")
    return f"{path}?{query}" if query else path


def with_next(url: str, back: str) -> str:
    """Return `url` with the way back in its query."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'next': back})}"


def wants_page(scope: Scope) -> bool:
    """Whether a person waits for a page, rather than a script or program for data."""
    headers = Headers(scope=scope)
    if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
        return False
    mode = headers.get("sec-fetch-mode")
    return mode == "navigate" if mode else "text/html" in headers.get("accept", "")
