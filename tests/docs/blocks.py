"""The code blocks of the documentation, as a parser of Markdown finds them, and the commands in them."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from itertools import dropwhile, pairwise
from pathlib import Path
from typing import Final, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = [
    *(ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
]

_RUN_BY: Final = re.compile(r"<!-- run by (\S+) -->")


class Block(NamedTuple):
    """One block of code."""

    page: str
    line: int
    kind: str
    """What stands behind the fence: a language, and maybe a word that says how it is run."""
    text: str
    test: str
    """The test that runs it, where `<!-- run by tests/… -->` stands in front of it."""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def parsed(page: Path) -> list[Token]:
    """Return what Markdown makes of a page."""
    return MarkdownIt().enable("table").parse(page.read_text("utf-8"))


def _blocks(page: Path) -> Iterator[Block]:
    for before, token in pairwise([Token("", "", 0), *parsed(page)]):
        if token.type in ("fence", "code_block"):
            found = _RUN_BY.fullmatch(before.content.strip()) if before.type == "html_block" else None
            line = (token.map or [0])[0] + 1
            kind = token.info.strip() if token.type == "fence" else "indented"
            yield Block(str(page.relative_to(ROOT)), line, kind, token.content, found[1] if found else "")


BLOCKS: Final = [block for page in PAGES for block in _blocks(page)]


def inline_code(page: Path) -> Iterator[str]:
    """Yield the pieces of code within a page's sentences and tables."""
    for token in parsed(page):
        yield from (child.content for child in token.children or () if child.type == "code_inline")


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


def words(command: str) -> list[str]:
    """Return what a command consists of, behind variables that are set for it."""
    found = shlex.split(command.replace("\\\n", " "), comments=True)
    return list(dropwhile(lambda word: re.match(r"[A-Z_]+=", word), found))


def program(command: str) -> str:
    """Return what a command runs: of Reqscope, make and pip with what that is to do."""
    found = words(command)
    return " ".join(found[:2] if found[0] in ("reqscope", "make", "pip") else found[:1])


def _is_whole(text: str) -> bool:
    return subprocess.run(["bash", "-n", "-c", text], check=False, stderr=subprocess.DEVNULL).returncode == 0
