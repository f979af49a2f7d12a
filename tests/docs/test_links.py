"""Links between the pages lead somewhere: to a file that is there, and to a heading that it has."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from .blocks import PAGES, ROOT, parsed


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return what can stand behind the # of a link to a page, as GitHub makes it of headings."""
    tokens, taken, found = parsed(page), Counter[str](), set[str]()
    for before, token in pairwise(tokens):
        if before.type == "heading_open":
            text = "".join(child.content for child in token.children or ())
            name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            found.add(f"{name}-{taken[name]}" if taken[name] else name)
            taken[name] += 1
    return frozenset(found)


def targets(page: Path) -> Iterator[str]:
    """Yield what a page links to and what pictures it shows, in Markdown or in HTML."""
    for token in parsed(page):
        for each in (token, *(token.children or ())):
            yield from (str(each.attrs[name]) for name in ("href", "src") if name in each.attrs)
            if each.type in ("html_block", "html_inline"):
                yield from re.findall(r'(?:href|src|srcset)="([^"]+)"', each.content)


def is_dead(page: Path, target: str) -> bool:
    if re.match(r"[a-z]+:", target):
        return False
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.is_relative_to(ROOT) or not file.exists():
        return True
    return bool(anchor) and anchor not in anchors(file)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert [target for target in targets(page) if is_dead(page, target)] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, left = set[Path](), [ROOT / "README.md"]
    while left:
        page = left.pop()
        reached.add(page)
        files = ((page.parent / target.partition("#")[0]).resolve() for target in targets(page) if ":" not in target)
        left += {file for file in files if file.suffix == ".md" and file.is_file()} - reached

    assert {str(page.relative_to(ROOT)) for page in set(PAGES) - reached} <= {"CHANGELOG.md"}


@pytest.mark.parametrize(
    ("target", "dead"),
    [
        ("docs/mock.md", False),
        ("docs/mock.md#in-tests", False),
        ("docs/sending.md#from-opentelemetry", False),
        ("#what-it-costs", False),
        ("https://example.com/anything#at-all", False),
        ("docs/mocks.md", True),
        ("docs/mock.md#in-test", True),
        ("../elsewhere.md", True),
        ("#nothing", True),
    ],
)
def test_a_dead_link_is_found(target: str, dead: bool) -> None:
    assert is_dead(ROOT / "README.md", target) is dead
