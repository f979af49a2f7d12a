"""docker-compose.yml is a valid Compose file, and its commands do what it promises, here without containers."""

import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from .conftest import DEADLINE, find_line, free_port, lines_of, wait_until

FOLDER = Path(__file__).parents[2] / "docs" / "compose"
FILE = FOLDER / "docker-compose.yml"
PASSWORD = "of-the-test"


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())["services"]
    return found


def test_it_is_what_the_specification_calls_a_compose_file() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(command, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout


def test_what_it_is_built_from_is_there() -> None:
    root = FOLDER.parents[1]
    for service in services().values():
        if "build" in service:
            assert (FOLDER / service["build"]["context"]).resolve() == root
            assert (root / service["build"]["dockerfile"]).is_file()
    copied = [
        line.split()[1:-1] for line in (FOLDER / "Dockerfile").read_text().splitlines() if line.startswith("COPY")
    ]

    assert [name for names in copied for name in names if not (root / name).exists()] == []


class Machine:
    """Plays Compose: runs the command of a service, with its environment, on this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.redis = free_port()
        self.ports = {"machine-1": free_port(), "machine-2": free_port(), "panel": free_port()}
        self.programs = folder / "bin"
        self.programs.mkdir()
        (folder / "data").mkdir()
        for name, module in (("reqscope", "reqscope.service"), ("uvicorn", "uvicorn")):
            program = self.programs / name
            program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m {module} "$@"\n')
            program.chmod(0o755)

    @contextmanager
    def running(self, name: str) -> Generator[subprocess.Popen[bytes]]:
        service = services()[name]
        command = [self._here(name, str(word)) for word in service["command"]]
        if name == "redis":
            command += ["--port", str(self.redis), "--dir", str(self.folder)]
        process = subprocess.Popen(
            command, env=self.environment(name), cwd=FOLDER, stderr=subprocess.PIPE, start_new_session=True
        )
        try:
            yield process
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(DEADLINE)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def environment(self, name: str) -> dict[str, str]:
        given = services()[name].get("environment", {})
        here = {key: self._here(name, value) for key, value in given.items()}
        return {**os.environ, **here, "API_PORT": "0", "PATH": f"{self.programs}:{os.environ['PATH']}"}

    def _here(self, name: str, text: str) -> str:
        text = text.replace("${REDIS_PASSWORD:?set it first}", PASSWORD).replace(
            "@redis:6379", f"@127.0.0.1:{self.redis}"
        )
        text = text.replace("/data/", f"{self.folder}/data/").replace("0.0.0.0", "127.0.0.1")
        return str(self.ports[name]) if text in ("8000", "7860") else text


@pytest.mark.prove
def test_its_commands_show_four_workers_of_two_machines_in_one_panel(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    with ExitStack() as stack:
        stack.enter_context(machine.running("redis"))
        wait_until(lambda: answers(machine.redis), "Redis")
        with machine.running("token") as token:
            assert token.wait(DEADLINE) == 0
        panel = stack.enter_context(machine.running("panel"))
        for name in ("machine-1", "machine-2"):
            lines_of(stack.enter_context(machine.running(name)))
        find_line(panel, lines_of(panel), rf"Panel\s+(http://127.0.0.1:{machine.ports['panel']}/\S+)")
        read = subprocess.check_output(
            ["reqscope", "token", "add", "test", "--scope", "read"], env=machine.environment("panel"), text=True
        )
        client = httpx.Client(
            base_url=f"http://127.0.0.1:{machine.ports['panel']}",
            headers={"Authorization": f"Bearer {read.split()[-1]}"},
        )
        stack.enter_context(client)
        wait_until(lambda: client.get("/api/workers").json()["summary"]["reporting"] == 4, "four workers", 90)
        for name in ("machine-1", "machine-2"):
            for item in range(20):
                assert httpx.get(f"http://127.0.0.1:{machine.ports[name]}/items/{item}").status_code == 200
        wait_until(lambda: client.get("/api/stats").json()["published"] >= 40, "all of them in the panel")

        workers = {event["service.instance.id"] for event in client.get("/api/events?limit=40").json()["events"]}
        assert {worker.rpartition("-")[0] for worker in workers} == {"machine-1", "machine-2"}


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
