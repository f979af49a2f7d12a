"""Events that go to another process sealed are there what they would have been here."""

from collections.abc import Callable

import msgspec
import pytest

from reqscope.bus import Event
from reqscope.service.bodies import Chunks
from reqscope.service.bridge.carried import Sealer, Unsealer, was_raised
from reqscope.service.bridge.packed import Packed, Rules, pack, unpack
from reqscope.service.failures import keep
from reqscope.service.faults import Faults
from reqscope.service.heads import pack as pack_head
from reqscope.service.redaction import Redaction
from reqscope.service.redaction.names import SENSITIVE
from reqscope.service.sealed import Gate, RawLine, SealedEnding, SealedExchange, SealedRecord

SECRET = "geheim-4711"
CAP = 200

REDACTION = Redaction()
GATE = Gate(REDACTION, Faults(), CAP)
RULES = Rules(SENSITIVE, CAP)


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(REDACTION, RULES)


@pytest.fixture
def unsealer() -> Unsealer:
    return Unsealer(Faults())


def chunks(*parts: bytes, cap: int = CAP) -> Chunks:
    kept = Chunks(cap)
    for part in parts:
        kept.add(part)
    return kept


def exchange(gate: Gate = GATE, line: str = f"password={SECRET}", **more: object) -> SealedExchange:
    lines: tuple[RawLine, ...] = ((5, "info", "shop", line),)
    head = pack_head([(b"authorization", f"Bearer {SECRET}".encode()), (b"content-type", b"application/json")])
    answer = pack_head([(b"set-cookie", f"session={SECRET}".encode()), (b"content-type", b"text/plain")])
    body, answered = chunks(f'{{"password": "{SECRET}"'.encode(), b"}"), chunks(b"x" * 300)
    sealed = SealedExchange(gate, "/ä", f"token={SECRET}".encode(), head, answer, "id-1", body, answered, lines)
    return msgspec.structs.replace(sealed, **more)


def captured(sealed: SealedExchange | SealedEnding | SealedRecord | None = None, **more: object) -> Event:
    fields = {"status": 200, "route": "/{x}", "request_size": 25, "response_size": 300, "size": 900, **more}
    return Event(time=1, sealed=sealed or exchange(), **fields)  # type: ignore[arg-type]


def failed(message: str = f"password={SECRET}") -> Event:
    try:
        raise ValueError(message) from KeyError("k")
    except ValueError as error:
        return captured(SealedEnding(GATE, exchange(), keep(error), ((6, "error", "shop", message),)))


def batch(*events: Event, **more: object) -> Packed:
    return Packed(worker="1", boot="cafe", number=1, after=0, events=list(events), **more)  # type: ignore[arg-type]


def fields(event: Event) -> dict[str, object]:
    return msgspec.structs.asdict(event.open())


@pytest.mark.parametrize("make", [captured, failed], ids=["exchange", "ending"])
def test_what_is_opened_there_is_what_would_be_opened_here(
    make: Callable[[], Event], sealer: Sealer, unsealer: Unsealer
) -> None:
    (there,) = unsealer.unpack(sealer.pack(batch(make()))).events

    assert there.sealed is not None
    assert there.path == ""
    assert there.glance() == make().glance()
    assert fields(there) == fields(make())
    assert SECRET not in str(fields(there))
    assert there.request_body is not None
    assert there.logs


def test_an_exception_is_known_before_it_is_opened(sealer: Sealer, unsealer: Unsealer) -> None:
    raised, fine, opened = unsealer.unpack(sealer.pack(batch(failed(), captured(), failed().open()))).events

    assert [was_raised(each) for each in (raised, fine, opened)] == [True, False, True]
    assert raised.open().failure == failed().open().failure


def test_it_is_masked_by_the_rules_of_the_worker_whatever_those_here_are(unsealer: Unsealer) -> None:
    own = Redaction(["colour"])
    sealer = Sealer(own, Rules(("colour",), 10))
    event = captured(exchange(Gate(own, Faults(), 10), query=b"token=abcdef&colour=reddish"))

    (there,) = unsealer.unpack(sealer.pack(batch(event))).events

    assert there.open().query.startswith(b"token=abcdef&colour=")
    assert b"reddish" not in there.query
    assert there.response_body is not None
    assert len(there.response_body.data) == 10


@pytest.mark.parametrize(
    "sealed",
    [
        exchange(Gate(Redaction((*SENSITIVE, "colour")), Faults(), CAP)),
        exchange(Gate(REDACTION, Faults(), CAP + 1)),
        SealedRecord(GATE),
        exchange(line=f"password={SECRET} \udcff"),
    ],
    ids=["other redaction", "other cap", "record", "no UTF-8"],
)
def test_what_cannot_go_sealed_is_opened_before(
    sealed: SealedExchange | SealedRecord, sealer: Sealer, unsealer: Unsealer
) -> None:
    before, there, after = unsealer.unpack(sealer.pack(batch(captured(), captured(sealed), captured()))).events

    assert there.sealed is None
    assert before.sealed is not None
    assert after.sealed is not None
    assert SECRET not in str(msgspec.structs.asdict(there))


def test_nobody_who_prints_what_is_carried_sees_a_secret(sealer: Sealer, unsealer: Unsealer) -> None:
    packed = unsealer.unpack(sealer.pack(batch(captured(), failed())))

    assert SECRET not in repr(packed)
    assert SECRET not in repr(packed.events)


def test_what_cannot_be_read_says_nothing_of_what_is_in_it(sealer: Sealer, unsealer: Unsealer) -> None:
    data = sealer.pack(batch(captured()))
    for cut in range(0, len(data), 7):
        with pytest.raises(msgspec.DecodeError) as caught:
            unsealer.unpack(data[:cut])
        assert SECRET not in str(caught.value)
    spoilt = data.replace(b"Bearer", b"Bea\xffer").replace(b"/\xc3\xa4", b"/\xff\xff")
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)) as failure:
        unsealer.unpack(spoilt)
    assert SECRET not in str(failure.value)


def test_a_head_that_is_none_costs_one_event_its_text_and_is_counted(sealer: Sealer) -> None:
    faults = Faults()
    event = captured(exchange(request_head=b"\xff no head"))
    (there,) = Unsealer(faults).unpack(sealer.pack(batch(event))).events

    assert there.open().request_headers == ()
    assert faults.statistics().total > 0


def test_where_others_can_write_nothing_sealed_is_taken(sealer: Sealer) -> None:
    with pytest.raises(msgspec.DecodeError, match="sealed"):
        unpack(sealer.pack(batch(captured())))


def test_what_was_opened_before_is_read_too(unsealer: Unsealer) -> None:
    packed = batch(captured().open(), missed=3, in_flight=2)

    assert unsealer.unpack(pack(packed)) == packed


def test_each_of_many_rules_is_followed_even_those_of_long_ago(unsealer: Unsealer) -> None:
    for number in (*range(40), 0):
        redaction = Redaction([f"colour{number}"])
        gate, rules = Gate(redaction, Faults(), CAP), Rules((f"colour{number}",), CAP)
        data = Sealer(redaction, rules).pack(batch(captured(exchange(gate, query=b"colour%d=reddish" % number))))

        (there,) = unsealer.unpack(data).events
        assert b"reddish" not in there.open().query


def test_packing_opens_nothing(sealer: Sealer) -> None:
    events = [captured() for _ in range(10)]
    sealer.pack(batch(*events))

    assert all(event.sealed is not None for event in events)
