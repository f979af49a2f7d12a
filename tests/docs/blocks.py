"""The code blocks of the documentation, and the commands in them."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from itertools import dropwhile
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = [
    *(ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md")),
    *(ROOT / "docs").glob("*.md"),
]

_FENCED: Final = re.compile(
    r"(?:^<!-- run by (?P<test>\S+) -->\n)?^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)


class Block(NamedTuple):
    """One fenced block."""

    page: str
    line: int
    kind: str
    """What stands behind the fence: a language, and maybe a word that says how it is run."""
    text: str
    test: str
    """The test that runs it, where `<!-- run by tests/… -->` stands in front of it."""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def _blocks(page: Path) -> Iterator[Block]:
    text = page.read_text("utf-8")
    for found in _FENCED.finditer(text):
        line = text.count("\n", 0, found.start("kind")) + 1
        yield Block(str(page.relative_to(ROOT)), line, found["kind"], found["text"], found["test"] or "")


BLOCKS: Final = [block for page in PAGES if page.exists() for block in _blocks(page)]


def of_kind(*kinds: str) -> list[Block]:
    """Return the blocks of some kinds that no other test runs."""
    return [block for block in BLOCKS if block.kind in kinds and not block.test]


def commands(block: Block) -> Iterator[str]:
    """Yield the commands of a block for the shell, each with the lines that belong to it."""
    pending = ""
    for line in block.text.splitlines():
        pending += line
        if line.endswith("\\") or not _is_whole(pending):
            pending += "\n"
        else:
            if shlex.split(pending, comments=True):
                yield pending
            pending = ""
    assert not pending, f"{block}: a command that does not end: {pending}"


def program(command: str) -> str:
    """Return what a command runs, behind variables that are set for it."""
    words = shlex.split(command.replace("\\\n", " "), comments=True)
    words = list(dropwhile(lambda word: re.match(r"[A-Z_]+=", word), words))
    return " ".join(words[:2] if words[0] in ("reqscope", "make", "pip") else words[:1])


def _is_whole(text: str) -> bool:
    return subprocess.run(["bash", "-n", "-c", text], check=False, stderr=subprocess.DEVNULL).returncode == 0
