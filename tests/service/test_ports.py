import socket
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from reqscope.service.ports import PortError, listen, url

HOST = "127.0.0.1"


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.create_server((HOST, 0)) as other:
        port: int = other.getsockname()[1]
        yield port


def port_of(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


def test_port_0_is_any_free_one_and_is_listened_on_at_once() -> None:
    with listen(HOST, 0, "--api-port") as listener, socket.create_connection((HOST, port_of(listener)), 5) as peer:
        assert peer.getpeername() == listener.getsockname()


def test_a_port_that_was_free_is_the_one_that_is_listened_on() -> None:
    with listen(HOST, 0, "--api-port") as listener:
        port = port_of(listener)

    with listen(HOST, port, "--api-port", auto=True) as again:
        assert port_of(again) == port


def test_a_port_in_use_is_an_error_that_names_the_flag_to_give(taken: int) -> None:
    with pytest.raises(PortError) as caught:
        listen(HOST, taken, "--panel-port")

    assert str(caught.value) == (
        f"port {taken} is in use; name another with --panel-port, or pass --port-auto for the next free one"
    )


def test_one_of_our_own_ports_is_in_use_too() -> None:
    with listen(HOST, 0, "--api-port") as listener, pytest.raises(PortError, match="is in use"):
        listen(HOST, port_of(listener), "--panel-port")


def test_the_next_free_port_is_taken_if_that_was_asked_for(taken: int) -> None:
    with listen(HOST, taken, "--api-port", auto=True) as first, listen(HOST, taken, "", auto=True) as second:
        assert taken < port_of(first) < port_of(second) <= taken + 100


def test_when_no_port_is_left_the_error_says_which_were_tried() -> None:
    with closing(socket.socket()) as other:
        with suppress(OSError):  # somebody has it already, which is just as well
            other.bind((HOST, 65535))
            other.listen()

        with pytest.raises(PortError, match=r"^ports 65535 to 65535 are all in use; name another with --api-port$"):
            listen(HOST, 65535, "--api-port", auto=True)


@pytest.mark.parametrize("auto", [False, True])
def test_an_address_of_another_machine_is_an_error_that_says_so(auto: bool) -> None:
    with pytest.raises(PortError, match=r"^cannot listen on 192\.0\.2\.1 port 8000: "):
        listen("192.0.2.1", 8000, "--api-port", auto=auto)


@pytest.mark.parametrize("host", ["a..b", "...", "a" * 64])
def test_a_name_that_cannot_be_one_is_an_error_that_says_so(host: str) -> None:
    with pytest.raises(PortError, match="is not the name of a host"):
        listen(host, 8000, "--api-port")


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "http://127.0.0.1"), ("localhost", "http://127.0.0.1"), ("0.0.0.0", "http://localhost")],
)
def test_the_address_is_one_to_open_on_this_machine(host: str, address: str) -> None:
    with listen(host, 0, "--api-port") as listener:
        assert url(listener) == f"{address}:{port_of(listener)}"


@pytest.mark.parametrize(("host", "address"), [("::1", "http://[::1]"), ("::", "http://localhost")])
def test_the_address_of_an_ipv6_socket_has_brackets(host: str, address: str) -> None:
    try:
        listener = listen(host, 0, "--api-port")
    except PortError as error:
        pytest.skip(str(error))
    with listener:
        assert url(listener) == f"{address}:{port_of(listener)}"
