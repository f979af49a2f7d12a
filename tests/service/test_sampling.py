import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from reqscope.bus import Event, EventBus, Stats
from reqscope.service import CaptureMiddleware, Settings
from reqscope.service.pipeline import Pipeline
from reqscope.service.sampling import Sampling

from .conftest import Site, nothing, scope_of, swallow


def ordinary(route: str | None = None, total: float | None = 0.01) -> Event:
    return Event(time=0, status=200, route=route, total=total)


def kept(sampling: Sampling, event: Event, times: int = 1_000) -> int:
    return sum(sampling.keeps(event) for _ in range(times))


def counting(share: float = 1.0, routes: dict[str, float] | None = None, slow: float | None = 1.0) -> Sampling:
    """Return a sampling whose draws go evenly through 0 to 1."""
    draws = iter([number / 1_000 for number in range(1_000)] * 10)
    return Sampling(share, routes, slow, draw=lambda: next(draws))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.25, 0.999, 1.0])
def test_of_ordinary_requests_that_share_is_kept(share: float) -> None:
    assert kept(counting(share), ordinary()) == share * 1_000


def test_a_share_of_a_route_wins_over_that_of_all() -> None:
    routes = {"/health": 0.0, "/orders/{id}": 1.0}

    assert kept(counting(0.5, routes), ordinary("/health")) == 0
    assert kept(counting(0.5, routes), ordinary("/orders/{id}")) == 1_000
    assert kept(counting(0.5, routes), ordinary("/other")) == 500
    assert kept(counting(0.5, routes), ordinary(None)) == 500


@pytest.mark.parametrize(
    "event",
    [
        Event(time=0, status=400),
        Event(time=0, status=503),
        Event(time=0, status=499, error="client_disconnected"),
        Event(time=0, status=200, error="ValueError"),
        ordinary(total=1.0),
        ordinary(total=5.0),
    ],
    ids=repr,
)
def test_what_failed_or_was_slow_is_always_kept(event: Event) -> None:
    assert kept(counting(0.0, {"": 0.0}), event) == 1_000


def test_how_slow_is_slow_can_be_chosen() -> None:
    assert kept(counting(0.0, slow=0.2), ordinary(total=0.2)) == 1_000
    assert kept(counting(0.0, slow=0.2), ordinary(total=0.19)) == 0
    assert kept(counting(0.0, slow=None), ordinary(total=1e9)) == 0
    assert kept(counting(0.0), ordinary(total=None)) == 0


@pytest.mark.parametrize("share", [-0.01, 1.01, float("nan"), float("inf")])
def test_what_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Sampling(share)
    with pytest.raises(ValueError, match="between 0 and 1"):
        Sampling(routes={"/x": share})


def shop() -> Starlette:
    async def page(request: Request) -> Response:
        return PlainTextResponse("page", int(request.path_params["status"]))

    return Starlette(routes=[Route("/pages/{status}", page), Route("/health/{status}", page)])


@pytest.mark.anyio
async def test_all_are_counted_and_what_is_not_kept_is_counted_as_thinned(site: Site, bus: EventBus) -> None:
    stats = Stats(bus)
    sampling = Sampling(1.0, {"/health/{status}": 0.0})
    async with site.client(CaptureMiddleware(shop(), bus, sampling=sampling)) as http:
        for path in ("/health/200", "/pages/200", "/health/503", "/health/200", "/health/302", "/nowhere"):
            await http.get(path)

    assert [(event.path, event.status) for event in bus.ring.since(0).events] == [
        ("/pages/200", 200),
        ("/health/503", 503),
        ("/nowhere", 404),
    ]
    snapshot = stats.snapshot()
    assert (snapshot.events, snapshot.missed) == (6, 0)
    assert snapshot.classes == {"2xx": 3, "3xx": 1, "4xx": 1, "5xx": 1, "other": 0}
    assert (bus.statistics().thinned, bus.statistics().ring.published) == (3, 3)


@pytest.mark.anyio
async def test_many_that_are_not_kept_are_counted_with_and_without_a_reader(bus: EventBus) -> None:
    stats = Stats(bus)
    capture = CaptureMiddleware(PlainTextResponse("hello"), bus, sampling=Sampling(0.0))
    for _ in range(1_234):
        await capture(scope_of(), nothing, swallow)
    assert stats.snapshot().events == 1_234

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stats.run)
        for _ in range(1_234):
            await capture(scope_of(), nothing, swallow)
        bus.close()

    snapshot = stats.snapshot()
    assert (snapshot.events, snapshot.classes["2xx"]) == (2_468, 2_468)
    assert (bus.statistics().thinned, bus.ring.last) == (2_468, 0)


@pytest.mark.anyio
async def test_an_error_is_kept_though_its_answer_is_not_an_error(bus: EventBus) -> None:
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await CaptureMiddleware(fails, bus, sampling=Sampling(0.0))(scope_of(), nothing, swallow)

    (event,) = bus.ring.since(0).events
    assert (event.status, event.error) == (200, "ZeroDivisionError")


@pytest.mark.anyio
async def test_the_settings_say_what_is_kept() -> None:
    settings = Settings(log="none", sample=0, sample_routes={"/pages/{status}": 1}, slow=60)
    pipeline = Pipeline(settings)
    app = pipeline.capture(shop())
    for path in ("/health/200", "/pages/200"):
        await app(scope_of(path=path), nothing, swallow)

    assert [event.path for event in pipeline.bus.ring.since(0).events] == ["/pages/200"]
    assert pipeline.stats.snapshot().events == 2
