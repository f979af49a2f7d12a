import threading
from contextlib import suppress
from pathlib import Path

import pytest

from reqscope.service.history_sql import HistoryError, Question, Result, Stopped, convert_rotated

from .history_logs import HOUR, ROTATED, write_log


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of two files, one of them converted."""
    log = tmp_path / "requests.jsonl"
    write_log(log.with_name(ROTATED), 100, ago=2 * HOUR, route="/old")
    write_log(log, 10, first=101)
    convert_rotated(log)
    return log


def ask(log: Path, sql: str, limit: int = 1_000) -> Result:
    return Question(log, sql).run(limit)


def test_percentiles_by_route_of_the_last_hour(log: Path) -> None:
    result = ask(
        log,
        """SELECT "http.route" AS route, count(*) AS n, quantile_disc(duration, 0.95) AS p95 FROM requests
        WHERE timestamp > now() - INTERVAL 1 HOUR GROUP BY ALL""",
    )

    assert (result.columns, result.rows, result.more) == (["route", "n", "p95"], [("/items/{id}", 10, 0.11)], False)
    assert result.types == ["VARCHAR", "BIGINT", "DOUBLE"]


def test_more_rows_than_asked_for_are_not_given_and_it_is_said(log: Path) -> None:
    result = ask(log, "FROM requests", limit=7)

    assert (len(result.rows), result.more) == (7, True)
    assert not ask(log, "FROM requests", limit=110).more


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT nope FROM requests", "nope"),
        ("", "not nothing"),
        ("SELECT 1; SELECT 2", "one SELECT at a time"),
        ("SELECT 'x'::INT", "Could not convert"),
        ("SELECT \0", ""),
        ("SELECT \ud800", ""),
    ],
    ids=ascii,
)
def test_what_cannot_be_answered_is_told_in_duckdbs_words(log: Path, sql: str, words: str) -> None:
    with pytest.raises(HistoryError) as caught:
        ask(log, sql)

    assert words in str(caught.value)


@pytest.mark.guarantees("40")
@pytest.mark.parametrize(
    "sql",
    [
        "COPY requests TO '{folder}/evil.csv'",
        "COPY (SELECT 1) TO '/tmp/evil.csv'",
        "EXPORT DATABASE '{folder}/evil'",
        "ATTACH '{folder}/evil.db'",
        "CREATE TABLE evil AS SELECT 1",
        "DROP VIEW requests",
        "EXPLAIN ANALYZE COPY requests TO '{folder}/evil.csv'",
        "WITH a AS (SELECT 1) INSERT INTO requests SELECT * FROM a",
        "SET memory_limit = '9GB'",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "PRAGMA enable_profiling",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('{folder}/other.csv')",
        "SELECT * FROM '{folder}/other.csv'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_text('https://example.org/')",
        "SELECT getenv('HOME')",
        "SELECT * FROM query('COPY (SELECT 1) TO ''{folder}/evil.csv''')",
        "SELECT * FROM sql",
    ],
)
def test_nothing_but_the_logs_files_is_read_and_nothing_written(log: Path, sql: str) -> None:
    log.with_name("other.csv").write_text("secret\n1\n")
    before = sorted(log.parent.iterdir())

    try:
        found = ask(log, sql.format(folder=log.parent)).rows
    except HistoryError:
        found = []

    assert found == []
    assert sorted(log.parent.iterdir()) == before
    assert not Path("/tmp/evil.csv").exists()
    assert ask(log, "SELECT count(*) FROM requests").rows == [(110,)]


def test_a_question_that_takes_too_much_memory_is_refused(log: Path) -> None:
    with pytest.raises(HistoryError, match="more than 512MB of memory"):
        ask(log, "SELECT range FROM range(100000000) ORDER BY hash(range)")


def test_a_question_is_stopped_from_another_thread_or_before_it_began(log: Path) -> None:
    endless = "SELECT sum(range % 7) FROM range(1000000000000000)"
    running, early = Question(log, endless), Question(log, endless)
    stopped = threading.Event()

    def stop() -> None:
        while not stopped.wait(0.1):
            running.stop()

    thread = threading.Thread(target=stop)
    thread.start()
    try:
        with pytest.raises(Stopped):
            running.run(1)
    finally:
        stopped.set()
        thread.join()
    early.stop()
    with pytest.raises(Stopped):
        early.run(1)


def test_a_folder_without_a_log_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="there is no log yet"):
        ask(tmp_path / "requests.jsonl", "SELECT 1")


@pytest.mark.guarantees("40")
def test_a_name_that_is_a_pattern_is_refused_and_a_quote_in_it_is_not(tmp_path: Path) -> None:
    (tmp_path / "it's").mkdir()
    (tmp_path / "a[b]").mkdir()
    fine = write_log(tmp_path / "it's" / "requests.jsonl", 3)
    strange = write_log(tmp_path / "a[b]" / "requests.jsonl", 3)

    assert ask(fine, "SELECT count(*) FROM requests").rows == [(3,)]
    with pytest.raises(HistoryError, match="takes for a pattern"):
        ask(strange, "SELECT 1")


def test_stopping_at_any_moment_does_no_harm(log: Path) -> None:
    for _ in range(20):
        question = Question(log, "SELECT count(*) FROM requests")
        ended = threading.Event()

        def stop(question: Question = question, ended: threading.Event = ended) -> None:
            while not ended.is_set():
                question.stop()

        thread = threading.Thread(target=stop)
        thread.start()
        try:
            with suppress(Stopped):
                question.run(1)
        finally:
            ended.set()
            thread.join()
