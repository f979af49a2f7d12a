"""Header values whose name is sensitive: what of them may stay, such as the names of cookies and the scheme."""

import re
from collections.abc import Callable
from typing import Final

from .masks import mask, masked

_SCHEME: Final = re.compile(
    rb"(\s*+(?:apikey|aws4-hmac-sha256|basic|bearer|digest|negotiate|ntlm|token) +)(.*)", re.I | re.S
)
_ANY_SCHEME: Final = re.compile(rb"(\s*+[A-Za-z][A-Za-z0-9-]{0,19} +)(.*)", re.DOTALL)
_ATTRIBUTES: Final = frozenset(
    b"comment domain expires httponly max-age partitioned path priority samesite secure version".split()
)
_DATE: Final = re.compile(rb"[A-Za-z]{3,9}, ?[0-9A-Za-z]{1,2}[ -][A-Za-z]{3}[ -][0-9]{2,4} [0-9:]{5,8} ?[A-Z]{0,5}")

Choice = Callable[[bytes], bool]


def credentials(name: bytes, value: bytes) -> bytes:
    """Return the value of a sensitive header masked, its scheme kept.

    Other headers than `Authorization` and `Proxy-Authorization` keep schemes that are known only: theirs is likely to
    be no scheme at all.
    """
    scheme = _ANY_SCHEME if name.lower().endswith(b"authorization") else _SCHEME
    match = scheme.fullmatch(value)
    return match[1] + _masked(match[2]) if match else _masked(value)


def cookies(value: bytes, chosen: Choice) -> bytes:
    """Return a `Cookie` header with the values of the chosen cookies masked, their names kept."""
    return b";".join([_cookie(pair, chosen) for pair in value.split(b";")])


def set_cookie(value: bytes, chosen: Choice) -> bytes:
    """Return a `Set-Cookie` header with the cookie masked if it is a chosen one, its name and attributes kept."""
    cookie, *attributes = value.split(b";")
    return b";".join([_cookie(cookie, chosen), *(_attribute(attribute, chosen) for attribute in attributes)])


def _cookie(pair: bytes, chosen: Choice) -> bytes:
    name, equals, value = pair.partition(b"=")
    if not equals:
        name, value = b"", pair
    return name + equals + _masked(value) if chosen(name.strip()) else pair


def _attribute(attribute: bytes, chosen: Choice) -> bytes:
    """Return the attribute, masked if it is none: several cookies in one header may hide in there."""
    name, _, value = attribute.partition(b"=")
    known = name.strip().lower() in _ATTRIBUTES
    return attribute if known and (b"," not in value or _DATE.fullmatch(value)) else _cookie(attribute, chosen)


def _masked(value: bytes) -> bytes:
    """Return the mask of a value, with the spaces around it, or what is no secret: nothing, or a mask."""
    secret = value.strip()
    if not secret or masked(secret):
        return value
    return value.replace(secret, mask(secret), 1)
