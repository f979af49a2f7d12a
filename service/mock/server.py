"""A mock in a thread of its own, for tests: stubs from Python, and questions about what was asked."""

import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import anyio
import anyio.from_thread
import msgspec
import uvicorn

from reqscope.service.collector import fallback_app
from reqscope.service.launcher import Server

from .app import MockApp
from .chaos import Chaos
from .store import StubStore
from .stub import Stub, StubRequest
from .verify import Count, Verify, request_of, verify

T = TypeVar("T")

_START: Final = 10.0


class MockServer:
    """A service that answers from stubs, on a free port of this machine, while the block lasts.

    What a test asks about requests is up to date as soon as the client has its answer: nothing needs to be waited
    for. Every method may be called from any thread.

    :param paths: files and folders of stubs to begin with
    :raises StubError: one of them is wrong
    """

    def __init__(self, *paths: str | Path) -> None:
        self._store = StubStore([Path(path) for path in paths])
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._portal: Any = None
        self._exit: Callable[..., object] = lambda *_: None
        self._server = Server(
            uvicorn.Config(
                MockApp(self._store, fallback_app()),
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=1,
            )
        )

    @property
    def url(self) -> str:
        """The address, without a slash at its end."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        portal = anyio.from_thread.start_blocking_portal("asyncio")
        self._portal = portal.__enter__()
        self._exit = portal.__exit__
        self._ended: Future[None] = self._portal.start_task_soon(self._server.serve, [self._listener])
        self._portal.call(self._ready)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._ended.result(_START)
        self._exit(None, None, None)
        self._listener.close()

    def stub(
        self,
        method: str | Sequence[str] | None = None,
        path: str | None = None,
        *,
        status: int = 200,
        json: Any = msgspec.UNSET,
        body: str | None = None,
        headers: dict[str, Any] | None = None,
        responses: Sequence[dict[str, Any]] | None = None,
        when: dict[str, Any] | None = None,
        response: dict[str, Any] | None = None,
        **more: Any,
    ) -> str:
        """Add a stub, before those there are, and return its key.

        :param when: what else a request must be like, as under `request` in a file: query, headers, json, ...
        :param response: what else the answer is like, as under `response` in a file: delay, fault, ...
        :param responses: several answers instead, given in turn
        :param more: what else a stub may say: name, priority, state, limit, errors, at_end
        :raises msgspec.ValidationError: an argument is none of a stub's, naming it
        :raises StubError: a pattern or a JSONPath is wrong
        """
        request = {"method": method, "path": path, **(when or {})}
        stub: dict[str, Any] = {"request": {key: value for key, value in request.items() if value is not None}, **more}
        if responses is None:
            given = {"status": status, "json": json, "body": body, "headers": headers}
            absent = (None, msgspec.UNSET)
            stub["response"] = {key: value for key, value in given.items() if not any(value is each for each in absent)}
            stub["response"] |= response or {}
        else:
            stub["responses"] = list(responses)
        made = msgspec.convert(stub, Stub)
        return self._call(lambda: self._store.add(made))

    def load(self, *paths: str | Path) -> None:
        """Add the stubs of files and folders, in any format that `reqscope mock` understands.

        :raises StubError: one is wrong
        """
        from .files import files_of, load_file

        stubs = [each.stub for path in paths for file in files_of(Path(path)) for each in load_file(file)]
        self._call(lambda: self._store.add_all(stubs))

    def verify(
        self,
        method: str | None = None,
        path: str | None = None,
        *,
        count: int | None = None,
        at_least: int = 1,
        at_most: int | None = None,
        stub: str | None = None,
        **conditions: Any,
    ) -> int:
        """Return how many requests were so, after checking that it is as many as said.

        :param conditions: what else they must be like: query, headers, json, json_path, form, body
        :raises AssertionError: they were more or fewer, saying which requests come nearest
        """
        __tracebackhide__ = True
        wanted = Verify(
            request=request_of(method, path, conditions),
            stub=stub,
            count=Count(at_least=at_least, at_most=at_most) if count is None else count,
        )
        return self._verdict(wanted)

    def verify_order(self, *requests: tuple[str, str] | dict[str, Any]) -> None:
        """Check that requests came in this order; others may have come in between.

        :param requests: method and path of each, or what a request must be like as a dict
        :raises AssertionError: they did not
        """
        __tracebackhide__ = True
        patterns = [
            request_of(None, None, each) if isinstance(each, dict) else StubRequest(method=each[0], path=each[1])
            for each in requests
        ]
        self._verdict(Verify(order=patterns))

    def chaos(self, share: float = 0.5, **more: Any) -> None:
        """Have a share of all answers go wrong: `status`, `fault`, `delay`, `seconds`. `share=0` ends it."""
        chaos = msgspec.convert({"share": share, **more}, Chaos) if share else None
        self._call(lambda: setattr(self._store, "chaos", chaos))

    def reset(self) -> None:
        """Forget requests, hits and states; stubs stay."""
        self._call(self._store.reset)

    @property
    def requests(self) -> list[dict[str, Any]]:
        """What was asked, oldest first: `method`, `path`, `query`, `headers`, `body`, and the `stub` that answered."""
        return self._call(
            lambda: [
                {
                    "method": each.method,
                    "path": each.path,
                    "query": {name: values[0] for name, values in each.query.items()},
                    "headers": {name: ", ".join(values) for name, values in each.headers.items()},
                    "body": each.body,
                    "stub": each.stub,
                }
                for each in self._store.journal.requests()
            ]
        )

    async def _ready(self) -> None:
        with anyio.fail_after(_START):
            await self._server.ready.wait()

    def _verdict(self, wanted: Verify) -> int:
        __tracebackhide__ = True
        verdict = self._call(lambda: verify(self._store, wanted))
        if not verdict.ok:
            raise AssertionError(verdict.message)
        return verdict.count

    def _call(self, step: Callable[[], T]) -> T:
        """Do something where the requests are answered, so that neither gets into the other's way."""
        found: T = self._portal.call(step)
        return found
