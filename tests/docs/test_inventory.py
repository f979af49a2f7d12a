"""No block of the documentation is passed over in silence."""

from pathlib import Path

import pytest

from .blocks import BLOCKS, PAGES, ROOT
from .inventory import BY_OTHERS, NOT_RUN, account


def test_every_block_of_every_page_is_accounted_for() -> None:
    """And none is indented, or has no word behind its fence, which nothing here would look at."""
    left = [f"{block} {block.kind!r}" for block in BLOCKS if not account(block)]
    not_run = {block.page for block in BLOCKS if block.kind == "text"}

    assert left == []
    assert not_run == set(NOT_RUN)


def test_there_are_as_many_blocks_as_fences() -> None:
    """Counted in another way than by the parser."""
    lines = [line.lstrip(" >") for page in PAGES for line in page.read_text("utf-8").splitlines()]

    assert len(BLOCKS) * 2 == sum(line.startswith(("```", "~~~")) for line in lines)


@pytest.mark.parametrize("test", {*BY_OTHERS.values(), *(block.test for block in BLOCKS if block.test)})
def test_a_test_that_runs_blocks_reads_their_page(test: str) -> None:
    pages = {page for (page, _), by in BY_OTHERS.items() if by == test} | {b.page for b in BLOCKS if b.test == test}

    assert [page for page in pages if Path(page).name not in (ROOT / test).read_text()] == []
