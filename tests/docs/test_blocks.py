"""Every command and every code block of the documentation is run as it stands there.

A block says by the word behind its fence how: `sh`, `python`, `python test`, `json`, `yaml`, `filter`, or `text` for
what is only looked at. Another test may do it, which a comment in front of the block names: `<!-- run by tests/… -->`.
"""

import json
import subprocess
import sys
import tomllib
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import yaml

from reqscope.bus import Filter
from reqscope.service.mock.files import parse
from reqscope.service.mock.server import MockServer

from .blocks import BLOCKS, ROOT, Block, commands, of_kind, program
from .sandbox import Sandbox

KINDS = {"sh", "python", "python test", "json", "yaml", "filter", "text"}

BY_OTHERS = {
    "docs/mock.md": "tests/test_mock_guide.py",
    "docs/load-tests.md": "tests/e2e/test_load_tools.py",
}
"""Pages of which a test runs everything. That it does is for it to show."""

SERVERS = ("reqscope run", "reqscope serve", "reqscope demo", "reqscope mock", "uvicorn")
CLIENTS = ("curl", "jq", "duckdb", "reqscope")


def named(blocks: list[Block]) -> list[object]:
    return [pytest.param(block, id=str(block)) for block in blocks if block.page not in BY_OTHERS]


def run_here(block: Block) -> list[str]:
    """Return the commands of a block but those that install and build: that is how these tests came to run."""
    return [each for each in commands(block) if not program(each).startswith(("make ", "pip "))]


@pytest.mark.parametrize("block", named(BLOCKS))
def test_a_block_says_how_it_is_run(block: Block) -> None:
    assert block.kind in KINDS or block.test, f"{block}: ```{block.kind} is not known here"
    if block.test:
        assert Path(block.page).name in (ROOT / block.test).read_text(), f"{block.test} does not read {block.page}"


@pytest.mark.parametrize(("page", "test"), BY_OTHERS.items())
def test_the_test_of_a_whole_page_reads_it(page: str, test: str) -> None:
    assert Path(page).name in (ROOT / test).read_text()


@pytest.mark.parametrize("block", named(of_kind("sh")))
def test_a_command_is_of_a_program_that_is_known_here(block: Block) -> None:
    for command in commands(block):
        name = program(command)
        assert name.startswith((*SERVERS, *CLIENTS, "make ", "pip install", "python")), f"{block}: {command}"
        if name.startswith("make "):
            make = subprocess.run(
                ["make", "-n", *name.split()[1:]], cwd=ROOT, capture_output=True, text=True, check=False
            )
            assert make.returncode == 0, make.stderr
        if name.startswith("pip install"):
            known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
            wanted = command.partition("[")[2].partition("]")[0]
            assert set(filter(None, wanted.split(","))) <= set(known), f"{block}: {command}"


@pytest.mark.prove
@pytest.mark.timeout(600)
@pytest.mark.parametrize("block", named([block for block in of_kind("sh") if run_here(block)]))
def test_commands_do_what_they_are_shown_for(block: Block, tmp_path: Path) -> None:
    configurations = [each.text for each in BLOCKS if each.kind == "json" and '"formatters"' in each.text]
    sandbox = Sandbox(tmp_path, {"log.json": configurations[0]})
    wanted = run_here(block)
    begun = program(wanted[0]).startswith(SERVERS)
    with ExitStack() as stack:
        if not begun:
            stack.enter_context(sandbox.serving("reqscope run shop.main:app"))
        for command in wanted:
            if program(command).startswith(SERVERS):
                stack.enter_context(sandbox.serving(command))
            elif " -f" in command and "reqscope tail" in command:
                sandbox.run("curl -s localhost:8000/ localhost:8000/broken")
                sandbox.follow(command)
            else:
                sandbox.run(command)


@pytest.mark.parametrize("block", named(of_kind("python")))
def test_a_program_runs(block: Block, tmp_path: Path) -> None:
    text = block.text
    if "async with" in text and "async def" not in text:  # a piece of an application
        indented = "".join(f"        {line}\n" for line in text.splitlines())
        text = f"import anyio\nasync def main():\n    with anyio.move_on_after(0.2):\n{indented}\nanyio.run(main)\n"
    (tmp_path / "program.py").write_text(text)
    done = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", named(of_kind("python test")))
def test_a_test_passes(block: Block, reqscope: MockServer) -> None:
    def pay(url: str) -> None:
        while httpx.post(f"{url}/payments", json={"amount": 5}, trust_env=False).status_code != 201:
            pass

    names: dict[str, object] = {"pay": pay}
    exec(compile(block.text, str(block), "exec"), names)
    (test,) = [each for name, each in names.items() if name.startswith("test_")]
    assert callable(test)
    test(reqscope)


@pytest.mark.parametrize("block", named(of_kind("json")))
def test_json_is_json(block: Block) -> None:
    assert json.loads(block.text)


@pytest.mark.parametrize("block", named(of_kind("yaml")))
def test_yaml_with_stubs_has_such_as_can_be_loaded(block: Block) -> None:
    assert parse(block.text) if "stubs:" in block.text else yaml.safe_load(block.text)


@pytest.mark.parametrize("block", named(of_kind("filter")))
def test_the_panel_reads_a_filter(block: Block) -> None:
    for line in filter(None, (line.partition("  # ")[0].strip() for line in block.text.splitlines())):
        for term in line.split("  "):
            assert Filter.parse(term), term
        assert Filter.parse(line), line
