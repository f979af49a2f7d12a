import os
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from reqscope.bus import Event, Retention
from reqscope.bus.rotated import prune
from reqscope.bus.schema import Entry, view
from reqscope.service.history_files import COLUMNS, LogFiles
from reqscope.service.history_sql import Question, convert_rotated

from .history_logs import ROTATED, write_log


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "requests.jsonl"


def answer(log: Path, sql: str) -> list[tuple[object, ...]]:
    return Question(log, sql).run(1_000).rows


def packed(path: Path) -> Path:
    """Pack a log file with zstd, as rotation may."""
    target = path.with_name(path.name + ".zst")
    copy = f"COPY (SELECT * FROM read_csv('{path}', columns={{'line': 'VARCHAR'}}, header=false, delim='\x01', quote='', escape='')) TO '{target}' (FORMAT csv, HEADER false, DELIMITER '\x01', QUOTE '', ESCAPE '', COMPRESSION zstd)"  # noqa: E501 - one statement
    duckdb.execute(copy)
    path.unlink()
    return target


def test_columns_are_the_fields_of_a_log_line_in_their_order() -> None:
    shown = view(Event(time=0), "cafebabe", Entry)

    assert list(COLUMNS) == list(shown.__struct_encode_fields__)
    assert COLUMNS["timestamp"] == "TIMESTAMPTZ"
    assert (COLUMNS["http.response.status_code"], COLUMNS["duration"], COLUMNS["body"]) == (
        "BIGINT",
        "DOUBLE",
        "VARCHAR",
    )


def test_a_rotated_file_becomes_parquet_once_and_its_events_are_there_once(log: Path) -> None:
    write_log(log.with_name(ROTATED), 100)
    write_log(log, 10, first=101)

    before = answer(log, "SELECT count(*), count(DISTINCT seq) FROM requests")
    first, second = convert_rotated(log), convert_rotated(log)
    after = answer(log, "SELECT count(*), count(DISTINCT seq) FROM requests")

    assert before == after == [(110, 110)]
    assert (first.files, first.events, first.unreadable, first.errors) == (1, 100, 0, {})
    assert second.files == 0
    parquet = log.with_name(ROTATED.replace(".jsonl", ".parquet"))
    assert LogFiles.of(log).parquet == [parquet]
    assert parquet.stat().st_mode & 0o777 == 0o600
    assert sorted(path.suffix for path in log.parent.iterdir()) == [".jsonl", ".jsonl", ".parquet"]


def test_what_is_asked_is_the_same_of_lines_and_of_parquet(log: Path) -> None:
    write_log(log.with_name(ROTATED), 50)
    sql = "SELECT * FROM requests ORDER BY seq"

    lines = answer(log, sql)
    convert_rotated(log)

    assert answer(log, sql) == lines
    assert len(lines) == 50


@pytest.mark.parametrize("both", [False, True], ids=["packed only", "both for a moment"])
def test_a_packed_file_is_read_and_converted_and_never_counted_twice(log: Path, both: bool) -> None:
    plain = write_log(log.with_name(ROTATED), 30)
    packed(plain)
    if both:
        write_log(plain, 30)

    assert answer(log, "SELECT count(*) FROM requests") == [(30,)]
    assert convert_rotated(log).events == 30
    assert answer(log, "SELECT count(*) FROM requests") == [(30,)]


def test_parquet_stays_when_its_log_file_is_gone_and_is_made_again_when_that_has_grown(log: Path) -> None:
    rotated = write_log(log.with_name(ROTATED), 30)
    convert_rotated(log)
    write_log(rotated, 5, first=31)
    parquet = rotated.with_suffix(".parquet")
    os.utime(rotated, ns=(parquet.stat().st_atime_ns, parquet.stat().st_mtime_ns + 1))

    assert answer(log, "SELECT count(*) FROM requests") == [(35,)]
    assert convert_rotated(log).events == 35
    rotated.unlink()
    assert answer(log, "SELECT count(*) FROM requests") == [(35,)]


def test_torn_and_broken_lines_are_counted_and_cost_no_other(log: Path) -> None:
    rotated = write_log(log.with_name(ROTATED), 10)
    with rotated.open("ab") as file:
        file.write(b'no json\n[1]\n{"a":1}\n\xff\xfe\n\x00\x00\n{"timestamp":"never"}\n\n')
    write_log(rotated, 10, first=11)
    with rotated.open("ab") as file:
        file.write(b'{"timestamp":"2026-11-21T10:55:28.039141Z","lev')

    done = convert_rotated(log)

    assert (done.events, done.unreadable, done.errors) == (20, 7, {})
    assert answer(log, "SELECT count(*), min(seq), max(seq) FROM requests") == [(20, 1, 20)]


def test_a_file_that_cannot_be_unpacked_is_named_and_the_others_are_converted(log: Path) -> None:
    torn = packed(write_log(log.with_name("requests.a.jsonl"), 500))
    torn.write_bytes(torn.read_bytes()[:-50])
    write_log(log.with_name("requests.b.jsonl"), 5)
    (log.with_name("requests.c.jsonl")).mkdir()

    done = convert_rotated(log)

    assert done.files == 1
    assert list(done.errors) == ["requests.a.jsonl.zst"]
    assert answer(log, "SELECT count(*) FROM requests") == [(5,)]


def test_files_of_another_log_and_an_empty_one_are_left_alone(log: Path) -> None:
    write_log(log.with_name("other.2026.jsonl"), 5)
    log.with_name(ROTATED).touch()

    assert convert_rotated(log).events == 0
    assert answer(log, "SELECT count(*) FROM requests") == [(0,)]


def test_parquet_without_a_column_that_came_later_reads_as_null(log: Path) -> None:
    old = log.with_name("requests.old.parquet")
    duckdb.execute(f"COPY (SELECT now() AS timestamp, 7::BIGINT AS seq) TO '{old}' (FORMAT parquet)")
    write_log(log, 1)

    assert answer(log, 'SELECT seq, "http.route" FROM requests ORDER BY seq DESC') == [(7, None), (1, "/items/{id}")]


@pytest.mark.guarantees("F22")
def test_a_process_that_is_killed_while_converting_leaves_nothing_that_is_read(log: Path) -> None:
    write_log(log.with_name(ROTATED), 20)
    leftover = log.with_name(f".{Path(ROTATED).stem}.parquet.tmp")
    leftover.write_bytes(b"PAR1 half of it")

    assert answer(log, "SELECT count(*) FROM requests") == [(20,)]
    assert convert_rotated(log).events == 20
    assert not leftover.exists()


def test_processes_that_convert_at_the_same_time_do_it_once(log: Path) -> None:
    write_log(log.with_name(ROTATED), 20_000)
    code = f"""
from pathlib import Path
from reqscope.service.history_sql import convert_rotated
done = convert_rotated(Path({str(log)!r}))
print(done.files, done.errors)
"""
    processes = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [process.communicate(timeout=60)[0].strip() for process in processes]

    assert sorted(outputs) == ["0 {}", "0 {}", "1 {}"]
    assert answer(log, "SELECT count(*) FROM requests") == [(20_000,)]


def test_parquet_goes_with_its_log_file_and_questions_are_answered_from_what_is_left(log: Path) -> None:
    for hour in range(3):
        write_log(log.with_name(f"requests.2026-11-21T1{hour}-55-28.000Z.jsonl"), 10, first=1 + 10 * hour)
    convert_rotated(log)
    write_log(log, 10, first=31)

    deleted = prune(log, Retention(files=1), time.time())

    assert len(deleted) == 4
    assert answer(log, "SELECT min(seq), count(*) FROM requests") == [(21, 20)]
