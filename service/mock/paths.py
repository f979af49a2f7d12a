"""Paths, as stubs and reserved routes both see them."""

import posixpath
from typing import Final

from reqscope.service.ingest import ROUTES

RESERVED: Final = frozenset((*ROUTES, "/livez"))
"""What the API's port answers itself."""


def normalised(path: str) -> str:
    """Return a decoded path without empty and dotted segments; a slash at its end stays."""
    if "//" not in path and "/." not in path:
        return path or "/"
    trailing = "/" if path.endswith(("/", "/.", "/..")) else ""
    plain = "/" + posixpath.normpath("/" + path).lstrip("/")
    return plain if plain == "/" else plain + trailing


def is_reserved(path: str) -> bool:
    """Whether a normalised path is one that no stub may answer."""
    return path in RESERVED or (path.endswith("/") and path[:-1] in RESERVED)


def first_segment(path: str) -> str:
    """Return what stands between the first two slashes."""
    return path[1:].partition("/")[0]
