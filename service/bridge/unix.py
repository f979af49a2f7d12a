"""A bridge within one machine: a Unix socket, and nothing else to run."""

import os
import socket
import stat
import struct
from contextlib import suppress
from typing import Final

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from .bridge import AddressError, BridgeError, Take
from .questions import LENGTH, QUESTION, Answer, Questions

_LENGTH: Final = 4
_LARGEST: Final = 256 << 20
_TAKEN: Final = b"\x06"
_LISTENS: Final = bytes(_LENGTH)
"""In the place of a first length: over this connection come no batches, and questions are answered."""
_ANSWERS_WITHIN: Final = 2.0
"""Seconds after which a collector that does not answer is taken for one that is not there."""
_PEER: Final = struct.Struct("3i")
"""Process, user and group: unix(7)."""


class UnixBridge:
    """Batches over a stream socket: four bytes of length, the batch, and one byte back once it is taken.

    Only processes of the same user can connect, and batches are given to none but them: a socket that another user
    has put in the way gets nothing. Nothing is retained: who publishes keeps what nobody takes.

    Questions take a connection of their own, the other way: a byte that asks, and an answer with its length.
    """

    heartbeat = 0.5
    private = hasattr(socket, "SO_PEERCRED")
    """Where the system does not tell whose process is at the other end, it is only the socket's mode that says so."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._stream: SocketStream | None = None
        self._questions = Questions()

    async def publish(self, packed: bytes, name: str) -> None:
        """See `Bridge.publish`."""
        stream, self._stream = self._stream, None
        try:
            with anyio.fail_after(_ANSWERS_WITHIN):
                stream = stream or await self._connect()
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

        async def serve(stream: SocketStream) -> None:
            async with stream:
                with suppress(OSError, anyio.BrokenResourceError, anyio.EndOfStream, anyio.IncompleteRead):
                    if not self.private or _is_own(stream):
                        await self._serve(stream, take)

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

    async def ask(self) -> list[bytes] | None:
        """See `Bridge.ask`."""
        return await self._questions.ask()

    async def answer(self, tell: Answer) -> None:
        """See `Bridge.answer`."""
        with suppress(OSError, anyio.BrokenResourceError, anyio.EndOfStream):
            async with await self._connect() as stream:
                await stream.send(_LISTENS)
                while await stream.receive(len(QUESTION)):
                    told = tell()
                    await stream.send(len(told).to_bytes(LENGTH) + told)

    def check_readable(self) -> None:
        """See `Bridge.check_readable`: another collector may listen there, or its folder be missing."""
        _check_free(self.path)

    async def aclose(self) -> None:
        """See `Bridge.aclose`."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.aclose()

    async def _connect(self) -> SocketStream:
        stream = await anyio.connect_unix(self.path)
        if self.private and not _is_own(stream):
            await _give_up(stream)
            raise PermissionError(None, "it is another user's, who is not to see what was captured")
        return stream

    async def _serve(self, stream: SocketStream, take: Take) -> None:
        length = await _receive_exactly(stream, _LENGTH)
        if length == _LISTENS:
            await self._questions.serve(stream, BufferedByteReceiveStream(stream))
            return
        while (size := int.from_bytes(length)) <= _LARGEST:
            take(await _receive_exactly(stream, size), 0.0)
            await stream.send(_TAKEN)
            length = await _receive_exactly(stream, _LENGTH)


async def _receive_exactly(stream: ByteStream, size: int) -> bytes:
    # Not through a buffer, which copies a batch three times over: as a rule it comes in one piece.
    piece = await stream.receive(size) if size else b""
    if len(piece) == size:
        return piece
    pieces, missing = [piece], size - len(piece)
    while missing:
        pieces.append(await stream.receive(missing))
        missing -= len(pieces[-1])
    return b"".join(pieces)


def _is_own(stream: SocketStream) -> bool:
    """Whether the process at the other end is of the user of this one."""
    raw = stream.extra(SocketAttribute.raw_socket)
    _, user, _ = _PEER.unpack(raw.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return bool(user == os.geteuid())


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


async def _give_up(stream: ByteStream) -> None:
    with anyio.CancelScope(shield=True):
        await anyio.aclose_forcefully(stream)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {_ANSWERS_WITHIN:g} s"
    return (error.strerror if isinstance(error, OSError) else str(error)) or "the connection was closed"
