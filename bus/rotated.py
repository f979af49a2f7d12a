"""Rotated log files: how they are called, which are kept, and how they are packed.

`requests.jsonl` becomes `requests.2026-11-21T10-55-28.000Z.jsonl`, named by the moment of its rotation in UTC, and with
compression `requests.2026-11-21T10-55-28.000Z.jsonl.zst`. So names sort by time, and `rotated_files` finds them. Beside
them the history keeps the same as `requests.2026-11-21T10-55-28.000Z.parquet`.
"""

import fcntl
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

_MOMENT: Final = r"(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}Z)"
_FORM: Final = "%Y-%m-%dT%H-%M-%S.%fZ"
_PACKED: Final = ".zst"
_PARTIAL: Final = ".zst.part"
_PARQUET: Final = ".parquet"
_LEVEL: Final = 3


@dataclass(frozen=True, slots=True)
class Retention:
    """Which rotated files are kept, with the Parquet file that the history made of each. The oldest go first, and the
    file that is being written to is never touched."""

    files: int | None = None
    """As many."""
    age: float | None = None
    """Those that were rotated within so many seconds."""
    min_free: int | None = None
    """Those that leave so many bytes of the disk free."""


class PackingUnavailable(ImportError):
    """Nothing here can write zstd. The message says how to get it."""


def rotated_files(path: Path) -> list[Path]:
    """Return what the log file `path` was rotated to, packed or not, the oldest first, and nothing twice.

    :raises OSError: the directory cannot be read
    """
    files = _all_rotated(path)
    packed = {each.name for each in files if each.suffix == _PACKED}
    return [each for each in files if each.name + _PACKED not in packed]


def rotated_name(path: Path, now: float) -> Path:
    """Return the name that `path` gets when it is rotated at `now`, in seconds since the epoch: one that is free."""
    moment = datetime.fromtimestamp(now, UTC)
    while True:
        text = moment.strftime(_FORM)
        name = path.with_name(f"{path.stem}.{text[:-4]}Z{path.suffix}")
        if not name.exists() and not name.with_name(name.name + _PACKED).exists():
            return name
        moment += timedelta(milliseconds=1)


def prune(path: Path, retention: Retention, now: float) -> list[Path]:
    """Delete what is not to be kept of what `path` was rotated to, in whichever forms it is there, and return it.

    :raises OSError: a file cannot be deleted
    """
    rotations, deleted = _rotations(path), list[Path]()

    def delete_oldest() -> None:
        _, files = rotations.pop(0)
        for file in files:
            file.unlink(missing_ok=True)
            deleted.append(file)

    while retention.files is not None and len(rotations) > retention.files:
        delete_oldest()
    while retention.age is not None and rotations and now - rotations[0][0] > retention.age:
        delete_oldest()
    while retention.min_free is not None and rotations and _free(path.parent) < retention.min_free:
        delete_oldest()
    return deleted


def pack(path: Path) -> None:
    """Compress what `path` was rotated to, but for what some process still writes to, and replace it.

    :raises OSError: a file cannot be read or written
    """
    compress = compressor()
    for partial in path.parent.glob(f"{_escaped(path.stem)}.*{_escaped(path.suffix)}{_PARTIAL}"):
        original = partial.with_name(partial.name.removesuffix(_PARTIAL))
        # While the original is there, whoever packs it writes over what is left: this must not get in between.
        if _rotated_at(path, original.name) is not None and not original.exists():
            _unlink_if_alone(partial)
    for file in _all_rotated(path):
        if file.suffix != _PACKED:
            _pack_one(file, compress)


def compressor() -> Callable[[int, int], object]:
    """Return what compresses from one descriptor to another.

    :raises PackingUnavailable: the package that does it is missing
    """
    try:
        import zstandard
    except ImportError:
        raise PackingUnavailable(
            "compressing log files needs the package zstandard: pip install 'reqscope[zstd]'"
        ) from None

    def compress(source: int, target: int) -> None:
        with os.fdopen(os.dup(source), "rb") as reading, os.fdopen(os.dup(target), "wb") as writing:
            zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).copy_stream(reading, writing)

    return compress


def _all_rotated(path: Path) -> list[Path]:
    return sorted(each for each in path.parent.iterdir() if _rotated_at(path, each.name) is not None)


def _pack_one(file: Path, compress: Callable[[int, int], object]) -> None:
    packed = file.with_name(file.name + _PACKED)
    if packed.exists():  # the last step of an earlier packing was not made
        file.unlink(missing_ok=True)
        return
    partial = file.with_name(file.name + _PARTIAL)
    with suppress(FileNotFoundError, BlockingIOError):  # another process was here first, or still writes
        source = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(source, fcntl.LOCK_EX | fcntl.LOCK_NB)
            target = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(target, fcntl.LOCK_EX | fcntl.LOCK_NB)
                compress(source, target)
                os.fsync(target)  # before the original is gone
                partial.rename(packed)
                file.unlink()
            except OSError:
                partial.unlink(missing_ok=True)
                raise
            finally:
                os.close(target)
        finally:
            os.close(source)


def _unlink_if_alone(partial: Path) -> None:
    """Remove what a process left behind that was killed while it packed, unless another one packs just now."""
    with suppress(FileNotFoundError, BlockingIOError):
        descriptor = os.open(partial, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            partial.unlink()
        finally:
            os.close(descriptor)


def _rotations(path: Path) -> list[tuple[float, list[Path]]]:
    """Return the moments that `path` was rotated at, in seconds since the epoch, and the files of each."""
    rotations: dict[str, list[Path]] = {}
    for each in path.parent.iterdir():
        moment = _rotated_at(path, each.name) or _moment(path, each.name, re.escape(_PARQUET))
        if moment is not None:
            rotations.setdefault(moment, []).append(each)
    return [(_seconds(moment), rotations[moment]) for moment in sorted(rotations)]


def _rotated_at(path: Path, name: str) -> str | None:
    return _moment(path, name, f"{re.escape(path.suffix)}(?:{re.escape(_PACKED)})?")


def _moment(path: Path, name: str, ending: str) -> str | None:
    match = re.fullmatch(f"{re.escape(path.stem)}\\.{_MOMENT}{ending}", name)
    return match[1] if match else None


def _seconds(moment: str) -> float:
    return datetime.strptime(moment, _FORM).replace(tzinfo=UTC).timestamp()


def _free(directory: Path) -> int:
    disk = os.statvfs(directory)
    return disk.f_bavail * disk.f_frsize


def _escaped(text: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", text)
