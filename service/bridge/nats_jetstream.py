"""A bridge between machines: a stream of NATS JetStream."""

from contextlib import suppress
from importlib.util import find_spec
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import anyio
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error, NoServersError
from nats.js.api import StreamInfo
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError, ServiceUnavailableError

from .bridge import AddressError, BridgeError, OneWay, Take
from .nats_reader import QUIET, Reader
from .parts import PART, split

STREAM: Final = "reqscope"
RETAINED: Final = 10_000
"""Batches that the stream keeps."""
RETAINED_BYTES: Final = 256 << 20
"""Bytes of batches that it keeps. A server sets them aside, so this must not be more than a small one has."""
_FILES: Final = {"creds": "user_credentials", "nkey": "nkeys_seed"}
"""Names of files in an address, and what the client calls them."""
_ANSWERS_WITHIN: Final = 2.0
_HEADERS: Final = 1_000
"""Bytes that a message has beside its data, at the most."""
_NOT_IN_NAMES: Final = frozenset(" .*>/\\\t\r\n")


class NatsBridge(OneWay):
    """One message per batch, in a stream that is made if there is none. Each reader has a cursor of its own.

    A batch that is sent again within two minutes is not written again: the server knows it by its name. One that is
    larger than the server takes as one message goes in parts.

    :param address: as NATS has it, with `user:password@` or `token@`, several servers of one cluster with commas
        between; `?creds=` and `?nkey=` name a file of credentials, or of an NKey's seed, and `?stream=` another stream
        than `reqscope`
    :raises AddressError: it is not understood, or such files cannot be read here
    """

    heartbeat = 5.0
    private = False

    def __init__(self, address: str) -> None:
        servers, _, query = address.partition("?")
        self._servers = servers.split(",")
        options = parse_qs(query)
        self.stream = options.get("stream", [STREAM])[0]
        self._identity: dict[str, Any] = {_FILES[name]: options[name][0] for name in _FILES if name in options}
        self.subject = f"{self.stream}.batches"
        for server in self._servers:
            _check(server)
        if _NOT_IN_NAMES & set(self.stream):
            raise AddressError("write ?stream=NAME; NATS allows no spaces, dots, slashes, * or > in it")
        if self._identity and find_spec("nkeys") is None:
            raise AddressError("NKeys and files of credentials need more: pip install 'reqscope[nats]'")
        self._client: Client | None = None
        self._ended = anyio.Event()
        self._publishing = anyio.CancelScope()
        self._said: Exception | None = None
        """What the client met last, some of which it tells in no other way."""
        self._reader = Reader()

    async def publish(self, packed: bytes, name: str) -> None:
        """See `Bridge.publish`."""
        try:
            with anyio.CancelScope() as self._publishing:  # which the end of the connection cancels
                client = self._client or await self._connect()
                await self._publish_whole(client, packed, name)
                return
        except (Error, OSError, TimeoutError) as error:
            await self._hang_up()
            raise self._unreachable(error) from None
        await self._hang_up()
        raise BridgeError("NATS has ended the connection")

    async def read(self, take: Take) -> None:
        """See `Bridge.read`. It begins with about the last eight megabytes."""
        try:
            client = await self._connect()
            inbox = client.new_inbox()
            consumer = self._reader.consumer(await self._about_stream(client), inbox)

            async def hear(message: Msg) -> None:
                await self._reader.hear(client, message, take)

            await client.subscribe(inbox, cb=hear)
            made = await client.jetstream(timeout=_ANSWERS_WITHIN).add_consumer(self.stream, consumer)
            self._reader.synchronise(made)
            while not self._reader.ended:
                with anyio.move_on_after(QUIET):
                    await self._ended.wait()
                    break
            raise BridgeError("NATS has ended the connection" if self._ended.is_set() else "NATS does not answer")
        except (Error, OSError, TimeoutError) as error:
            raise self._unreachable(error) from None
        finally:
            await self._hang_up()

    def check_readable(self) -> None:
        """See `Bridge.check_readable`: only the server can tell, and it may come up later."""

    async def aclose(self) -> None:
        """See `Bridge.aclose`."""
        await self._hang_up()

    async def _connect(self) -> Client:
        """Return a client that ends with its first connection: who retries is the publisher, or the receiver."""
        ended = self._ended = anyio.Event()
        self._said = None

        async def note(error: Exception) -> None:
            self._said = error

        async def end() -> None:
            ended.set()
            if self._ended is ended:  # not the end of an earlier one
                self._publishing.cancel()

        self._client = client = Client()
        try:
            await client.connect(
                self._servers,
                name="reqscope",
                error_cb=note,
                closed_cb=end,
                connect_timeout=1,
                allow_reconnect=False,
                max_reconnect_attempts=1,  # 0 would be without end
                reconnect_time_wait=0,
                **self._identity,
            )
        except (Error, OSError, TimeoutError, anyio.get_cancelled_exc_class()):
            await self._hang_up()
            raise
        except Exception:  # what NKeys makes of a file that is none, which may say what is in it
            await self._hang_up()
            raise BridgeError(f"{', '.join(self._identity.values())} holds no credentials for NATS") from None
        return client

    async def _publish_whole(self, client: Client, packed: bytes, name: str) -> None:
        largest = client.max_payload - _HEADERS
        if len(packed) <= largest:
            await self._publish(client, packed, {"Nats-Msg-Id": name} if name else {})
            return
        for part, data in split(packed, name, largest):
            await self._publish(client, data, {"Nats-Msg-Id": part, PART: part})

    async def _publish(self, client: Client, data: bytes, headers: dict[str, Any]) -> None:
        stream = client.jetstream(timeout=_ANSWERS_WITHIN)
        try:
            await stream.publish(self.subject, data, headers=headers)
        except NoStreamResponseError:
            await self._make_stream(client)
            await stream.publish(self.subject, data, headers=headers)

    async def _about_stream(self, client: Client) -> StreamInfo:
        try:
            return await client.jetstream(timeout=_ANSWERS_WITHIN).stream_info(self.stream)
        except NotFoundError:
            return await self._make_stream(client)

    async def _make_stream(self, client: Client) -> StreamInfo:
        return await client.jetstream(timeout=_ANSWERS_WITHIN).add_stream(
            name=self.stream, subjects=[self.subject], max_msgs=RETAINED, max_bytes=RETAINED_BYTES
        )

    async def _hang_up(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        with anyio.CancelScope(shield=True), anyio.move_on_after(1), suppress(Exception):
            # Or closing would wait for a server that is frozen to take what was sent.
            transport: Any = getattr(client, "_transport", None)
            if (writer := getattr(transport, "_io_writer", None)) is not None:
                writer.transport.abort()
            await client.close()

    def _unreachable(self, error: Exception) -> BridgeError:
        if isinstance(error, ServiceUnavailableError) and not error.description:  # nobody answers such questions
            return BridgeError("NATS has no JetStream; start it with -js")
        if isinstance(error, APIError):
            return BridgeError(f"NATS says: {error.description}")
        if isinstance(error, NoServersError) and self._said is not None:
            error = self._said
        return BridgeError(f"NATS says: {error}" if str(error) else f"NATS does not answer ({type(error).__name__})")


def _check(server: str) -> None:
    try:
        parts = urlsplit(server)
        if parts.scheme in ("nats", "tls") and parts.hostname and parts.port != 0:
            return
    except ValueError:
        pass
    raise AddressError("write nats://user:password@host:4222")
