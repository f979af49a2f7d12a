import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reqscope.bus import Event, JsonLogSink
from tests import nursery

from .history_logs import ROTATED, write_log


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_log(tmp_path / ROTATED, 20)
    write_log(tmp_path / "requests.jsonl", 5, first=21)
    return tmp_path


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "reqscope.service", "query", *arguments]


def query(folder: Path, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    variables = {"COLUMNS": "200", "NO_COLOR": "1", "REQSCOPE_LOG_FILE": "requests.jsonl"}
    return nursery.run("reqscope.service", "query", *arguments, typed=stdin, cwd=folder, env=variables)


def test_a_table_for_people_after_what_was_rotated_has_become_parquet(folder: Path) -> None:
    sql = 'SELECT "http.route", count(*) AS n, max(duration) AS slowest FROM requests GROUP BY ALL'
    first, second = query(folder, sql), query(folder, "-", stdin=sql)

    assert first.returncode == 0
    assert [line.split() for line in first.stdout.splitlines()] == [
        ["http.route", "n", "slowest"],
        ["/items/{id}", "25", "0.025"],
    ]
    assert first.stderr == "Turned 1 rotated files with 20 events into Parquet.\n"
    assert (second.stdout, second.stderr) == (first.stdout, "")


def test_json_and_csv_for_programs(folder: Path) -> None:
    columns = "seq, timestamp, duration, 1::HUGEINT << 80 AS huge, ['a'] AS list, NULL AS none"
    sql = f"SELECT {columns} FROM requests ORDER BY seq LIMIT 2"
    lines = [json.loads(line) for line in query(folder, sql, "--json").stdout.splitlines()]
    table = list(csv.DictReader(io.StringIO(query(folder, sql, "--csv").stdout)))

    assert [(line["seq"], line["duration"], line["huge"], line["list"], line["none"]) for line in lines] == [
        (1, 0.001, str(1 << 80), ["a"], None),
        (2, 0.002, str(1 << 80), ["a"], None),
    ]
    assert lines[0]["timestamp"].endswith("Z")
    assert [(row["seq"], row["none"]) for row in table] == [("1", ""), ("2", "")]


@pytest.mark.guarantees("31", "39")
def test_what_was_captured_neither_moves_the_terminal_nor_is_a_formula(tmp_path: Path) -> None:
    sink = JsonLogSink.to_file(tmp_path / "requests.jsonl", "cafebabe")
    sink.write([Event(time=1, seq=1, path="/\x1b[2J[red]\u202e"), Event(time=2, seq=2, path="=cmd()")])
    sink.close()
    sql = 'SELECT "url.path" FROM requests ORDER BY seq'

    shown, table = query(tmp_path, sql), query(tmp_path, sql, "--csv")

    assert "/\\u001b[2J[red]\\u202e" in shown.stdout
    assert "'=cmd()" in table.stdout
    assert "\x1b" not in shown.stdout + table.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["SELECT nope FROM requests"], "Binder Error"),
        (["SELEC"], "syntax error"),
        (["COPY requests TO 'x.csv'"], "read-only"),
        (["SELECT 1", "--log-file", "nowhere/else.jsonl"], "no log yet"),
        (["SELECT sum(range % 7) FROM range(1000000000000000)", "--timeout", "0.5"], "--timeout"),
    ],
    ids=["column", "syntax", "write", "no log", "time"],
)
def test_what_has_no_answer_is_an_error_and_never_a_traceback(folder: Path, arguments: list[str], words: str) -> None:
    result = query(folder, *arguments)

    assert (result.returncode, result.stdout) == (1, "")
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_json_and_csv_at_once_is_an_error_of_use(folder: Path) -> None:
    assert query(folder, "SELECT 1", "--json", "--csv").returncode == 2


def test_more_rows_than_the_limit_is_said_where_it_is_in_nobodys_way(folder: Path) -> None:
    result = query(folder, "SELECT seq FROM requests ORDER BY seq", "--csv", "--limit", "3")

    assert result.stdout.splitlines() == ["seq", "1", "2", "3"]
    assert "Only the first 3 rows" in result.stderr


def test_help_has_examples_that_work(folder: Path) -> None:
    result = query(folder, "--help")

    assert result.returncode == 0
    assert "quantile_cont" in result.stdout
    assert "--csv" in result.stdout


def test_a_reader_that_has_seen_enough_ends_it_quietly(folder: Path) -> None:
    sql = "SELECT repeat('x', 1000) FROM range(1000)"
    with subprocess.Popen(
        command(sql, "--json", "--log-file", "requests.jsonl"),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        error = process.stderr.read().decode()
        process.wait(30)

    assert "Traceback" not in error
    assert "Broken pipe" not in error


def test_ctrl_c_ends_it_at_once(folder: Path) -> None:
    sql = "SELECT sum(range % 7) FROM range(1000000000000000)"
    with subprocess.Popen(
        command(sql, "--log-file", "requests.jsonl"), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        assert b"Parquet" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)

    assert process.returncode in (-signal.SIGINT, 130)  # which of both depends on how far it was
    assert b"Traceback" not in error


def test_without_duckdb_it_says_what_to_install(folder: Path) -> None:
    (folder / "sitecustomize.py").write_text(
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'duckdb' else find(name, *more)\n"
    )
    done = subprocess.run(
        command("SELECT 1"),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert "pip install 'reqscope[history]'" in done.stderr
