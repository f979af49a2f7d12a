"""The examples of the guide to mocking, run as they stand there."""

import re
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from reqscope.service.mock.files import load_file, parse
from reqscope.service.mock.server import MockServer

GUIDE = (Path(__file__).parents[1] / "docs" / "mock.md").read_text("utf-8")


class Example(NamedTuple):
    kind: str
    text: str


FENCED = re.compile(r"^```(\S.*?)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
EXAMPLES = [Example(kind, text) for kind, text in FENCED.findall(GUIDE)]


def of_kind(kind: str) -> list[str]:
    return [each.text for each in EXAMPLES if each.kind.startswith(kind)]


def test_every_example_is_of_a_kind_that_is_run_here_or_is_a_command() -> None:
    kinds = {each.kind.partition("=")[0] for each in EXAMPLES}

    assert kinds == {"yaml file", "yaml stub", "sh", "http", "http answer", "python test"}


@pytest.mark.parametrize("text", of_kind("yaml stub"))
def test_a_stub_of_the_guide_can_be_loaded(text: str) -> None:
    assert len(parse(text)) == 1


def test_requests_of_the_guide_get_the_answers_there(tmp_path: Path) -> None:
    (tmp_path / "stubs.yaml").write_text(of_kind("yaml file=stubs.yaml")[0])
    exchanges = list(zip(of_kind("http")[::2], of_kind("http answer"), strict=True))
    assert len(exchanges) == 2
    with MockServer(tmp_path / "stubs.yaml") as server:
        for asked, answered in exchanges:
            head, _, body = asked.partition("\n\n")
            first, *headers = head.splitlines()
            method, path = first.split()
            pairs = dict(line.split(": ", 1) for line in headers)
            answer = httpx.request(method, server.url + path, headers=pairs, content=body.strip())
            status, _, text = answered.strip().partition("\n")
            shown = answer.json()["detail"] if answer.status_code == 404 else answer.text

            assert (str(answer.status_code), shown) == (status, text)


def test_the_states_of_the_guide_lead_from_one_to_another(tmp_path: Path) -> None:
    (tmp_path / "order.yaml").write_text(of_kind("yaml file=order.yaml")[0])
    assert len(load_file(tmp_path / "order.yaml")) == 3
    with MockServer(tmp_path / "order.yaml") as server:
        before = httpx.get(f"{server.url}/order").text
        httpx.post(f"{server.url}/order")

        assert (before, httpx.get(f"{server.url}/order").text) == ("open", "paid")


def test_the_test_of_the_guide_passes(reqscope: MockServer) -> None:
    for text in of_kind("python test"):
        names: dict[str, object] = {}
        exec(compile(text, "docs/mock.md", "exec"), names)
        (test,) = [each for name, each in names.items() if name.startswith("test_")]
        assert callable(test)
        test(reqscope)


def test_every_route_of_the_api_is_in_the_guide() -> None:
    from reqscope.bus import EventBus
    from reqscope.service.mock import StubStore
    from reqscope.service.mock.api import mock_router

    paths = {str(getattr(route, "path", "")) for route in mock_router(StubStore(), EventBus()).routes}

    assert [path for path in paths if path not in GUIDE] == []
