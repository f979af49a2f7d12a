"""The log file: appended to by whole lines, rotated, and mended where a crash or a full disk tore a line.

`reqscope.bus.rotated` says how rotated files are called. Several processes may write to one file: each batch is one
write with O_APPEND, whoever rotates holds a lock on the directory, and the others notice.
"""

import fcntl
import json
import os
import stat
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from .chore import Chore
from .lines import PartlyWritten
from .rotated import Retention, pack, prune, rotated_name
from .throttle import Warnings

Fsync: TypeAlias = Literal["off", "interval", "always"]

_SYNC_EVERY: Final = 1.0
_TIDY_EVERY: Final = 10.0
_TIDY_PAUSE: Final = 1.0
_TRY_AGAIN: Final = 10.0
_BLOCK: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Rotation:
    """When a log file is put aside for a new one. It happens before a batch, so a file holds whole batches."""

    size: int | None = None
    """Before it would be larger than so many bytes, unless a single batch is."""
    every: float | None = None
    """At the end of each span of so many seconds since the epoch: 3600 is on the hour and 86400 at midnight, UTC."""


class LogFile:
    """Appends to `path`, which is created with mode 0600.

    After a failure, whatever it was, the next batch is tried anew. A line that was torn by a crash, or by a disk
    that was full, is cut off; what looks like somebody else's text is left, and ended. Methods are called by one
    thread at a time, and may take as long as the disk does.

    :param fsync: when lines are safe from a loss of power: `off` leaves it to the system, `interval` syncs each
        second, `always` before a batch counts as written
    :param packed: whether rotated files are compressed
    :raises OSError: it cannot be opened for writing
    """

    def __init__(
        self,
        path: Path,
        rotation: Rotation = Rotation(),
        retention: Retention = Retention(),  # noqa: B008 - it is immutable
        *,
        fsync: Fsync = "off",
        packed: bool = False,
    ) -> None:
        self.path = path
        self._rotation = rotation
        self._retention = retention
        self._fsync = fsync
        self._packed = packed
        self._file: int | None = None
        self._regular = True
        self._torn = False
        self._shared = False
        self._begun = 0.0
        """When the file's span began, as far as one can know: when it was last written to before it was opened."""
        self._rotate_from = 0.0
        self._tidied = 0.0
        self._warnings = Warnings(f"log file {path}")
        self._sync = Chore("reqscope fsync", self._sync_now, _SYNC_EVERY)
        self._tidy = Chore("reqscope log files", self._tidy_now, _TIDY_PAUSE)
        self._opened()

    def write(self, lines: bytes) -> None:
        """Append whole lines in one write.

        :raises PartlyWritten: the first so many are in the file, and nothing of the others
        :raises OSError: none are
        """
        now = time.time()
        file, size = self._current(len(lines), now)
        data = b"\n" + lines if self._torn else lines
        added, done = len(data) - len(lines), 0
        try:
            while done < len(data):
                done += os.write(file, memoryview(data)[done:])
            if self._fsync == "always":
                os.fdatasync(file)
        except OSError as error:
            self._let_go()
            whole = data.count(b"\n", added, done) if done < len(data) else 0
            raise PartlyWritten(whole) from error
        self._torn = False
        if not size:
            self._begun = now
        if not self._regular:
            return
        if self._fsync == "interval":
            self._sync.ask()
        if (self._retention.age or self._retention.min_free) and now >= self._tidied + _TIDY_EVERY:
            self._tidied = now
            self._tidy.ask()

    @property
    def regular(self) -> bool:
        """Whether it is a file on a disk, and no pipe or device."""
        return self._regular

    def sync(self) -> None:
        """Return when the batch that was written last is safe from a loss of power.

        :raises OSError: it may not be
        """
        if self._file is not None and self._fsync != "always":
            os.fdatasync(self._file)

    def reopen(self) -> None:
        """Go on in the file that is at `path` now, which is created if there is none.

        :raises OSError: it cannot be opened for writing
        """
        self._close()
        self._opened()

    def close(self) -> None:
        self._sync.stop()
        self._tidy.stop()
        self._close()

    def _current(self, more: int, now: float) -> tuple[int, int]:
        """Return the descriptor to write to and the size of its file, after what has to be done first."""
        file = self._opened()
        if not self._regular:
            return file, 0
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            found = None
        own = os.fstat(file)
        if found is None or not os.path.samestat(found, own):  # it was moved, or removed
            self.reopen()
            file = self._opened()
            own = os.fstat(file)
        if not self._shared:  # another process was mending it when it was opened
            self._shared = _lock(file, fcntl.LOCK_SH)
        if own.st_size and now >= self._rotate_from and self._due(own.st_size + more, now):
            self._rotate(now)
            file = self._opened()
            return file, os.fstat(file).st_size
        return file, own.st_size

    def _due(self, size: int, now: float) -> bool:
        most, every = self._rotation.size, self._rotation.every
        return bool((most and size > most) or (every and now // every != self._begun // every))

    def _rotate(self, now: float) -> None:
        try:
            with _locked(self.path.parent):
                assert self._file is not None
                if os.path.samestat(os.stat(self.path), os.fstat(self._file)):  # or else somebody else was first
                    os.rename(self.path, rotated_name(self.path, now))
        except OSError as error:
            self._rotate_from = now + _TRY_AGAIN
            self._warnings.warn(f"cannot be rotated, and grows: {error}")
            return
        self.reopen()

    def _opened(self) -> int:
        if self._file is not None:
            return self._file
        # Readable, to look for a torn line. A named pipe that nobody reads would keep us waiting otherwise.
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            status = os.fstat(file)
            self._regular = stat.S_ISREG(status.st_mode)
            if self._regular:
                self._begun = status.st_mtime
                self._torn = _mend(file)
                self._shared = _lock(file, fcntl.LOCK_SH)  # which keeps it from being packed when it was put aside
        except OSError:
            os.close(file)
            raise
        self._file = file
        if self._regular:
            self._tidy.ask()
        return file

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        try:
            if self._fsync != "off" and self._regular:
                os.fdatasync(file)
        finally:
            os.close(file)

    def _let_go(self) -> None:
        """Close the file after a failure, without what it may hold of a torn line, to open it anew for the next."""
        file, self._file = self._file, None
        assert file is not None
        with suppress(OSError):  # then it is mended when it is opened
            if self._regular:
                _mend(file, ours=True)
        with suppress(OSError):
            os.close(file)

    def _sync_now(self) -> None:
        file = self._file
        try:
            if file is not None:
                os.fdatasync(file)
        except OSError as error:
            if file == self._file:  # or else it was closed meanwhile, and synced before that
                self._warnings.warn(f"cannot be synced: {error}")

    def _tidy_now(self) -> None:
        try:
            if self._packed:
                pack(self.path)
            prune(self.path, self._retention, time.time())
        except Exception as error:  # the compressor has errors of its own
            self._warnings.warn(f"its rotated files cannot be seen to: {type(error).__name__}: {error}")


@contextmanager
def _locked(directory: Path) -> Generator[None]:
    """Keep other processes from rotating meanwhile."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # not every file system has locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _mend(file: int, *, ours: bool = False) -> bool:
    """Cut off a torn last line, if nobody else writes; return whether there is still one.

    What has all but its line feed gets that, and what cannot have been a line of JSON stays, unless it is known to be
    `ours`.
    """
    alone = _lock(file, fcntl.LOCK_EX)
    try:
        end = os.fstat(file).st_size
        if not end or os.pread(file, 1, end - 1) == b"\n":
            return False
        if not alone:
            return True
        begin = _last_line(file, end)
        line = os.pread(file, end - begin, begin)
        if ours or (line.startswith(b"{") and not _is_json(line)):
            os.ftruncate(file, begin)
        elif line.startswith(b"{"):
            os.write(file, b"\n")
        else:
            return True
        return False
    finally:
        _lock(file, fcntl.LOCK_UN)


def _last_line(file: int, end: int) -> int:
    """Return where the last line begins."""
    while end:
        begin = max(0, end - _BLOCK)
        found = os.pread(file, end - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _lock(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
