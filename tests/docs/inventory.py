"""What is done with each block: `python -m tests.docs` lists it."""

import re
from collections.abc import Iterable
from typing import Final

import pytest

from .blocks import BLOCKS, Block, commands, words

SHELL: Final = ("sh", "")
"""What stands behind the fence of commands for the shell."""

HOW: Final = {
    "sh load": "run by tests/docs/test_load_guide.py, in make prove",
    "js file=shop.js": "run by tests/docs/test_load_guide.py, in make prove",
    "python file=customers.py": "run by tests/docs/test_load_guide.py, in make prove",
    "python": "run",
    "json": "read; test_reference.py knows its fields",
    "filter": "each term and each line read by the filter's parser",
    "text": "not run, for a reason below",
}
"""What is done with a block, by the word behind its fence."""

BY_OTHERS: Final = {
    ("docs/mock.md", kind): "tests/test_mock_guide.py"
    for kind in ("yaml file=stubs.yaml", "yaml file=order.yaml", "yaml stub", "http", "http answer", "python test")
} | {("docs/load-tests.md", "sh"): "tests/e2e/test_load_tools.py"}
"""Kinds of blocks of a page which another test runs, all of them. That it does is for it to show."""

NOT_RUN: Final = {
    "docs/architecture.md": "a picture; that its files exist is looked at",
    "docs/reading.md": "a piece of a stream; test_a_stream_looks_as_it_is_shown compares it with a real one",
    "docs/scaling.md": "a command of the NATS project's own client, which no package here has",
}


SERVERS: Final = ("reqscope run", "reqscope serve", "reqscope demo", "reqscope mock", "uvicorn")
CLIENTS: Final = ("curl", "jq", "duckdb", "reqscope")
NOT_HERE: Final = {
    "make": "make -n reads it: it is how these tests came to run, or runs them",
    "pip": "its extras are looked at: it is how these tests came to run",
    "python -m benchmarks": "its arguments are read: it measures for minutes",
}
"""What is not run by the tests, and what is done with it instead."""


def run_here(block: Block) -> list[str]:
    """Return the commands of a block but those that install, build and measure."""
    return [each for each in commands(block) if not " ".join(words(each)).startswith(tuple(NOT_HERE))]


def account(block: Block) -> str:
    """Return what is done with `block`; empty when nobody knows."""
    if test := block.test or BY_OTHERS.get((block.page, block.kind)):
        return f"run by {test}"
    if block.kind == "text":
        return f"not run: {NOT_RUN.get(block.page, '')}"
    if block.kind in SHELL:
        instead = [how for each, how in NOT_HERE.items() if re.search(rf"^{each}", block.text, re.MULTILINE)]
        return "; ".join([*(["run, in make prove"] if run_here(block) else []), *instead])
    return HOW.get(block.kind, "")


def of_kind(*kinds: str) -> list[Block]:
    """Return the blocks of some kinds that no other test runs."""
    left = (block for block in BLOCKS if not block.test and (block.page, block.kind) not in BY_OTHERS)
    return [block for block in left if block.kind in kinds]


def named(blocks: Iterable[Block]) -> list[object]:
    """Return `blocks` as parameters of a test, called by where they are."""
    return [pytest.param(block, id=str(block)) for block in blocks]
