import pytest

from reqscope.bus.histogram import Histogram
from reqscope.service.runs.model import Durations, Route, Run, Second
from reqscope.service.runs.thresholds import ThresholdError, parse


def durations(*seconds: float) -> Durations:
    histogram = Histogram()
    histogram.record_all(seconds)
    return Durations(
        count=len(seconds), total=sum(seconds), minimum=min(seconds), maximum=max(seconds), buckets=histogram.buckets()
    )


def run(*seconds: float, errors: int = 0, few: bool = False) -> Run:
    times = seconds if few else seconds * 1_000
    statuses = {200: len(times) - errors, 503: errors}
    route = Route(
        method="GET",
        route="/items/{id}",
        requests=len(times),
        errors=errors,
        statuses=statuses,
        durations=durations(*times),
    )
    return Run(
        id="r",
        label="r",
        started=10.0,
        first=10.0,
        last=20.0,
        requests=len(times),
        errors=errors,
        statuses=statuses,
        durations=durations(*times),
        routes=[route],
        seconds=[Second(time=10, lag=0.02), Second(time=11, lag=0.25), Second(time=12)],
    )


@pytest.mark.parametrize(
    ("text", "judgement"),
    [
        ("p(95)<500", "passed"),
        ("p(95)<300", "failed"),
        ("p(99.9) <= 405 ms", "passed"),
        ("med<0.3s", "passed"),
        ("avg<=250", "passed"),
        ("min>=100", "passed"),
        ("max<400", "failed"),
        ("max==400", "passed"),
        ("rate<0.01", "failed"),
        ("rate(error)<2%", "passed"),
        ("rate(5xx)<=0.01", "passed"),
        ("rate(503)<0.5%", "failed"),
        ("rate(2xx)>0.98", "passed"),
        ("count>=4000", "passed"),
        ("count(5xx)<41", "passed"),
        ("count!=4000", "failed"),
        ("rps>399", "passed"),
        ("lag<100", "failed"),
        ("p(95){route:/items/{id}}<500", "passed"),
        ("p(95){route:GET /items/{id}}<100", "failed"),
        ("count{route:/nowhere}>=0", "failed"),
    ],
)
def test_a_threshold_is_judged_by_the_numbers(text: str, judgement: str) -> None:
    observed = run(0.1, 0.2, 0.3, 0.4, errors=40)

    assert parse(text).judge(observed).judgement == judgement


@pytest.mark.parametrize(
    ("text", "judgement"),
    [("p(95)<+10%", "failed"), ("p(95)<+60%", "passed"), ("p(50)<-10%", "failed"), ("avg<+60ms", "passed")],
)
def test_a_relative_threshold_is_about_the_baseline(text: str, judgement: str) -> None:
    assert parse(text).judge(run(0.15), run(0.1)).judgement == judgement


def test_a_baseline_with_too_few_samples_gives_no_verdict() -> None:
    result = parse("p(95)<+10%").judge(run(0.2), run(0.1, few=True))

    assert result.judgement == "unclear"
    assert "too few samples, the baseline has 1" in result.detail


def test_a_run_without_requests_keeps_to_no_threshold() -> None:
    empty = Run(id="r", label="r", started=1.0)

    assert parse("p(95)<500").judge(empty).judgement == "failed"
    assert parse("rate<0.1").judge(empty).detail == "no requests were seen"


@pytest.mark.parametrize(
    "text",
    [
        *("", "p95<500", "p()<5", "p(0)<5", "p(101)<5", "p(x)<5", "p(95)", "p(95)<", "p(95)<5m", "avg(1)<5"),
        *("rate(6xx)<1", "rate<5s", "count<5%", "speed<5", "p(95)<500 && avg<5", "lag{route:/}<5", "p(95)=<5"),
    ],
)
def test_what_is_no_threshold_is_refused_with_one_that_is(text: str) -> None:
    with pytest.raises(ThresholdError) as caught:
        parse(text)

    assert repr(text) in str(caught.value)
