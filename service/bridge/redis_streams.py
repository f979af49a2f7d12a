"""A bridge between machines: a stream of Redis, or of Valkey, which speaks the same protocol."""

from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import anyio
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from .bridge import AddressError, BridgeError, OneWay, Take

STREAM: Final = "reqscope:batches"
RETAINED: Final = 10_000
"""Batches that the stream keeps, more or less: trimming exactly would cost the server more than adding."""
HISTORY: Final = 8 << 20
"""Bytes of batches that a new panel begins with, if the stream still has them: more than a ring keeps as a rule."""
_AT_ONCE: Final = 20
"""Batches in one answer. Each may be a megabyte."""
_BLOCK: Final = 1.0
"""Seconds that the server may hold back an answer. Below the socket's timeout, or quiet spells would be errors."""
_TIMEOUT: Final = 3.0
_START: Final = b"0-0"


class RedisBridge(OneWay):
    """One entry of a stream per batch; each reader has a cursor of its own, so that any number of panels see all.

    :param address: as redis-py has it, and `?stream=` for another name than `reqscope:batches`, `?retain=` for how many
        batches the stream keeps if not 10 000
    :raises AddressError: it is not understood
    """

    heartbeat = 5.0
    private = False

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        query = parse_qs(parts.query)
        self.stream = query.pop("stream", [STREAM])[0]
        retain = query.pop("retain", [str(RETAINED)])[0]
        if not retain.isdecimal() or not int(retain):
            raise AddressError(f"write ?retain=100000, or another number of batches, not {retain!r}")
        self.retain = int(retain)
        try:
            # Without retries of its own: it would send a batch again whose answer was lost, and say that all is well.
            self._redis: Any = Redis.from_url(
                urlunsplit(parts._replace(query=urlencode(query, doseq=True))),
                protocol=2,
                socket_timeout=_TIMEOUT,
                socket_connect_timeout=1.0,
                retry=Retry(NoBackoff(), 0),
            )
        except (ValueError, TypeError) as error:
            raise AddressError(f"write redis://user:password@host:6379/0: {error}") from None
        self._cursor: bytes | None = None
        """Id of the last entry that was taken."""

    async def publish(self, packed: bytes, name: str) -> None:
        """See `Bridge.publish`."""
        await self._call("XADD", self.stream, "MAXLEN", "~", self.retain, "*", "d", packed)

    async def read(self, take: Take) -> None:
        """See `Bridge.read`. It begins with the last `HISTORY` bytes."""
        seconds, microseconds = await self._call("TIME")
        behind = int(seconds) + int(microseconds) / 1e6 - anyio.current_time()
        if self._cursor is None:
            self._cursor = await self._before_history()
        while True:
            options = ("COUNT", _AT_ONCE, "BLOCK", int(_BLOCK * 1_000), "STREAMS", self.stream, self._cursor)
            answer = await self._call("XREAD", *options)
            for _, entries in answer or ():
                for entry, fields in entries:
                    age = anyio.current_time() + behind - int(entry.partition(b"-")[0]) / 1e3
                    take(fields.get(b"d", b""), max(0.0, age))
                    self._cursor = entry
            if not answer:
                await self._notice_another_stream()

    def check_readable(self) -> None:
        """See `Bridge.check_readable`: only the server can tell, and it may come up later."""

    async def aclose(self) -> None:
        """See `Bridge.aclose`."""
        await self._redis.aclose()

    async def _before_history(self) -> bytes:
        """Return the id from behind which the newest `HISTORY` bytes of batches are to be read."""
        held, end = 0, "+"
        while True:
            page = await self._call("XREVRANGE", self.stream, end, "-", "COUNT", _AT_ONCE)
            for entry, fields in page:
                held += len(fields.get(b"d", b""))
                if held > HISTORY:
                    return bytes(entry)
            if len(page) < _AT_ONCE:
                return _START
            end = f"({page[-1][0].decode()}"

    async def _notice_another_stream(self) -> None:
        """Begin anew where the stream was made anew: its ids may be lower, and reading on would never see any of it."""
        try:
            about = await self._redis.execute_command("XINFO STREAM", self.stream)
        except ResponseError:  # there is none just now
            self._cursor = _START
        except (RedisError, OSError, TimeoutError) as error:
            await self._hang_up()
            raise _unreachable(error) from None
        else:
            if _order(about["last-generated-id"]) < _order(self._cursor or _START):
                self._cursor = _START

    async def _call(self, *command: Any) -> Any:
        try:
            return await self._redis.execute_command(*command)
        except (RedisError, OSError, TimeoutError) as error:
            await self._hang_up()
            raise _unreachable(error) from None
        except BaseException:
            # Its answer is still to come, and must not be taken for that of the next command.
            await self._hang_up()
            raise

    async def _hang_up(self) -> None:
        with anyio.CancelScope(shield=True), anyio.move_on_after(1):
            await self._redis.connection_pool.disconnect()


def _unreachable(error: Exception) -> BridgeError:
    return BridgeError(f"Redis says: {error}" if str(error) else f"Redis does not answer ({type(error).__name__})")


def _order(entry: bytes) -> tuple[int, int]:
    time, _, number = entry.partition(b"-")
    return int(time), int(number)
