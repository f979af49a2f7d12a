"""The load tools of the guide do what it says, and both sides agree about how much that was."""

import shutil
from pathlib import Path

import httpx
import pytest

from .blocks import BLOCKS, Block, commands, words
from .inventory import named
from .sandbox import Sandbox

GUIDE = [block for block in BLOCKS if block.page == "docs/load-tests.md"]
LOADS = [block for block in GUIDE if block.kind == "sh load"]


def tool(block: Block) -> str:
    """Return the program behind `observe --`."""
    observed = words(next(commands(block)))
    return observed[observed.index("--") + 1]


def files() -> dict[str, str]:
    """Return what the guide says is in the files that its commands name, but for how long they go on."""
    kinds = (block.kind.partition(" file=") for block in GUIDE)
    texts = (block.text.replace('duration: "10s"', 'duration: "2s"') for block in GUIDE)
    return {name: text for (_, _, name), text in zip(kinds, texts, strict=True) if name}


def test_the_guide_has_a_load_for_each_tool_that_it_names() -> None:
    assert {tool(block) for block in LOADS} == {"wrk", "k6", "locust"}


@pytest.mark.prove
@pytest.mark.parametrize("block", named(LOADS))
def test_a_load_is_recorded_from_both_sides(block: Block, tmp_path: Path) -> None:
    name = tool(block)
    sandbox = Sandbox(tmp_path, {})
    if not shutil.which(name, path=sandbox.path):
        pytest.skip(f"{name} is not installed")
    port = sandbox.ports["8000"]
    for file, text in files().items():
        (tmp_path / file).write_text(text.replace(":8000/", f":{port}/"))
    with sandbox.serving("reqscope run shop.main:app"):
        for command in commands(block):
            sandbox.run(command)
        run = httpx.get(f"{sandbox.panel}/api/runs/{name}").raise_for_status().json()

    (client,) = run["client"]
    # wrk does not count what it has in flight when its time is up, and Locust writes its table once a second.
    uncounted = {"wrk": 32, "locust": run["requests"] - 1}.get(name, 0)
    assert client["tool"].lower() == name
    assert run["requests"] - uncounted <= client["requests"] <= run["requests"]
    assert run["requests"]
    assert run["errors"] == 0
