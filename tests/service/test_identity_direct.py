"""Which requests are taken for those of whoever runs the server."""

import os
import socket
from typing import Any

import pytest

from reqscope.service.identity import direct as module
from reqscope.service.identity.direct import is_direct, is_own, own_users
from reqscope.service.identity.peers import can_tell_users

from .conftest import scope_of

SOMEBODY_ELSE = 54_321


def asked(address: str = "127.0.0.1", host: str = "localhost:8000", version: str = "1.1", **headers: str) -> Any:
    named = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return scope_of(
        client=(address, 50_000),
        http_version=version,
        headers=[(name.encode(), value.encode("latin-1")) for name, value in named.items()],
    )


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.1:9", "[::1]", "[::1]:7860"])
def test_a_request_from_this_machine_to_this_machine_is_direct(address: str, host: str) -> None:
    assert is_direct(asked(address, host))


@pytest.mark.guarantees("62")
@pytest.mark.parametrize(
    "scope",
    [
        asked("192.0.2.1"),
        asked("2001:db8::1"),
        asked("::ffff:192.0.2.1"),
        asked(""),
        asked("unix"),
        asked(host="panel.example.org"),
        asked(host="localhost.evil.test"),
        asked(host="127.0.0.1.evil.test:80"),
        asked(host=""),
        asked(version="1.0"),
        asked(x_forwarded_for="127.0.0.1"),
        asked(x_forwarded_host="localhost"),
        asked(x_forwarded_proto="http"),
        asked(x_real_ip="127.0.0.1"),
        asked(x_forwarded_prefix="/panel"),
        asked(cf_connecting_ip="203.0.113.9"),
        asked(forwarded="for=127.0.0.1"),
        asked(via="1.1 proxy"),
        asked("testclient", x_forwarded_for="10.0.0.1"),
        {**asked(), "client": None},
        {**asked(), "headers": []},
        {**asked(), "headers": [(b"host", b"localhost"), (b"host", b"localhost")]},
    ],
    ids=lambda scope: str((scope["client"], scope["http_version"], scope["headers"])),
)
def test_anything_else_is_not(scope: Any) -> None:
    assert not is_direct(scope)


@pytest.fixture
def connected() -> Any:
    """The scope of a request over a real connection of this process's own."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
        server.accept()[0],
    ):
        yield {**asked(), "client": client.getsockname(), "server": server.getsockname()}


needs_the_kernel = pytest.mark.skipif(not can_tell_users(), reason="this system does not say whose a connection is")


@needs_the_kernel
def test_a_connection_is_own_if_it_is_that_of_a_user_who_is_named(connected: Any) -> None:
    assert is_own(connected, own_users())
    assert is_own(connected, {os.geteuid()})
    assert not is_own(connected, {SOMEBODY_ELSE})
    assert not is_own(connected, set())


@needs_the_kernel
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_so_it_is_at_a_server_of_both_families(address: str) -> None:
    with (
        socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server,
        socket.create_connection((address, server.getsockname()[1])),
        server.accept()[0] as connection,
    ):
        scope = {**asked(), "client": connection.getpeername(), "server": connection.getsockname()}
        assert is_own(scope, own_users())
        assert not is_own(scope, {SOMEBODY_ELSE})


@needs_the_kernel
def test_a_connection_that_the_kernel_does_not_know_is_not(connected: Any) -> None:
    assert not is_own({**connected, "client": ("127.0.0.1", 1)}, own_users())


@needs_the_kernel
def test_what_comes_through_a_proxy_is_not_whoever_runs_that(connected: Any) -> None:
    forwarded = [*connected["headers"], (b"x-forwarded-for", b"127.0.0.1")]
    assert not is_own({**connected, "headers": forwarded}, own_users())


def test_where_it_cannot_be_told_now_it_is_not(connected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> int:
        raise OSError("too many open files")

    monkeypatch.setattr(module, "can_tell_users", lambda: True)
    monkeypatch.setattr(module, "user_of", fails)
    assert not is_own(connected, own_users())


def test_where_it_can_never_be_told_direct_is_enough_and_a_proxy_is_not(
    connected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "can_tell_users", lambda: False)
    assert is_own(connected, set())
    assert not is_own({**connected, "headers": [*connected["headers"], (b"via", b"1.1 x")]}, own_users())
    assert not is_own({**connected, "client": ("192.0.2.1", 50_000)}, own_users())


@pytest.mark.parametrize("server", [None, ("localhost", None), ("127.0.0.1", None), ("testserver", 80)])
def test_what_comes_over_no_connection_is_a_test_of_the_applications_own(server: Any) -> None:
    assert is_own({**asked(), "server": server}, own_users())
