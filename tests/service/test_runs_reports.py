"""Reports of a run that somebody hostile had a hand in."""

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from reqscope.service.runs.compare import Comparison
from reqscope.service.runs.compare_html import comparison_html
from reqscope.service.runs.junit import junit
from reqscope.service.runs.model import ErrorGroup, Result, Run, RunError, Sample, decode_run, encode_run
from reqscope.service.runs.report_html import report_html
from reqscope.service.runs.report_text import report_csv, report_markdown
from reqscope.service.runs.store import RunStore

from .test_runs_thresholds import run

HOSTILE = "<script>alert(1)</script>\"'&[x](javascript:1)|`*"


def hostile() -> Run:
    found = run(0.1, 0.2, 0.3, 0.4, errors=40)
    found.label = found.tool = found.command = found.revision = HOSTILE
    found.routes[0].route = "=" + HOSTILE
    found.routes[0].method = "=1+1"
    found.settings = {HOSTILE: HOSTILE}
    found.notes = [HOSTILE]
    found.results = [Result(threshold="p(95)<500", judgement="failed", detail=HOSTILE)]
    sample = Sample(event="x-1", time=1.0, path=HOSTILE, message=HOSTILE)
    found.error_groups = [
        ErrorGroup(method="GET", route=HOSTILE, status=500, error=HOSTILE, count=40, samples=[sample])
    ]
    return found


class Tags(HTMLParser):
    """Every tag and attribute of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str | None] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


@pytest.mark.guarantees("36", "37")
@pytest.mark.parametrize("page", ["report", "comparison"])
def test_a_page_needs_nothing_from_elsewhere_and_runs_nothing(page: str) -> None:
    text = report_html(hostile()) if page == "report" else comparison_html(Comparison([hostile(), hostile()]))

    found = Tags(text)
    assert not {"script", "link", "img", "iframe", "object", "a", "b"} & found.tags
    assert found.links == found.handlers == []
    assert "url(" not in text
    assert "@import" not in text
    assert "svg" in found.tags


def test_a_report_says_what_came_of_the_run() -> None:
    text = re.sub(r"<[^>]+>", " ", report_html(hostile()))

    assert "Failed. Threshold breached." in text
    assert "p(95)&lt;500: " in text
    assert "4\u202f000" in text
    assert "coordinated omission" in text
    assert "every request that reached the application is counted" in text


@pytest.mark.guarantees("39")
def test_csv_has_a_row_for_each_route_and_no_formula() -> None:
    rows = list(csv.DictReader(io.StringIO(report_csv(hostile()))))

    assert [row["route"][:3] for row in rows] == ["(al", "'=<"]
    assert rows[1]["method"] == "'=1+1"
    assert (rows[0]["requests"], rows[0]["errors"], rows[0]["min"]) == ("4000", "40", "0.1")
    assert float(rows[0]["p95"]) == pytest.approx(0.4, rel=0.01)


@pytest.mark.guarantees("36", "37")
def test_markdown_means_nothing_of_what_was_captured() -> None:
    text = report_markdown(hostile())

    assert "<script" not in text
    assert "](javascript" not in text
    table = [line for line in text.splitlines() if line.startswith("| <code>")]
    assert len(table) == 1
    assert table[0].count("|") == 9


def test_junit_has_a_case_for_each_threshold() -> None:
    found = hostile()
    found.results.append(Result(threshold="rate<1", judgement="unclear", detail="no \x00 idea"))
    suite = ET.fromstring(junit(found)).find("testsuite")

    assert suite is not None
    assert [suite.get(name) for name in ("tests", "failures", "skipped")] == ["2", "1", "1"]
    assert [case.get("name") for case in suite] == ["p(95)<500", "rate<1"]
    failure = suite[0].find("failure")
    assert failure is not None
    assert failure.get("message") == HOSTILE


def test_a_comparison_tells_changes_and_where_there_are_too_few_samples() -> None:
    before, after = run(0.1), run(0.2)
    few = run(0.2, few=True)

    everything = Comparison([before, after]).document()["routes"][0]["runs"][1]
    nothing = Comparison([before, few]).document()["routes"][0]["runs"][1]

    assert everything["p95"]["change"] == pytest.approx(1.0, rel=0.03)
    assert nothing["p95"] == {"seconds": pytest.approx(0.2, rel=0.01), "change": None, "few": True}
    assert "too few samples" in Comparison([before, few]).markdown()


def test_a_comparison_page_says_first_what_changed() -> None:
    slower = re.sub(r"<[^>]+>", " ", comparison_html(Comparison([run(0.1), run(0.2)])))
    few = re.sub(r"<[^>]+>", " ", comparison_html(Comparison([run(0.1), run(0.2, few=True)])))

    assert re.search(r"p95 \+(9[89]|10[012])\.\d %", slower)
    assert "p95 grew by more than 5 % for" in slower
    assert "p50, p95 and p99 have too few samples." in few
    assert "grew" not in few


def test_a_document_that_contradicts_itself_is_refused() -> None:
    broken = msgspec.to_builtins(run(0.1), str_keys=True)
    broken["durations"]["count"] += 1

    with pytest.raises(RunError, match="contradicts itself"):
        decode_run(json.dumps(broken).encode())
    with pytest.raises(RunError, match="not a run"):
        decode_run(b"\xff{")
    assert decode_run(encode_run(run(0.1))) == run(0.1)


def test_a_store_finds_runs_by_id_baseline_and_label(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs.sqlite3")
    for number in range(3):
        store.save(msgspec.structs.replace(run(0.1), id=f"r{number}", label="main", started=number, state="ended"))
    store.pin("base", "r1")

    assert [store.load(name).id for name in ("r0", "base", "main")] == ["r0", "r1", "r2"]
    assert [(each["id"], each["baselines"]) for each in store.list()] == [("r2", []), ("r1", ["base"]), ("r0", [])]
    store.delete("r1")
    with pytest.raises(RunError, match="base"):
        store.load("base")
