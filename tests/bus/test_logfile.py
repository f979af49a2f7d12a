import fcntl
import json
import os
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from reqscope.bus import LogFile, Retention, Rotation, rotated_files
from reqscope.bus.lines import PartlyWritten
from reqscope.bus.rotated import pack, prune, rotated_name


def lines(*seqs: int) -> bytes:
    return b"".join(b'{"seq":%d}\n' % seq for seq in seqs)


def seqs(*files: Path) -> list[int]:
    return [json.loads(line)["seq"] for file in files for line in text_of(file).splitlines()]


def text_of(file: Path) -> str:
    data = file.read_bytes()
    return (zstandard.ZstdDecompressor().stream_reader(data).read() if file.suffix == ".zst" else data).decode()


def wait_until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end, f"waited in vain: {what}"
        threading.Event().wait(0.005)


def everything(path: Path) -> list[int]:
    return seqs(*rotated_files(path), path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "requests.jsonl"


class TestRotation:
    def test_a_file_is_put_aside_before_it_grows_beyond_its_size_and_nothing_is_lost(self, path: Path) -> None:
        file = LogFile(path, Rotation(size=100))
        for seq in range(10, 60):
            file.write(lines(seq))
        file.close()

        rotated = rotated_files(path)
        assert [each.stat().st_size for each in (*rotated, path)] == [99, 99, 99, 99, 99, 55]  # 11 bytes a line
        assert seqs(*rotated, path) == [*range(10, 60)]
        assert {stat.S_IMODE(each.stat().st_mode) for each in (*rotated, path)} == {0o600}

    def test_a_batch_that_is_larger_than_a_file_is_written_whole_to_one(self, path: Path) -> None:
        file = LogFile(path, Rotation(size=50))
        for first in (10, 30, 50):
            file.write(lines(*range(first, first + 20)))
        file.close()

        assert [seqs(each) for each in (*rotated_files(path), path)] == [
            [*range(first, first + 20)] for first in (10, 30, 50)
        ]

    def test_a_file_from_an_earlier_span_of_time_is_put_aside_and_one_of_this_span_is_not(self, path: Path) -> None:
        path.write_bytes(lines(1))
        os.utime(path, (0, 0))

        file = LogFile(path, Rotation(every=365 * 86_400.0))
        file.write(lines(2))
        file.write(lines(3))
        file.close()

        (rotated,) = rotated_files(path)
        assert (seqs(rotated), seqs(path)) == ([1], [2, 3])

    def test_a_span_that_ends_while_the_file_is_open_begins_a_new_file(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = 3_600.0 * 500_000 + 3_599
        monkeypatch.setattr("reqscope.bus.logfile.time.time", lambda: now)
        file = LogFile(path, Rotation(every=3_600))
        file.write(lines(1))
        now += 0.5
        file.write(lines(2))
        now += 0.5
        file.write(lines(3))
        file.close()

        (rotated,) = rotated_files(path)
        assert (seqs(rotated), seqs(path)) == ([1, 2], [3])
        assert rotated.name == "requests.2027-01-15T09-00-00.000Z.jsonl"

    def test_an_empty_file_is_never_put_aside(self, path: Path) -> None:
        path.touch()
        os.utime(path, (0, 0))

        file = LogFile(path, Rotation(size=1, every=60))
        file.write(lines(1))
        file.close()

        assert rotated_files(path) == []

    def test_names_sort_by_time_and_are_never_taken_twice(self, path: Path) -> None:
        taken: list[Path] = []
        for _ in range(3):
            taken.append(rotated_name(path, 1_795_258_528.0))
            taken[-1].touch()
        packed = rotated_name(path, 1_795_258_528.0)
        packed.with_name(packed.name + ".zst").touch()

        assert [each.name for each in taken] == [f"requests.2026-11-21T10-55-28.00{n}Z.jsonl" for n in range(3)]
        assert rotated_name(path, 1_795_258_528.0).name.endswith("28.004Z.jsonl")
        assert [each.name for each in rotated_files(path)] == sorted(
            [*(each.name for each in taken), f"{packed.name}.zst"]
        )

    @pytest.mark.guarantees("F10")
    def test_a_directory_that_lets_nothing_be_renamed_costs_no_line(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def refuse(*_: object) -> None:  # root may rename anywhere
            raise PermissionError(13, "Permission denied")

        file = LogFile(path, Rotation(size=20))
        with monkeypatch.context() as patch:
            patch.setattr("reqscope.bus.logfile.os.rename", refuse)
            for seq in range(10):
                file.write(lines(seq))
        file.close()

        assert seqs(path) == [*range(10)]
        assert len([record for record in caplog.records if "cannot be rotated" in record.getMessage()]) == 1

    @pytest.mark.guarantees("F19")
    def test_several_processes_share_a_file_and_no_line_is_lost_or_torn(self, path: Path) -> None:
        code = f"""
        import sys
        from pathlib import Path
        from reqscope.bus import LogFile, Rotation
        file = LogFile(Path({str(path)!r}), Rotation(size=2_000), packed=True)
        for batch in range(100):
            file.write(b"".join(b'{{"seq":%d}}\\n' % (int(sys.argv[1]) + batch * 10 + n) for n in range(10)))
        file.close()
        """
        writers = [
            subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), str(1000 * number)]) for number in range(3)
        ]
        assert [writer.wait(30) for writer in writers] == [0, 0, 0]

        written = everything(path)
        assert sorted(written) == [*range(3_000)]
        for number in range(3):
            own = [seq for seq in written if seq // 1000 == number]
            assert own == sorted(own)


class TestRetention:
    def rotated(self, path: Path, *ages: float) -> list[Path]:
        made = [rotated_name(path, time.time() - age) for age in sorted(ages, reverse=True)]
        for each in made:
            each.write_bytes(lines(1))
        return made

    def kept(self, path: Path, retention: Retention, expected: list[Path]) -> None:
        file = LogFile(path, retention=retention)
        file.write(lines(0))
        wait_until(lambda: rotated_files(path) == expected, f"{expected} to be left")
        file.close()
        assert seqs(path)[-1] == 0

    def test_the_newest_so_many_are_kept(self, path: Path) -> None:
        files = self.rotated(path, 10, 20, 30, 40)

        self.kept(path, Retention(files=2), files[-2:])

    def test_what_is_too_old_is_deleted(self, path: Path) -> None:
        files = self.rotated(path, 10, 3_000, 5_000, 90_000)

        self.kept(path, Retention(age=4_000), files[-2:])

    def test_while_the_disk_lacks_room_the_oldest_go_and_never_the_one_that_is_written(self, path: Path) -> None:
        self.rotated(path, 10, 20)

        self.kept(path, Retention(min_free=1 << 60), [])

    def test_with_room_enough_none_goes_but_by_another_bound(self, path: Path) -> None:
        files = self.rotated(path, 5, 10, 20)

        self.kept(path, Retention(min_free=1, files=2), files[-2:])

    def test_files_of_other_names_are_nobodys_to_delete(self, path: Path) -> None:
        names = [
            "requests.jsonl.bak",
            "requests.2026-11-21.jsonl",
            "other.2026-11-21T10-55-28.000Z.jsonl",
            "requests.2026-11-21T10-55-28.000Z.jsonl.gz",
            "requests.old.2026-11-21T10-55-28.000Z.jsonl",
        ]
        for name in names:
            path.with_name(name).touch()
        self.rotated(path, 10)

        self.kept(path, Retention(files=1, age=1), [])
        assert all(path.with_name(name).exists() for name in names)

    @pytest.mark.parametrize("retention", [Retention(files=2), Retention(age=4_000), Retention(min_free=1 << 60)])
    def test_a_parquet_file_goes_when_its_log_file_goes(self, path: Path, retention: Retention) -> None:
        files = self.rotated(path, 10, 3_000, 5_000, 90_000)
        parquet = [each.with_suffix(".parquet") for each in files]
        for each in parquet:
            each.write_bytes(b"PAR1")
        files[1].unlink()  # what has lost its log file is old all the same
        expected = [] if retention.min_free else [2, 3]

        file = LogFile(path, retention=retention)
        wait_until(lambda: rotated_files(path) == [files[number] for number in expected], f"{expected} to be left")
        file.close()

        assert sorted(path.parent.glob("*.parquet")) == [parquet[number] for number in expected]

    def test_a_file_in_several_forms_counts_as_one(self, path: Path) -> None:
        files = self.rotated(path, 10, 20, 30)
        for each in files:
            each.with_suffix(".parquet").write_bytes(b"PAR1")
            each.with_name(each.name + ".zst").write_bytes(b"packed")

        deleted = prune(path, Retention(files=2), time.time())

        assert len(deleted) == 3
        assert list(path.parent.glob(f"{files[0].stem}.*")) == []
        assert all(each.exists() and each.with_suffix(".parquet").exists() for each in files[1:])

    def test_it_goes_on_while_the_file_is_written(self, path: Path) -> None:
        file = LogFile(path, Rotation(size=10), Retention(files=1))
        for seq in range(5):
            file.write(lines(seq))

        wait_until(lambda: len(rotated_files(path)) == 1, "all but one to be deleted")
        file.close()
        assert seqs(path) == [4]


class TestPacking:
    def test_rotated_files_are_replaced_by_packed_ones_that_say_the_same(self, path: Path) -> None:
        file = LogFile(path, Rotation(size=100), packed=True)
        for seq in range(10, 60):
            file.write(lines(seq))
        file.close()
        file = LogFile(path, packed=True)  # what there was no time for is done at the next start

        wait_until(lambda: {each.suffix for each in rotated_files(path)} == {".zst"}, "all files to be packed")
        file.close()
        assert everything(path) == [*range(10, 60)]
        assert {stat.S_IMODE(each.stat().st_mode) for each in rotated_files(path)} == {0o600}

    def test_a_file_that_is_still_written_to_is_not_packed(self, path: Path) -> None:
        writer = LogFile(path)
        writer.write(lines(1))
        moved, closed = rotated_name(path, time.time()), rotated_name(path, time.time() - 60)
        path.rename(moved)
        closed.write_bytes(lines(0))

        other = LogFile(path, packed=True)
        wait_until(lambda: not closed.exists(), "the other file to be packed")

        assert seqs(moved) == [1]
        writer.close()
        other.close()

    @pytest.mark.guarantees("F22")
    def test_what_was_left_of_a_packing_that_was_killed_is_removed(self, path: Path) -> None:
        rotated = rotated_name(path, time.time())
        rotated.write_bytes(lines(1))
        partial = rotated.with_name(rotated.name + ".zst.part")
        partial.write_bytes(b"half")

        file = LogFile(path, packed=True)

        wait_until(lambda: not rotated.exists() and not partial.exists(), "it to be packed anew")
        file.close()
        assert seqs(*rotated_files(path)) == [1]

    @pytest.mark.guarantees("F22")
    def test_what_was_left_of_a_packing_goes_too_where_the_file_has_gone_meanwhile(self, path: Path) -> None:
        rotated = rotated_name(path, time.time())
        partial = rotated.with_name(rotated.name + ".zst.part")
        partial.write_bytes(b"half")

        pack(path)

        assert not partial.exists()

    def test_what_another_one_packs_just_now_is_left_to_it(self, path: Path) -> None:
        rotated = rotated_name(path, time.time())
        rotated.write_bytes(lines(1))
        partial = rotated.with_name(rotated.name + ".zst.part")
        with rotated.open("rb") as original:
            fcntl.flock(original, fcntl.LOCK_EX)
            partial.touch()  # which whoever packs has not locked yet

            pack(path)

            assert partial.exists()
        pack(path)
        assert [each.suffix for each in rotated_files(path)] == [".zst"]

    def test_a_file_whose_packed_form_is_there_already_is_seen_once_and_goes(self, path: Path) -> None:
        rotated = rotated_name(path, time.time())
        packed = rotated.with_name(rotated.name + ".zst")
        packed.write_bytes(zstandard.compress(lines(1)))
        rotated.write_bytes(lines(1))

        assert rotated_files(path) == [packed]
        file = LogFile(path, packed=True)
        wait_until(lambda: not rotated.exists(), "the original to go")
        file.close()
        assert rotated_files(path) == [packed]


class TestMoving:
    @pytest.mark.guarantees("F16")
    def test_a_file_that_was_moved_is_followed_by_a_new_one(self, path: Path) -> None:
        moved = path.with_name("moved")
        file = LogFile(path)
        file.write(lines(1))
        path.rename(moved)
        file.write(lines(2))
        file.close()

        assert (seqs(moved), seqs(path)) == ([1], [2])

    @pytest.mark.guarantees("F18")
    def test_a_file_that_was_removed_is_made_anew_and_its_directory_too_once_that_is_there(self, path: Path) -> None:
        folder = path.parent / "logs"
        folder.mkdir()
        path = folder / path.name
        file = LogFile(path)
        file.write(lines(1))
        path.unlink()
        file.write(lines(2))
        assert seqs(path) == [2]

        path.unlink()
        folder.rmdir()
        with pytest.raises(FileNotFoundError):
            file.write(lines(3))
        folder.mkdir()
        file.write(lines(4))
        file.close()

        assert seqs(path) == [4]

    @pytest.mark.guarantees("F17")
    def test_a_file_that_was_copied_and_emptied_is_written_from_its_beginning(self, path: Path) -> None:
        file = LogFile(path)
        file.write(lines(1))
        os.truncate(path, 0)
        file.write(lines(2))
        file.close()

        assert path.read_bytes() == lines(2)

    @pytest.mark.guarantees("F16")
    def test_reopening_a_thousand_times_loses_and_repeats_nothing(self, path: Path) -> None:
        moved: list[Path] = []
        file = LogFile(path)
        for seq in range(1_000):
            file.write(lines(seq))
            moved.append(path.with_name(f"moved-{seq:04}"))
            path.rename(moved[-1])
            file.reopen()
        file.close()

        assert seqs(*moved) == [*range(1_000)]
        assert path.read_bytes() == b""


class TestMending:
    @pytest.mark.guarantees("F22")
    @pytest.mark.parametrize(
        ("torn", "left"),
        [
            (b'{"seq":2', b""),
            (b"{" + b"x" * 200_000, b""),
            (b'{"seq":2}', b'{"seq":2}\n'),
            (b"not ours", b"not ours\n"),
            (b"12", b"12\n"),
        ],
        ids=["torn", "torn and long", "whole but for its end", "text", "a number"],
    )
    def test_a_torn_last_line_is_cut_off_at_the_start_and_nothing_else_is(
        self, path: Path, torn: bytes, left: bytes
    ) -> None:
        path.write_bytes(lines(1) + torn)

        file = LogFile(path)
        file.write(lines(3))
        file.close()

        assert path.read_bytes() == lines(1) + left + lines(3)

    def test_a_file_of_one_torn_line_is_emptied(self, path: Path) -> None:
        path.write_bytes(b'{"se')

        LogFile(path).close()

        assert path.read_bytes() == b""

    @pytest.mark.guarantees("F19")
    def test_a_line_that_another_process_may_be_writing_is_not_cut_off(self, path: Path) -> None:
        other = LogFile(path)
        other.write(lines(1) + b'{"se')

        file = LogFile(path)
        file.write(lines(2))
        file.close()
        other.close()

        assert path.read_bytes() == lines(1) + b'{"se\n' + lines(2)


class TestSyncing:
    @pytest.fixture
    def synced(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
        """In which thread how many bytes were in the file when it was synced."""
        calls: list[tuple[str, int]] = []
        real = os.fdatasync

        def sync(file: int) -> None:
            real(file)
            calls.append((threading.current_thread().name, os.fstat(file).st_size))

        monkeypatch.setattr("reqscope.bus.logfile.os.fdatasync", sync)
        return calls

    def test_always_means_before_a_batch_counts_as_written(self, path: Path, synced: list[tuple[str, int]]) -> None:
        file = LogFile(path, fsync="always")
        for seq in range(3):
            file.write(lines(seq))
            assert synced[-1] == ("MainThread", path.stat().st_size)
        file.close()

    def test_interval_means_soon_and_elsewhere(self, path: Path, synced: list[tuple[str, int]]) -> None:
        file = LogFile(path, fsync="interval")
        file.write(lines(1))

        wait_until(lambda: bool(synced), "a sync")
        assert synced[0] == ("reqscope fsync", path.stat().st_size)
        file.write(lines(2))
        file.close()
        assert ("MainThread", path.stat().st_size) in synced

    def test_off_means_never(self, path: Path, synced: list[tuple[str, int]]) -> None:
        file = LogFile(path, Rotation(size=10))
        for seq in range(3):
            file.write(lines(seq))
        file.close()

        assert synced == []

    def test_a_file_is_synced_before_it_is_put_aside(self, path: Path, synced: list[tuple[str, int]]) -> None:
        file = LogFile(path, Rotation(size=10), fsync="interval")
        file.write(lines(1))
        file.write(lines(2))
        file.close()

        assert len([thread for thread, _ in synced if thread == "MainThread"]) == 2


class TestOtherPlaces:
    def test_a_named_pipe_that_nobody_reads_does_not_keep_the_start_waiting(self, path: Path) -> None:
        os.mkfifo(path)

        file = LogFile(path, Rotation(size=5))
        file.write(lines(1, 2))
        reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            assert os.read(reading, 100) == lines(1, 2)
        finally:
            os.close(reading)
            file.close()

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
    def test_a_device_is_neither_mended_nor_put_aside(self) -> None:
        file = LogFile(Path("/dev/full"), Rotation(size=1))

        for _ in range(2):
            with pytest.raises(PartlyWritten) as caught:
                file.write(lines(1, 2))
            assert caught.value.written == 0
        file.close()
