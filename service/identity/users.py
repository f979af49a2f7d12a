"""Configured users, with passwords hashed by Argon2."""

import secrets
from functools import cache
from pathlib import Path
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from .private_file import PrivateFile
from .visits import ROLES, Role, User

MIN_PASSWORD: Final = 12
MAX_PASSWORD: Final = 1_024
MAX_NAME: Final = 64


class UserError(Exception):
    """A user that cannot be added or removed. The message says why."""


class Users:
    """The users of one file.

    Names are compared as they are written. All methods raise `PrivateFileError` when the file cannot be used.
    """

    def __init__(self, path: Path, hasher: PasswordHasher | None = None) -> None:
        self._file = PrivateFile(path)
        self._hasher = hasher or PasswordHasher()

    def __len__(self) -> int:
        return len(self._file.records())

    def all(self) -> list[User]:
        return [_user(name, record.get("role")) for name, record in sorted(self._file.records().items())]

    def add(self, name: str, password: str, role: Role) -> None:
        """Add a user, or give one that is there another password and role.

        :raises UserError: the name or the password will not do
        """
        if not name or len(name) > MAX_NAME or not name.isprintable() or name != name.strip():
            raise UserError(f"a name has 1 to {MAX_NAME} characters that can be printed, with no space at its ends")
        if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
            raise UserError(f"a password has at least {MIN_PASSWORD} characters, and at most {MAX_PASSWORD}")
        with self._file.changing() as records:
            records[name] = {"role": role, "password": self._hasher.hash(_encoded(password))}

    def remove(self, name: str) -> None:
        """Remove a user, whose sessions end with that.

        :raises UserError: there is none of that name
        """
        with self._file.changing() as records:
            if records.pop(name, None) is None:
                raise UserError(f"there is no user {name}")

    def verify(self, name: str, password: str) -> User | None:
        """Return the user of that name and password. Takes the same time, some 50 ms of a core, whoever it is."""
        record = self._file.records().get(name)
        known = record is not None and isinstance(record.get("password"), str)
        expected = record["password"] if known and record is not None else _nobodys(self._hasher)
        try:
            self._hasher.verify(expected, _encoded(password))
        except (VerificationError, InvalidHashError):
            return None
        return _user(name, record.get("role")) if known and record is not None else None

    def stamp(self, name: str) -> str | None:
        """Return what changes when the password or role of a user does; None when they are removed."""
        record = self._file.records().get(name)
        return None if record is None else f"{record.get('role')} {record.get('password')}"


@cache
def _nobodys(hasher: PasswordHasher) -> str:
    """A hash to compare with where there is no user, so that an answer does not tell that by its time."""
    return hasher.hash(secrets.token_urlsafe())


def _encoded(password: str) -> bytes:
    """Return the bytes of a password, whatever a terminal or a form has put in."""
    return password.encode("utf-8", "surrogatepass")


def _user(name: str, role: object) -> User:
    return User(name, role if role in ROLES else "viewer")
