"""Every code block of the documentation is run as it stands there.

A block says by the word behind its fence how: `inventory.py` has them all. Another test may do it, which a comment in
front of the block names: `<!-- run by tests/… -->`.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from reqscope.bus import Filter

from .blocks import Block
from .inventory import named, of_kind


@pytest.mark.parametrize("block", named(of_kind("python")))
def test_a_program_runs(block: Block, tmp_path: Path) -> None:
    text = block.text
    if "async with" in text and "async def" not in text:  # a piece of an application
        indented = "".join(f"        {line}\n" for line in text.splitlines())
        text = f"import anyio\nasync def main():\n    with anyio.move_on_after(0.2):\n{indented}\nanyio.run(main)\n"
    (tmp_path / "program.py").write_text(text)
    done = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", named(of_kind("json")))
def test_json_is_json(block: Block) -> None:
    assert json.loads(block.text)


@pytest.mark.parametrize("block", named(of_kind("filter")))
def test_the_panel_reads_a_filter(block: Block) -> None:
    for line in filter(None, (line.partition("  # ")[0].strip() for line in block.text.splitlines())):
        for term in line.split("  "):
            assert Filter.parse(term), term
        assert Filter.parse(line), line
