import pytest

from reqscope.bus import Event
from reqscope.service import Redaction
from reqscope.service.faults import Faults
from reqscope.service.heads import pack
from reqscope.service.runs.detection import Mark, by_mark, find_mark
from reqscope.service.sealed import Gate, SealedEnding, SealedExchange


def headers(**named: str) -> list[tuple[bytes, bytes]]:
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()]


def sealed(pairs: list[tuple[bytes, bytes]]) -> Event:
    """An event as capture publishes it."""
    exchange = SealedExchange(Gate(Redaction(), Faults(), 0), "/", b"", pack(pairs), b"")
    return Event(time=1, sealed=exchange)


def mark_of(event: Event) -> Mark | None:
    """What the only event of a batch says."""
    ((mark, events),) = by_mark([event]).items()
    assert events == [event]
    return mark


@pytest.mark.parametrize(
    ("agent", "tool"),
    [
        ("Grafana k6/2.2.0", "k6"),
        ("k6/0.49.0 (https://k6.io/)", "k6"),
        ("hey/0.0.1", "hey"),
        ("oha/1.15.0", "oha"),
        ("ApacheBench/2.3", "ab"),
        ("Mozilla/5.0 (pc-x86_64-linux-gnu) Siege/4.0.7", "siege"),
        ("python/gevent-http-client-2.6.1", "locust"),
        ("Apache-HttpClient/4.5 (JMeter 5.6)", "jmeter"),
        ("vegeta 12", "vegeta"),
        ("wrk/4.1.0", "wrk"),
    ],
)
def test_a_load_tool_is_known_by_its_user_agent(agent: str, tool: str) -> None:
    sent = headers(host="x", user_agent=agent)

    assert find_mark(dict(sent)) == Mark("", tool, "user-agent")
    assert mark_of(sealed(sent)) == Mark("", tool, "user-agent")


@pytest.mark.parametrize("agent", ["python-requests/2.34.2", "curl/8.0", "heyday/1", "Mozilla/5.0 (X11) Firefox/140"])
def test_other_clients_are_no_load_tools(agent: str) -> None:
    assert find_mark(dict(headers(host="x", user_agent=agent))) is None


def test_wrk_is_known_by_sending_a_host_and_nothing_else() -> None:
    assert find_mark(dict(headers(host="x"))) == Mark("", "wrk", "signature")
    assert mark_of(sealed(headers(host="x"))) == Mark("", "wrk", "signature")
    assert find_mark(dict(headers(host="x", accept="*/*"))) is None


def test_what_names_a_run_counts_more_than_the_tool_and_is_made_printable() -> None:
    named = find_mark(dict(headers(user_agent="hey/0.0.1", x_reqscope_run=" a\x1b[31mb ")))

    assert mark_of(sealed(headers(user_agent="x", x_reqscope_run="main"))) == Mark("main", "", "header")
    assert mark_of(sealed(headers(user_agent="x", baggage="test.run.id=1"))) == Mark("1", "", "baggage")
    assert named == Mark("a\N{REPLACEMENT CHARACTER}[31mb", "hey", "header")
    assert find_mark(dict(headers(traceparent="00-dc0718" + "0" * 26 + "-" + "1" * 16 + "-01"))) == Mark(
        "", "k6", "trace"
    )


def test_an_event_that_was_opened_still_tells_its_mark() -> None:
    event = Event(time=1, request_headers=tuple(headers(x_reqscope_run="main")))

    assert mark_of(event) == Mark("main", "", "header")


def test_a_batch_is_told_apart_whether_its_events_were_opened_or_not() -> None:
    opened = Event(time=1, request_headers=tuple(headers(x_reqscope_run="main")))
    ended = sealed(headers(user_agent="hey/0.0.1"))
    ended.sealed = SealedEnding(Gate(Redaction(), Faults(), 0), ended.sealed, None, ())
    torn = Event(time=1, sealed=SealedExchange(Gate(Redaction(), Faults(), 0), "/", b"", b"torn", b""))
    main, hey, wrk, none = (
        sealed(headers(x_reqscope_run="main")),
        sealed(headers(user_agent="hey/0.0.1")),
        sealed(headers(host="x")),
        Event(time=1),
    )

    assert by_mark([opened, main, ended, none, wrk, hey, torn]) == {
        Mark("main", "", "header"): [opened, main],
        Mark("", "hey", "user-agent"): [ended, hey],
        Mark("", "wrk", "signature"): [wrk],
        None: [none, torn],
    }
