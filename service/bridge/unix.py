"""A bridge within one machine: a Unix socket, and nothing else to run."""

import os
import socket
import stat
from contextlib import suppress
from typing import Final

import anyio
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream

from .bridge import AddressError, BridgeError, Take

_LENGTH: Final = 4
_LARGEST: Final = 256 << 20
_TAKEN: Final = b"\x06"
_ANSWERS_WITHIN: Final = 2.0
"""Seconds after which a collector that does not answer is taken for one that is not there."""


class UnixBridge:
    """Batches over a stream socket: four bytes of length, the batch, and one byte back once it is taken.

    Only processes of the same user can connect. Nothing is retained: who publishes keeps what nobody takes.
    """

    heartbeat = 0.5

    def __init__(self, path: str) -> None:
        self.path = path
        self._stream: ByteStream | None = None

    async def publish(self, packed: bytes, name: str) -> None:
        """See `Bridge.publish`."""
        stream, self._stream = self._stream, None
        try:
            with anyio.fail_after(_ANSWERS_WITHIN):
                stream = stream or await anyio.connect_unix(self.path)
                await stream.send(len(packed).to_bytes(_LENGTH) + packed)
                await stream.receive(1)
        except (OSError, TimeoutError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
            if stream is not None:
                await _give_up(stream)
            raise BridgeError(f"nobody takes batches at {self.path}: {_reason(error)}") from None
        except BaseException:
            # Its answer is still to come, and must not be taken for that of the next batch.
            if stream is not None:
                await _give_up(stream)
            raise
        self._stream = stream

    async def read(self, take: Take) -> None:
        """Listen, and take what any number of publishers send. A socket that a dead process left behind is replaced.

        :raises BridgeError: it cannot be listened on
        """

        async def serve(stream: ByteStream) -> None:
            async with stream:
                with suppress(anyio.BrokenResourceError, anyio.EndOfStream, anyio.IncompleteRead):
                    await _take_all(stream, take)

        try:
            listener = await anyio.create_unix_listener(self.path, mode=0o600)
        except (OSError, ValueError) as error:
            raise BridgeError(f"cannot listen on {self.path}: {_reason(error)}") from None
        mine = os.stat(self.path).st_ino
        try:
            async with listener:
                await listener.serve(serve)
        finally:
            with suppress(OSError):
                if os.stat(self.path).st_ino == mine:
                    os.unlink(self.path)

    def check_readable(self) -> None:
        """See `Bridge.check_readable`: another collector may listen there, or its folder be missing."""
        _check_free(self.path)

    async def aclose(self) -> None:
        """See `Bridge.aclose`."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.aclose()


def _check_free(path: str) -> None:
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise AddressError(f"{path} is there already, and no socket; name another path")
    except FileNotFoundError:
        folder = os.path.dirname(os.path.abspath(path))
        if not os.access(folder, os.W_OK):
            raise AddressError(f"no socket can be made in {folder}; make the folder, or name another path") from None
        return
    with socket.socket(socket.AF_UNIX) as probe, suppress(ConnectionRefusedError):
        probe.settimeout(_ANSWERS_WITHIN)
        probe.connect(path)
        raise AddressError(f"another collector listens on {path}; stop it, or name another path")


async def _take_all(stream: ByteStream, take: Take) -> None:
    buffered = BufferedByteReceiveStream(stream)
    while True:
        length = int.from_bytes(await buffered.receive_exactly(_LENGTH))
        if length > _LARGEST:
            return
        take(await buffered.receive_exactly(length), 0.0)
        await stream.send(_TAKEN)


async def _give_up(stream: ByteStream) -> None:
    with anyio.CancelScope(shield=True):
        await anyio.aclose_forcefully(stream)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {_ANSWERS_WITHIN:g} s"
    return (error.strerror if isinstance(error, OSError) else str(error)) or "the connection was closed"
