"""The mask that stands where a secret was, and the edits that put it there."""

import re
import secrets
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Final, TypeAlias

MASK: Final = b"[redacted]"
"""What every mask begins with."""

Edit: TypeAlias = tuple[int, int, bytes]
"""Where a secret starts, where it stops, and what takes its place."""

_KEY: Final = secrets.token_bytes(32)  # one for the process, so that equal secrets look equal everywhere in it
_MASKED: Final = re.compile(rb"\[redacted\](?:#[0-9a-f]{0,6})?")


def mask(secret: bytes) -> bytes:
    """Return the mask of a secret, which is the same for the same secret as long as the process lives.

    Its six digits are keyed at random: nobody can try likely secrets against them. A mask is its own mask.
    """
    if masked(secret):
        return secret
    return MASK + b"#" + blake2b(secret, digest_size=3, key=_KEY).hexdigest().encode()


def masked(value: bytes) -> bool:
    """Return whether this is a mask already, or the rest of one whose end was cut off."""
    return value.startswith(MASK) and _MASKED.fullmatch(value) is not None


def masking(data: bytes, start: int, stop: int, secret: bytes | None = None) -> list[Edit]:
    """Return the edit that masks a part of the data, or none where nothing or a mask stands.

    :param secret: what the part means, where the data spells it with escapes
    """
    if start >= stop or masked(data[start:stop]):
        return []
    return [(start, stop, mask(data[start:stop] if secret is None else secret))]


def edited(data: bytes, edits: Sequence[Edit]) -> bytes:
    """Return the data with the edits made, in whatever order they come, overlapping or not."""
    if not edits:
        return data
    pieces: list[bytes] = []
    done = 0
    for start, stop, new in _settled(data, edits):
        pieces += data[done:start], new
        done = stop
    return b"".join([*pieces, data[done:]])


def _settled(data: bytes, edits: Sequence[Edit]) -> Iterator[Edit]:
    """Yield edits that do not overlap: the outer one of two, or one mask over both where neither is."""
    last: Edit | None = None
    for edit in sorted(edits, key=_outer_first):
        if last is None or edit[0] >= last[1]:
            if last is not None:
                yield last
            last = edit
        elif edit[1] > last[1]:
            last = (last[0], edit[1], mask(data[last[0] : edit[1]]))
    if last is not None:
        yield last


def _outer_first(edit: Edit) -> tuple[int, int]:
    return edit[0], -edit[1]
