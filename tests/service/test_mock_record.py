import stat
from pathlib import Path

import pytest
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from reqscope.service.mock import StubStore
from reqscope.service.mock.record import Recorder

from .conftest import serving
from .mocking import mocking

pytestmark = pytest.mark.anyio


def upstream() -> tuple[FastAPI, list[str]]:
    app, seen = FastAPI(), list[str]()

    @app.api_route("/v1/{rest:path}", methods=["GET", "POST"])
    async def any_(request: Request, rest: str) -> Response:
        seen.append(f"{request.method} {rest} {request.headers.get('authorization')}")
        if rest == "away":
            return RedirectResponse("http://169.254.169.254/latest")
        if rest == "large":
            return Response(b"x" * (2 << 20))
        headers = {"set-cookie": "sid=hunter2secret", "x-kept": "yes"}
        return JSONResponse({"rest": rest, "access_token": "hunter2secret"}, headers=headers)

    return app, seen


async def test_an_answer_is_passed_on_and_saved_without_secrets_and_then_replayed(tmp_path: Path) -> None:
    file = tmp_path / "recorded.yaml"
    app, seen = upstream()
    store = StubStore([tmp_path])
    async with serving(app) as url, mocking(store, recorder=Recorder(f"{url}/v1", file, store)) as (http, _):
        signed = {"authorization": "Bearer tops3cret"}
        first = await http.post("/pay?api_key=k3y&page=2", json={"amount": 5}, headers=signed)
        second = await http.post("/pay?api_key=other&page=2", json={"amount": 5})

    assert first.json() == {"rest": "pay", "access_token": "hunter2secret"}
    assert seen == ["POST pay Bearer tops3cret"]
    assert second.json()["rest"] == "pay"
    assert second.headers["x-kept"] == "yes"
    text = file.read_text()
    assert not [secret for secret in ("hunter2", "tops3cret", "k3y", "set-cookie") if secret in text]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_a_redirect_is_passed_on_and_not_followed(tmp_path: Path) -> None:
    app, _ = upstream()
    store = StubStore([tmp_path])
    async with (
        serving(app) as url,
        mocking(store, recorder=Recorder(f"{url}/v1", tmp_path / "r.yaml", store)) as (
            http,
            _,
        ),
    ):
        answer = await http.get("/away")

    assert (answer.status_code, answer.headers["location"]) == (307, "http://169.254.169.254/latest")


async def test_a_service_that_cannot_be_reached_is_said(tmp_path: Path) -> None:
    store = StubStore([tmp_path])
    async with mocking(store, recorder=Recorder("http://127.0.0.1:9", tmp_path / "r.yaml", store)) as (http, _):
        answer = await http.get("/a")

    assert (answer.status_code, answer.json()["detail"]) == (502, "127.0.0.1 cannot be reached: ConnectError")


async def test_an_answer_that_is_too_large_is_refused(tmp_path: Path) -> None:
    app, _ = upstream()
    store = StubStore([tmp_path])
    async with (
        serving(app) as url,
        mocking(store, recorder=Recorder(f"{url}/v1", tmp_path / "r.yaml", store)) as (
            http,
            _,
        ),
    ):
        answer = await http.get("/large")

    assert (answer.status_code, "larger" in answer.text) == (502, True)


@pytest.mark.parametrize("address", ["ftp://a", "example.com", "http://", "http://a/?x=1"])
def test_an_upstream_needs_an_address(tmp_path: Path, address: str) -> None:
    with pytest.raises(ValueError, match="is not an address"):
        Recorder(address, tmp_path / "r.yaml", StubStore())
