import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from reqscope.service.identity.peers import can_tell_users, user_of

pytestmark = pytest.mark.skipif(not can_tell_users(), reason="this system does not say whose a connection is")


class Connection:
    """Both ends of one, in this process."""

    def __init__(self, host: str, stack: ExitStack) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = stack.enter_context(socket.create_server((host, 0), family=family))
        self.client = stack.enter_context(socket.create_connection(listener.getsockname()[:2]))
        self.server = stack.enter_context(listener.accept()[0])
        self.ends = self.client.getsockname()[:2], self.server.getsockname()[:2]


@pytest.fixture(params=["127.0.0.1", "::1"])
def connection(request: pytest.FixtureRequest) -> Iterator[Connection]:
    with ExitStack() as stack:
        yield Connection(request.param, stack)


def test_a_connection_is_that_of_the_user_who_opened_it(connection: Connection) -> None:
    assert user_of(*connection.ends) == os.geteuid()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a socket to somebody else")
def test_a_connection_of_somebody_else_is_theirs(connection: Connection) -> None:
    os.fchown(connection.client.fileno(), 54_321, -1)

    assert user_of(*connection.ends) == 54_321


def test_a_connection_that_its_process_has_closed_is_nobodys(connection: Connection) -> None:
    """What it sent before can still be answered, and the kernel would call it root's."""
    connection.client.close()

    assert user_of(*connection.ends) is None


def test_who_only_listens_at_the_clients_port_is_not_the_client(connection: Connection) -> None:
    listening = connection.ends[1]

    assert user_of(listening, ("127.0.0.1", 1) if "." in listening[0] else ("::1", 1)) is None


def test_an_address_of_no_connection_is_nobodys() -> None:
    assert user_of(("127.0.0.1", 1), ("127.0.0.1", 2)) is None
    assert user_of(("192.0.2.1", 4711), ("127.0.0.1", 2)) is None
