from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqscope.service import local_path
from reqscope.service.identity.paths import here, is_local_path, wants_page, with_next

from .conftest import scope_of

ELSEWHERE = [
    "//evil.test",
    "///evil.test",
    "////evil.test/%2f..",
    "/\\evil.test",
    "\\/evil.test",
    "\\\\evil.test",
    "/\t/evil.test",
    "/\n/evil.test",
    "\t//evil.test",
    " //evil.test",
    "/ /evil.test",
    "/\x00/evil.test",
    "https://evil.test",
    "https:evil.test",
    "https:/evil.test",
    "HTTPS://evil.test/",
    "javascript:alert(1)",
    "java\nscript:alert(1)",
    "data:text/html,x",
    "evil.test",
    "@evil.test",
    ".evil.test",
    "?next=//evil.test",
    "#x",
    "",
    "/" + "x" * 5_000,
]


@pytest.mark.parametrize("text", ELSEWHERE)
def test_what_could_lead_to_another_site_leads_to_the_default(text: str) -> None:
    assert local_path(text, "/reqscope/") == "/reqscope/"


@pytest.mark.parametrize(
    "text",
    [
        "/",
        "/x",
        "/x?filter=status%3A5xx&view=live#y",
        "/%2f%2fevil.test",
        "/%5cevil.test",
        "/x//y",
        "/?u=https://x",
        "/é",
    ],
)
def test_a_path_of_the_same_host_stays_as_it_is(text: str) -> None:
    assert local_path(text, "/") == text


def test_no_text_leads_to_the_default() -> None:
    assert local_path(None, "/reqscope/") == "/reqscope/"


@given(st.text(alphabet="/\\:.@?#%\t\r\n x2f5ce", max_size=12))
def test_whatever_is_called_local_stays_on_the_host_as_browsers_read_it(text: str) -> None:
    read = "".join(letter for letter in text.strip() if letter not in "\t\r\n").replace("\\", "/")

    if is_local_path(text):
        assert urlsplit(urljoin("https://panel.test/sign-in", read)).netloc == "panel.test"


def test_the_way_back_is_what_the_browser_asked_for() -> None:
    scope = scope_of(path="/a b/ä//c", query_string=b"filter=status%3A5xx&x=%26")

    back = here(scope)

    assert back == "/a%20b/%C3%A4//c?filter=status%3A5xx&x=%26"
    for url in ("/login", "/login?lang=de"):
        assert parse_qs(urlsplit(with_next(url, back)).query)["next"] == [back]


@pytest.mark.parametrize("path", ["//evil.test/x", "///evil.test", "//", "/\\evil.test", "\\\\evil.test", ""])
def test_the_way_back_is_never_that_to_another_host(path: str) -> None:
    assert is_local_path(here(scope_of(path=path)))


@pytest.mark.parametrize(
    ("method", "headers", "page"),
    [
        ("GET", {"accept": "text/html,*/*"}, True),
        ("HEAD", {"accept": "text/html"}, True),
        ("GET", {"accept": "*/*"}, False),
        ("GET", {}, False),
        ("POST", {"accept": "text/html"}, False),
        ("GET", {"accept": "*/*", "sec-fetch-mode": "navigate"}, True),
        ("GET", {"accept": "text/html", "sec-fetch-mode": "cors"}, False),
    ],
)
def test_a_person_is_told_from_a_program(method: str, headers: dict[str, str], page: bool) -> None:
    scope: Any = scope_of(method=method, headers=[(k.encode(), v.encode()) for k, v in headers.items()])

    assert wants_page(scope) is page


def test_a_websocket_never_waits_for_a_page() -> None:
    assert not wants_page({"type": "websocket", "headers": [(b"accept", b"text/html")]})
