"""Bearer tokens for programs: those that send records, and those that read."""

import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from starlette.types import Scope

from .private_file import PrivateFile

Purpose: TypeAlias = Literal["ingest", "read", "admin"]
PURPOSES: Final[tuple[Purpose, ...]] = get_args(Purpose)

PREFIX: Final = "rq_"
"""What every token begins with, so that people and scanners know one when they see it."""

_MAX_NAME: Final = 64
_MAX_HEADER: Final = 256


class TokenError(Exception):
    """A token that cannot be added or removed. The message says why."""


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token. Not the token: only a hash of it is kept."""

    name: str
    scopes: tuple[Purpose, ...]
    created: str

    def allows(self, purpose: Purpose) -> bool:
        """Whether it is for this. Who may change things may look, too; sending records is a purpose of its own."""
        return purpose in self.scopes or (purpose == "read" and "admin" in self.scopes)


class Tokens:
    """The tokens of one file. All methods raise `PrivateFileError` when the file cannot be used."""

    def __init__(self, path: Path) -> None:
        self._file = PrivateFile(path)

    def all(self) -> list[Token]:
        return [_token(name, record) for name, record in sorted(self._file.records().items())]

    def has(self, purpose: Purpose) -> bool:
        """Whether there is any token for this."""
        return any(token.allows(purpose) for token in self.all())

    def add(self, name: str, scopes: Iterable[Purpose]) -> str:
        """Make a token, and return it. It is not stored, and cannot be had again.

        :raises TokenError: the name will not do, or is taken
        """
        if not name or len(name) > _MAX_NAME or not name.isprintable() or name != name.strip():
            raise TokenError(f"a name has 1 to {_MAX_NAME} characters that can be printed, with no space at its ends")
        token = PREFIX + secrets.token_urlsafe(32)
        with self._file.changing() as records:
            if name in records:
                raise TokenError(f"there is a token {name} already: remove it first, or take another name")
            # The token is random, so a plain hash cannot be guessed back, and needs neither salt nor time.
            digest = sha256(token.encode()).hexdigest()
            now = datetime.now(UTC).isoformat(timespec="seconds")
            records[name] = {"scopes": sorted(set(scopes)), "sha256": digest, "created": now}
        return token

    def remove(self, name: str) -> None:
        """Forget a token, which nobody gets in with from now on.

        :raises TokenError: there is none of that name
        """
        with self._file.changing() as records:
            if records.pop(name, None) is None:
                raise TokenError(f"there is no token {name}")

    def find(self, token: bytes) -> Token | None:
        """Return the token that this is. Takes the same time whichever it is, and however much of it is right."""
        digest = sha256(token).hexdigest()
        found = None
        for name, record in self._file.records().items():
            if hmac.compare_digest(str(record.get("sha256", "")).encode(), digest.encode()):
                found = _token(name, record)
        return found


def bearer(scope: Scope) -> bytes | None:
    """Return the token in the `Authorization` header, and nowhere else; None if there is not exactly one.

    One that is longer than any of ours is cut short, and so unknown.
    """
    sent = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(sent) != 1:
        return None
    scheme, _, token = sent[0][:_MAX_HEADER].partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else None


def _token(name: str, record: dict[str, object]) -> Token:
    scopes = record.get("scopes")
    known: list[Purpose] = [purpose for purpose in PURPOSES if isinstance(scopes, list) and purpose in scopes]
    return Token(name, tuple(known), str(record.get("created", "")))
