"""Runs of real load tools, against a real server that keeps a count of its own."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests import nursery

from .conftest import DEADLINE, Server, Start, wait_until

APP = """
import asyncio
import itertools

from fastapi import FastAPI
from starlette.responses import PlainTextResponse

app = FastAPI()
served = 0
turns = itertools.count()


@app.get("/work")
async def work():
    global served
    served += 1
    await asyncio.sleep((0.001, 0.002, 0.004, 0.016)[next(turns) % 4])
    return PlainTextResponse("done")


@app.get("/served")
async def count():
    return served
"""


@dataclass
class Shop:
    """The server, and the file that it keeps runs in."""

    server: Server
    file: Path
    work: str

    def served(self) -> int:
        count: int = httpx.get(f"{self.server.api}/served").json()
        return count

    def run(self, name: str) -> dict[str, Any]:
        run: dict[str, Any] = httpx.get(f"{self.server.panel}/api/runs/{name}").raise_for_status().json()
        return run

    def observe(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return reqscope("observe", "--url", self.server.panel, *arguments, **options)


def reqscope(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return nursery.run("reqscope.service", *arguments, env={"COLUMNS": "200", "NO_COLOR": "1"}, **options)


@pytest.fixture(scope="module")
def shop(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Generator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "counting_shop.py").write_text(APP)
    file = folder / "runs.sqlite3"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQSCOPE_RUNS_FILE", str(file))
        patch.setenv("REQSCOPE_RUN_QUIET", "1")
        with start("run", "counting_shop:app", "--app-dir", str(folder), "--capacity", "2000") as server:
            yield Shop(server, file, f"{server.api}/work")


def tool(name: str) -> str:
    return shutil.which(name) or pytest.skip(
        f"{name} is not installed; tests/e2e/install_load_tools.py says from where"
    )


TOOLS: dict[str, tuple[Callable[[str], list[str]], str]] = {
    "hey": (lambda url: ["-n", "400", "-c", "8", url], r"\[200\]\s+(\d+) responses"),
    "ab": (lambda url: ["-n", "400", "-c", "8", url], r"Complete requests:\s+(\d+)"),
    "siege": (
        lambda url: ["-b", "-r", "50", "-c", "8", "--no-parser", url],
        r'"transactions":\s+(\d+)|Transactions:\s+(\d+)',
    ),
}


@pytest.mark.parametrize("name", TOOLS)
def test_a_run_counts_exactly_what_the_tool_does(shop: Shop, name: str) -> None:
    arguments, pattern = TOOLS[name]
    before = shop.served()
    done = shop.observe("--label", f"observed {name}", "--", tool(name), *arguments(shop.work))
    match = re.search(pattern, done.stdout + done.stderr)

    assert done.returncode == 0, done.stderr
    assert match is not None, done.stdout
    run = shop.run(f"observed {name}")
    own = int(next(filter(None, match.groups())))
    assert run["requests"] == own == shop.served() - before
    assert (run["tool"], run["origin"], run["exit_status"]) == (name, "observe", 0)
    assert run["losses"]["missed"] == 0


def test_a_run_of_wrk_counts_what_wrk_does_and_of_its_last_requests_those_that_were_answered(shop: Shop) -> None:
    before = shop.served()
    done = shop.observe("--label", "observed wrk", "--", tool("wrk"), "-t1", "-c8", "-d2s", shop.work)
    match = re.search(r"(\d+) requests in", done.stdout)

    assert match is not None, done.stdout
    run = shop.run("observed wrk")
    # The last eight are those that wrk had in flight when its time was up, and does not count.
    assert int(match[1]) <= run["requests"] <= shop.served() - before <= int(match[1]) + 8


def test_two_tools_at_the_same_time_make_two_runs_of_which_each_counts_its_own(shop: Shop) -> None:
    before = shop.served()

    def observed(name: str) -> dict[str, Any]:
        done = shop.observe("--label", f"beside {name}", "--", tool(name), *TOOLS[name][0](shop.work))
        assert done.returncode == 0, done.stderr
        return shop.run(f"beside {name}")

    with ThreadPoolExecutor(2) as threads:
        hey, ab = threads.map(observed, ("hey", "ab"))

    assert hey["first"] < ab["last"]
    assert ab["first"] < hey["last"]
    assert [hey["requests"], ab["requests"]] == [400, 400]
    assert shop.served() - before == 800


def test_the_page_shows_a_run_as_it_goes_and_keeps_it_when_it_has_ended(
    shop: Shop, open_page: Callable[..., Page]
) -> None:
    page = open_page(f"{shop.server.panel}/?view=runs")
    live = page.locator("article.rq-run", has_text="watched")
    with ThreadPoolExecutor(1) as thread:
        load = ["--", tool("hey"), "-n", "1200", "-c", "2", shop.work]
        done = thread.submit(shop.observe, "--label", "watched", "--fail-if", "p(95)<5000", *load)
        requests = live.locator("dd").first
        expect(requests).to_have_text(re.compile("[1-9]"), timeout=DEADLINE * 1_000)
        some = requests.inner_text()
        expect(requests).not_to_have_text(some)
        expect(live.locator("li")).to_contain_text("p(95)<5000")
        assert done.result().returncode == 0
    kept = page.locator(".rq-list tr", has_text="watched")
    expect(kept).to_contain_text("1,200")
    expect(kept).to_contain_text("passed")
    expect(live).to_have_count(0)


@pytest.mark.prove
@pytest.mark.parametrize("name", [*TOOLS, "wrk"])
def test_a_tool_is_recognised_by_itself(shop: Shop, name: str) -> None:
    arguments = TOOLS[name][0](shop.work) if name in TOOLS else ["-t1", "-c8", "-d1s", shop.work]
    before = shop.served()
    subprocess.run([tool(name), *arguments], check=True, capture_output=True, timeout=60)
    found: list[dict[str, Any]] = []

    def ended() -> bool:
        runs = httpx.get(f"{shop.server.panel}/api/runs").json()["past"]
        found[:] = [run for run in runs if run["label"] == name]
        return bool(found)

    wait_until(ended, f"the run of {name} to end")
    assert found[0]["tool"] == name
    assert found[0]["requests"] == shop.served() - before


def test_percentiles_are_within_the_stated_error_of_the_exact_ones(shop: Shop) -> None:
    newest = shop.server.events(limit=1)[0]["id"]
    done = shop.observe("--label", "exact", "--", tool("hey"), "-n", "800", "-c", "8", shop.work)
    assert done.returncode == 0
    after = int(newest.rpartition("-")[2])
    events = shop.server.events(after=after, limit=1000, filter="path:/work")
    exact = sorted(event["duration"] for event in events)

    assert len(exact) == 800
    found = httpx.get(f"{shop.server.panel}/api/runs/exact/progress").json()
    for name, fraction in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        assert found[name] == pytest.approx(exact[ceil(fraction * 800) - 1], rel=0.0101)


def test_observe_passes_the_commands_status_and_output_on(shop: Shop) -> None:
    done = shop.observe("--", "sh", "-c", "echo $REQSCOPE_RUN; exit 7")

    assert done.returncode == 7
    assert shop.run(done.stdout.strip())["exit_status"] == 7
    assert "No requests were seen" in done.stderr


def test_a_breach_exits_with_99_and_writes_what_a_ci_system_and_people_read(shop: Shop, tmp_path: Path) -> None:
    report, suite = tmp_path / "report.html", tmp_path / "junit.xml"
    load = ["--", tool("hey"), "-n", "200", "-c", "4", shop.work]
    gate = ["--fail-if", "p(95)<0.001", "--fail-if", "rate(5xx)<0.01", "--report", str(report), "--junit", str(suite)]
    done = shop.observe("--label", "gated", *gate, *load)

    assert done.returncode == 99, done.stderr
    assert re.search(r"failed\s+p\(95\)<0\.001", done.stderr)
    assert ET.parse(suite).getroot().get("failures") == "1"
    assert "Failed. 1 of 2 thresholds breached." in report.read_text()

    baseline = reqscope("runs", "pin", "base", "gated", "--file", str(shop.file))
    again = shop.observe("--baseline", "base", "--fail-if", "avg<+1000000%", *load)
    assert (baseline.returncode, again.returncode) == (0, 0), again.stderr


def test_a_command_is_ended_as_soon_as_a_threshold_is_breached(shop: Shop) -> None:
    gate = ["--fail-if", "p(50)<0.001", "--abort-on-fail", "--abort-after", "0"]
    done = shop.observe("--label", "aborted", *gate, "--", tool("wrk"), "-t1", "-c2", "-d50s", shop.work)

    assert done.returncode == 99
    assert "Ending the command" in done.stderr
    assert shop.run("aborted")["state"] == "ended"


def test_ctrl_c_reaches_the_command_and_ends_the_run(shop: Shop) -> None:
    """In a terminal, where there is a line that lives while the command does."""
    code = [sys.executable, "-m", "reqscope.service", "observe", "--url", shop.server.panel, "--label", "stopped"]
    pid, terminal = pty.fork()
    if not pid:
        os.execv(code[0], [*code, "--", tool("hey"), "-z", "50s", "-c", "2", shop.work])
    output: list[bytes] = []

    def read() -> None:
        try:
            while data := os.read(terminal, 65_536):
                output.append(data)
        except OSError:  # the other side is gone
            pass

    reader = threading.Thread(target=read)
    reader.start()
    wait_until(lambda: b"requests/s" in b"".join(output) and b"p95" in b"".join(output), "the live line")
    os.write(terminal, b"\x03")
    _, status = os.waitpid(pid, 0)
    reader.join(20)
    os.close(terminal)

    assert os.waitstatus_to_exitcode(status) in (0, 1, 2, 128 + signal.SIGINT)
    assert shop.run("stopped")["state"] == "ended"
    assert shop.run("stopped")["requests"] > 0


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--url", "http://127.0.0.1:9", "--", "true"], 1, "127.0.0.1:9 (Connection refused)"),
        (["--fail-if", "p95<5", "--", "true"], 2, "not a threshold"),
        (["--fail-if", "p(95)<+5%", "--", "true"], 2, "--baseline"),
        (["--report", "report.pdf", "--", "true"], 2, "report.pdf"),
        (["--", "no-such-command-anywhere"], 1, "is it installed"),
        (["--baseline", "nothing", "--", "true"], 1, "nothing"),
    ],
)
def test_a_mistake_is_said_in_one_line(shop: Shop, arguments: list[str], status: int, says: str) -> None:
    done = shop.observe(*arguments)

    assert done.returncode == status, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_runs_are_listed_exported_imported_compared_and_reported(shop: Shop, tmp_path: Path) -> None:
    for label in ("one", "two"):
        shop.observe("--label", label, "--", tool("hey"), "-n", "100", "-c", "4", shop.work)
    here, there = ["--file", str(shop.file)], ["--file", str(tmp_path / "other.sqlite3")]
    exported = tmp_path / "one.json"
    exported.write_text(reqscope("runs", "export", "one", *here).stdout)

    assert re.search(r"one\s+hey\s+100 ", reqscope("runs", "list", *here).stdout)
    assert json.loads(exported.read_text())["label"] == "one"
    assert reqscope("runs", "import", str(exported), *there).returncode == 0
    assert "GET /work" in reqscope("runs", "show", "one", *there).stdout
    assert "too few samples" in reqscope("runs", "compare", "one", "two", *here).stdout
    for name in ("report.html", "report.md", "report.csv", "report.json"):
        assert reqscope("runs", "report", "one", "-o", name, *there, cwd=tmp_path).returncode == 0
        assert "one" in (tmp_path / name).read_text() or name == "report.csv"
    assert reqscope("runs", "show", "missing", *there).returncode == 1


@pytest.mark.prove
@pytest.mark.parametrize("name", ["hey", "wrk"])
def test_what_the_tool_says_stands_beside_what_the_server_saw(shop: Shop, tmp_path: Path, name: str) -> None:
    arguments = ["-n", "300", "-c", "4"] if name == "hey" else ["-t1", "-c4", "-d1s", "--latency"]
    written = tmp_path / f"{name}.txt"
    written.write_text(shop.observe("--label", f"both {name}", "--", tool(name), *arguments, shop.work).stdout)
    added = reqscope("runs", "client", f"both {name}", str(written), "--file", str(shop.file))

    assert added.returncode == 0, added.stderr
    run = shop.run(f"both {name}")
    (side,) = run["client"]
    assert side["tool"] == name
    assert run["requests"] - 4 <= side["requests"] <= run["requests"]
    assert side["p50"] >= 0.0009
    assert "Both sides" in httpx.get(f"{shop.server.panel}/api/runs/{run['id']}/report").text


LOCUST = """
from locust import {kind}, constant, task
from locust.exception import StopUser


class Customer({kind}):
    wait_time = constant(0)

    def on_start(self):
        self.left = 50

    @task
    def work(self):
        if not self.left:
            raise StopUser
        self.left -= 1
        self.client.get("/work")
"""


@pytest.mark.prove
@pytest.mark.parametrize("kind", ["HttpUser", "FastHttpUser"])
def test_a_run_of_locust_counts_exactly_what_locust_does(shop: Shop, tmp_path: Path, kind: str) -> None:
    (tmp_path / "customers.py").write_text(LOCUST.format(kind=kind))
    users = ["-f", "customers.py", "--headless", "-u", "4", "-r", "4", "-t", "4s", "--csv", "locust"]
    locust = [sys.executable, "-m", "locust", *users, "-H", shop.server.api]
    done = shop.observe("--label", kind, "--", *locust, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    added = reqscope("runs", "client", kind, "locust_stats.csv", "--file", str(shop.file), cwd=tmp_path)

    assert added.returncode == 0, added.stderr
    run = shop.run(kind)
    assert run["requests"] == run["client"][0]["requests"] == 200
    assert run["client"][0]["tool"] == "Locust"


JMETER = Path("/usr/share/jmeter")
"""Where Debian's packages jmeter and jmeter-http put it."""


@pytest.mark.prove
def test_what_jmeter_says_of_itself_is_what_the_server_counted(shop: Shop, tmp_path: Path) -> None:
    plan, jtl = Path(__file__).with_name("jmeter_plan.java"), tmp_path / "result.jtl"
    if not (JMETER / "lib" / "ext" / "ApacheJMeter_http.jar").exists() or not shutil.which("javac"):
        pytest.skip("JMeter is not installed: Debian has it in jmeter and jmeter-http, beside a JDK")
    path = ":".join([*(f"{JMETER}/{part}/*" for part in ("bin", "lib", "lib/ext")), "/usr/share/java/*"])
    java = ["java", "-cp", path, str(plan), shop.server.api.rpartition(":")[2], "/work", str(jtl)]
    done = shop.observe("--label", "jmeter", "--", *java, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    added = reqscope("runs", "client", "jmeter", str(jtl), "--file", str(shop.file))

    assert added.returncode == 0, added.stderr
    run = shop.run("jmeter")
    (side,) = run["client"]
    assert (side["tool"], side["requests"], side["errors"]) == ("JMeter", 100, 0)
    assert run["requests"] == 100
    assert 0.0009 <= side["p50"] <= side["maximum"]


def test_a_run_of_several_workers_counts_the_requests_of_all(shop: Shop, start: Start) -> None:
    folder = str(shop.file.parent)
    with start("run", "counting_shop:app", "--app-dir", folder, "--workers", "2") as server:
        wait_until(lambda: _reporting(server) == 2, "two workers")
        work = f"{server.api}/work"
        for label in ("first of workers", "second of workers"):
            load = ["--", tool("hey"), "-n", "400", "-c", "8", "-disable-keepalive", work]
            done = reqscope("observe", "--url", server.panel, "--label", label, *load)
            assert done.returncode == 0, done.stderr
            assert "[200]\t400 responses" in done.stdout

            run = httpx.get(f"{server.panel}/api/runs/{label}").raise_for_status().json()
            assert (run["requests"], run["durations"]["count"], run["losses"]["missed"]) == (400, 400, 0)
            assert sum(run["durations"]["buckets"].values()) == 400
        events = server.events(filter="path:/work", limit=1000)
        assert {event["service.instance.id"] for event in events} == {"1", "2"}


def _reporting(server: Server) -> int:
    summary = httpx.get(f"{server.panel}/api/workers").json()["summary"]
    return summary["reporting"] if summary else 0


GUIDE = Path(__file__).parents[2] / "docs" / "load-tests.md"


@pytest.mark.prove
def test_every_command_of_the_guide_works(shop: Shop, tmp_path: Path) -> None:
    tool("hey")
    (tmp_path / "hey.txt").write_text(
        subprocess.run(["hey", "-n", "50", shop.work], check=True, capture_output=True, text=True).stdout
    )
    blocks = re.findall(r"^```sh\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    assert lines[0] == "reqscope run shop:app"
    environment = {**os.environ, "REQSCOPE_URL": shop.server.panel, "REQSCOPE_RUNS_FILE": str(shop.file)}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"

    assert len(lines) > 12
    for line in lines[1:]:
        command = line.replace("http://127.0.0.1:8000/", shop.work)
        done = subprocess.run(
            ["sh", "-c", command],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tmp_path,
            env=environment,
        )
        # How fast a busy machine is, is not what this is about.
        assert done.returncode in ((0, 99) if "--fail-if" in line else (0,)), (line, done.stderr)
    assert {"report.html", "main.json", "compare.html", "gate.xml", "gate.html"} <= {f.name for f in tmp_path.iterdir()}
