"""A small JSON file that only its owner can read: users with their hashes, tokens with theirs."""

import fcntl
import json
import os
import secrets
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

Records: TypeAlias = dict[str, dict[str, Any]]
"""By name."""

_MAX_SIZE: Final = 1 << 20


class PrivateFileError(Exception):
    """A file of secrets that cannot be used. The message says what to do."""


class PrivateFile:
    """Named records in a file of mode 0600, read again when somebody has changed it.

    A file that is not there holds nothing. Safe to change from several processes at once.

    :raises PrivateFileError: from each method: others can read the file, or it is not what this wrote
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: tuple[int, int, int] | None = None
        self._records: Records = {}

    def records(self) -> Records:
        """Return what the file holds now. Not to be changed."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            self._read, self._records = None, {}
            return self._records
        except OSError as error:
            raise PrivateFileError(f"cannot read {self.path}: {error.strerror}") from None
        version = (found.st_mtime_ns, found.st_size, found.st_ino)
        if version != self._read:
            self._records = self._load()
            self._read = version
        return self._records

    @contextmanager
    def changing(self) -> Generator[Records]:
        """Give the records to change, and write them whole at the end of the block, unless it raises."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._locked():
                records = self._load() if self.path.exists() else {}
                yield records
                self._write(records)
        except OSError as error:
            raise PrivateFileError(f"cannot write {self.path}: {error.strerror}") from None

    @contextmanager
    def _locked(self) -> Generator[None]:
        # The folder, because the file itself is replaced; a lock on it would be one on the old file.
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _load(self) -> Records:
        try:
            number = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise PrivateFileError(f"cannot read {self.path}: {error.strerror}") from None
        with os.fdopen(number, "rb") as file:
            if os.fstat(number).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise PrivateFileError(f"others can read {self.path}, which holds secrets: chmod 600 {self.path}")
            try:
                records = json.loads(file.read(_MAX_SIZE))
            except ValueError:
                records = None
        if not isinstance(records, dict) or not all(isinstance(each, dict) for each in records.values()):
            raise PrivateFileError(f"{self.path} is not a file that reqscope wrote: restore it, or move it away")
        return records

    def _write(self, records: Records) -> None:
        fresh = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        number = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(number, "w") as file:
                json.dump(records, file, indent=1)
                file.flush()
                os.fsync(number)
            fresh.replace(self.path)
        except BaseException:
            with suppress(OSError):
                fresh.unlink()
            raise
