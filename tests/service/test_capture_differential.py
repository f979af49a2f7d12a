"""Generated applications and requests, with capture and without it: nobody can tell the difference.

Every case is one application and one request, run twice. What is compared is everything that the server and the
application see of each other, in the order in which they see it: see `Run` in `generated_apps.py`.
"""

import asyncio
import contextvars
import gc
import importlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

import anyio
import pytest
from hypothesis import Phase, event, example, given, settings
from hypothesis import strategies as st
from starlette.types import ASGIApp

from . import framework_apps, generated_apps
from .framework_apps import Site
from .generated_apps import HeaderList, Options, Pauses, Plan, Return, Run, Send_, Step, Suspension, Watch

PROVE: Final = settings.get_current_profile_name() == "prove"
CASES: Final[Counter[str]] = Counter()
"""How many cases were compared, by kind."""

DIFFERENT: Final[Counter[str]] = Counter()
"""How many of them differed, those among them that hypothesis tried while it looked for the smallest."""

_NEEDED: Final = 10_000
_MOST_PAUSES: Final = 15 if PROVE else 4

BACKENDS: Final[dict[str, dict[str, Any]]] = {
    "asyncio": {"backend": "asyncio"},
    "uvloop": {"backend": "asyncio", "backend_options": {"use_uvloop": True}},
    "trio": {"backend": "trio"},
}

pytestmark = [
    # Starlette leaves its generators to the event loop when a request is cut short, with capture and without it.
    pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning"),
]
each_backend: Final = pytest.mark.parametrize("backend", BACKENDS)


@pytest.fixture(scope="module", autouse=True)
def figure(request: pytest.FixtureRequest, record_testsuite_property: Callable[[str, object], None]) -> Iterator[None]:
    """Tell at the end how many cases there were."""
    yield
    record_testsuite_property("capture_differential_cases", sum(CASES.values()))
    record_testsuite_property("capture_differential_differences", sum(DIFFERENT.values()))
    reporter: Any = request.config.pluginmanager.get_plugin("terminalreporter")
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(CASES.items()))
    capture: Any = request.config.pluginmanager.get_plugin("capturemanager")
    cases, different = sum(CASES.values()), sum(DIFFERENT.values())
    with capture.global_and_fixture_disabled():
        reporter.write_line(f"\ncapture compared with none: {cases} cases, {different} differences ({kinds})")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What capture logs about garbage is tested elsewhere, and takes time."""
    logger = logging.getLogger("reqscope")
    logger.disabled, logging.getLogger("reqscope.service.faults").disabled = True, True
    yield
    logger.disabled, logging.getLogger("reqscope.service.faults").disabled = False, False


def examples(fast: int, prove: int) -> settings:
    return settings(max_examples=prove if PROVE else fast, phases=set(Phase) - {Phase.explain})


# One run, and two of them compared.


def bare(app: ASGIApp) -> ASGIApp:
    return app


Make: TypeAlias = Callable[[Pauses], tuple[Run, Callable[[Callable[[ASGIApp], ASGIApp]], ASGIApp]]]
"""Returns a new run, and a function that gives its application, watched."""


def observe(backend: str, make: Make, watch: Callable[[ASGIApp], ASGIApp], cancel_at: int = 0) -> tuple[Run, int]:
    """Run an application in an event loop of its own, and return what was seen, and how many pauses there were."""

    async def drive() -> tuple[Run, int]:
        pauses = Pauses(cancel_at)
        run, app = make(pauses)
        framework_apps.running.set(run)
        try:
            with pauses.scope:
                await run.drive(app(watch))
        except BaseException as error:
            run.note_error("server catches", error)
        run.note("cancelled", pauses.scope.cancelled_caught)
        return run, pauses.count

    trio: Any = importlib.import_module("trio._core._run")
    trio._ALLOW_DETERMINISTIC_SCHEDULING = True  # the order in which its tasks run is random, by design
    trio._r.seed(0)
    gc.disable()  # generators that nobody ends are ended when they are collected
    try:
        return anyio.run(drive, **BACKENDS[backend])
    finally:
        gc.enable()


def compare(kind: str, backend: str, chosen: Options, make: Make) -> Watch:
    """Compare an application with the same under capture; then again, cancelled at every pause it makes.

    :return: the capture that watched the run that was not cancelled
    """
    watch = Watch(chosen)
    expected, pauses = observe(backend, make, bare)
    same(kind, expected, observe(backend, make, watch.around)[0], watch)
    for number in range(1, min(pauses, _MOST_PAUSES) + 1):
        cancelled = Watch(chosen)
        expected, _ = observe(backend, make, bare, number)
        same(f"{kind}, cancelled", expected, observe(backend, make, cancelled.around, number)[0], cancelled)
    return watch


def same(kind: str, expected: Run, seen: Run, watch: Watch) -> None:
    CASES[kind] += 1
    DIFFERENT[kind] += seen.log != expected.log or watch.in_flight > 0
    assert seen.log == expected.log
    assert watch.in_flight == 0


def counted_once(watch: Watch, kind: str) -> None:
    """Capture was there: it had one event of the request, or a fault instead."""
    chosen, counts = watch.options, watch.counted()
    event(f"{kind}: {'faults' if watch.faults else 'no faults'}")
    if kind == "lifespan" or chosen.ignored:
        assert counts == [0] * len(counts)
    elif not watch.faults:
        assert counts == [1] * len(counts)


# Scripts.


def scripted(kind: str, steps: tuple[Step, ...], plan: Plan) -> Make:
    def make(pauses: Pauses) -> tuple[Run, Callable[[Callable[[ASGIApp], ASGIApp]], ASGIApp]]:
        run = Run(kind, steps, plan, pauses)
        return run, lambda watch: watch(run.app)

    return make


@pytest.mark.parametrize("form", generated_apps.HEADER_FORMS)
@pytest.mark.parametrize(
    ("kind", "start"),
    [
        ("http", "http.response.start"),
        ("websocket", "websocket.accept"),
        ("websocket", "websocket.http.response.start"),
    ],
)
def test_headers_of_any_form_are_the_servers_to_read(kind: str, start: str, form: str) -> None:
    headers = HeaderList(((b"x-one", b"1"), (b"x-two", b"2")), form)
    compare(
        kind,
        "asyncio",
        Options(),
        scripted(kind, (Send_({"type": start, "status": 200, "headers": headers}),), Plan()),
    )


@pytest.mark.guarantees("F31", "F33")
@pytest.mark.parametrize("kind", ["http", "websocket", "lifespan"])
@each_backend
def test_an_application_of_any_steps_is_the_same_with_capture(backend: str, kind: str) -> None:
    @examples({"http": 40, "websocket": 20}.get(kind, 10), {"http": 2_500, "websocket": 800}.get(kind, 200))
    @given(generated_apps.scripts(kind), generated_apps.plans(kind), generated_apps.options)
    @example((Return(5),), Plan(), Options())
    def compared(steps: tuple[Step, ...], plan: Plan, chosen: Options) -> None:
        watch = compare(kind, backend, chosen, scripted(kind, steps, plan))
        counted_once(watch, kind)

    compared()


# Frameworks.


@pytest.mark.guarantees("F31", "F33")
@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("framework", ["starlette", "fastapi"])
@each_backend
def test_an_application_of_a_framework_is_the_same_with_capture_anywhere_in_it(
    backend: str, framework: str, kind: str
) -> None:
    @examples(20 if kind == "http" else 8, 700 if kind == "http" else 200)
    @given(st.data(), framework_apps.sites(framework), generated_apps.options)
    def compared(data: st.DataObject, site: Site, chosen: Options) -> None:
        plan: Plan = data.draw(framework_apps.visits(site, kind))

        def make(pauses: Pauses) -> tuple[Run, Callable[[Callable[[ASGIApp], ASGIApp]], ASGIApp]]:
            return Run(kind, (), plan, pauses), site.app

        watch = compare(f"{framework} {kind}", backend, chosen, make)
        event(f"status {plan.scope[0][1]}")
        assert watch.faults == 0
        if site.place in ("outside", "outermost"):
            counted_once(watch, kind)

    compared()


# By hand.


def by_hand(run: Run, app: ASGIApp, thrown: BaseException | None, at: int) -> int:
    """Drive `app` without an event loop, and throw an exception in at suspension number `at`."""
    coroutine: Any = run.drive(app)
    count = 0
    try:
        suspension = coroutine.send(None)
        while True:
            assert isinstance(suspension, Suspension)
            count += 1
            if count != at:
                suspension = coroutine.send(None)
            elif thrown is None:
                coroutine.close()
                run.note("closed")
                break
            else:
                suspension = coroutine.throw(thrown)
    except StopIteration:
        run.note("ended")
    except BaseException as error:
        run.note_error("driver catches", error)
    return count


THROWN: Final[list[type[BaseException] | None]] = [
    None,
    GeneratorExit,
    asyncio.CancelledError,
    KeyboardInterrupt,
    SystemExit,
    generated_apps.Unusual,
    ValueError,
    RecursionError,
    generated_apps.OutOfMemory,
]


@pytest.mark.guarantees("F30", "F31")
@pytest.mark.parametrize("kind", ["http", "websocket", "lifespan"])
def test_whatever_is_thrown_in_at_any_suspension_comes_out_as_it_went_in(kind: str) -> None:
    def run_with(
        steps: tuple[Step, ...],
        plan: Plan,
        watch: Callable[[ASGIApp], ASGIApp],
        thrown: type[BaseException] | None,
        at: int,
    ) -> tuple[Run, int]:
        run = Run(kind, steps, plan, Suspension)
        error = None if thrown is None else run.new(thrown("thrown in", at))
        return run, contextvars.Context().run(by_hand, run, watch(run.app), error, at)

    @examples(20, 500)
    @given(
        generated_apps.scripts(kind, loop=False),
        generated_apps.plans(kind),
        generated_apps.options,
        st.sampled_from(THROWN),
    )
    def compared(steps: tuple[Step, ...], plan: Plan, chosen: Options, thrown: type[BaseException] | None) -> None:
        _, count = run_with(steps, plan, bare, None, 0)
        for at in range(count + 1):
            watch = Watch(chosen)
            expected, _ = run_with(steps, plan, bare, thrown, at)
            same(f"{kind}, by hand", expected, run_with(steps, plan, watch.around, thrown, at)[0], watch)

    compared()


# The suite itself.


async def _drops_a_chunk(app: ASGIApp, scope: Any, receive: Any, send: Any) -> None:
    async def dropping(message: Any) -> None:
        if message.get("body") != b"x":
            await send(message)

    await app(scope, receive, dropping)


async def _copies_messages(app: ASGIApp, scope: Any, receive: Any, send: Any) -> None:
    await app(scope, receive, lambda message: send({**message}))


async def _copies_the_scope(app: ASGIApp, scope: Any, receive: Any, send: Any) -> None:
    await app({**scope}, receive, send)


async def _leaves_a_variable(app: ASGIApp, scope: Any, receive: Any, send: Any) -> None:
    generated_apps.variable.set(99)
    await app(scope, receive, send)


async def _wraps_errors(app: ASGIApp, scope: Any, receive: Any, send: Any) -> None:
    try:
        await app(scope, receive, send)
    except Exception as error:
        raise RuntimeError from error


async def _pauses(app: ASGIApp, scope: Any, receive: Any, send: Any) -> None:
    async def late(message: Any) -> None:
        await anyio.lowlevel.checkpoint()
        await send(message)

    await app(scope, receive, late)


async def _answers_with_none(app: ASGIApp, scope: Any, receive: Any, send: Any) -> None:
    await app(scope, receive, send)


@pytest.mark.parametrize(
    "harm",
    [
        _drops_a_chunk,
        _copies_messages,
        _copies_the_scope,
        _leaves_a_variable,
        _wraps_errors,
        _pauses,
        _answers_with_none,
    ],
)
@each_backend
def test_middleware_that_does_harm_would_be_found(backend: str, harm: Callable[..., Any]) -> None:
    def wrap(app: ASGIApp) -> ASGIApp:
        return lambda scope, receive, send: harm(app, scope, receive, send)

    start = {"type": "http.response.start", "status": 200, "headers": []}
    body = {"type": "http.response.body", "body": b"x", "more_body": True}
    child = generated_apps.Spawn((generated_apps.Sleep(), generated_apps.SetVariable(5)))
    ending: Step = generated_apps.Raise(ValueError) if harm is _wraps_errors else Return(5)
    make = scripted("http", (child, Send_(start), Send_(body), generated_apps.Sleep(), ending), Plan())

    expected, _ = observe(backend, make, bare)
    seen, _ = observe(backend, make, wrap)
    assert expected.log != seen.log


def test_enough_cases_were_compared() -> None:
    # In the order of this file, it is the last.
    assert sum(CASES.values()) >= (_NEEDED if PROVE else 1)
