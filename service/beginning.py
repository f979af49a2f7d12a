"""Where an exchange begins: the request is looked at, and the code that runs belongs to it from then on."""

from time import perf_counter, time_ns

from starlette.types import Receive, Scope, Send

from . import correlation
from .bodies import Chunks
from .exchange import Exchange
from .heads import encode, listed
from .ongoing import enter, latest, numbers, undo, unended, unfinished
from .plan import CapturePlan
from .websocket import WebSocketExchange


def begin(plan: CapturePlan, scope: Scope, receive: Receive, send: Send) -> Exchange | None:
    """Return the exchange that begins with that scope; None for what is not watched, and where watching it fails.

    Not watched is what an outer capture with the same bus has begun, too. What fails leaves nothing behind.
    """
    try:
        kind = scope["type"]
        if (kind != "http" and kind != "websocket") or (plan.ignored_prefixes and plan.ignores(scope)):
            return None
        if plan.faults.off and not plan.faults.admits():
            plan.skipped += 1
            return None
        before = latest()
        outer = unfinished(before) if before else None
        if outer is not None and outer.is_of(plan.bus, scope):
            return None
        headers, number = scope["headers"], next(numbers)
        if type(headers) is not list:
            headers = listed(headers)
        head, root = encode(headers), scope.get("root_path", "")
        request_id, bound, token = "", correlation.UNBOUND, None
        try:
            if plan.correlate:
                afresh = before != 0 and (outer is None or outer.number != before)
                request_id, bound = correlation.begin(headers, head, number, afresh)
            token = enter(number)
            exchange = Exchange() if kind == "http" else WebSocketExchange()
            exchange.begin(  # by position: naming the fields costs half as much again
                plan,
                scope,
                receive,
                send,
                outer,
                root,
                time_ns(),
                perf_counter(),
                head,
                len(headers),
                number,
                request_id,
                bound,
                token,
            )
            if plan.bodies != "off":
                exchange.request_body, exchange.response_body = Chunks(plan.gate.body_cap), Chunks(plan.gate.body_cap)
            if plan.marks.expected:
                exchange.mark = plan.marks.take(headers)
            unended[number] = exchange
            plan.bus.in_flight.add(exchange)
            return exchange
        except Exception:
            undo(plan.bus, number, (token, *bound))
            raise
    except Exception as error:
        plan.faults.record("begin", error)
        return None
