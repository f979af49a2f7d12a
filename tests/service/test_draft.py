import base64
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqscope.bus import Body, Event
from reqscope.bus.resend import CannotCopyError
from reqscope.service.draft import Draft, DraftError, Edited, Outgoing, draft, outgoing

BASE = "http://127.0.0.1:8000"
MASK, OTHER = "[redacted]#1f3a9c", "[redacted]#00beef"


def request(method: str = "GET", path: str = "/items", **more: Any) -> Event:
    if (data := more.pop("data", None)) is not None:
        more |= {"request_body": Body(data=data, captured=len(data)), "request_size": len(data)}
    return Event(time=0, method=method, path=path, **more)


def form(event: Event) -> Draft:
    return draft(event, BASE)


def sent(event: Event, **edits: Any) -> Outgoing:
    return outgoing(form(event), Edited(**edits))


def refused(event: Event, **edits: Any) -> DraftError:
    with pytest.raises(DraftError) as caught:
        sent(event, **edits)
    return caught.value


def test_what_was_captured_is_a_form_with_its_masks() -> None:
    event = request(
        "POST",
        "/a b/ü",
        query=f"x=%20&token={MASK}".encode(),
        request_headers=(
            (b"host", b"shop.example"),
            (b"Authorization", f"Bearer {OTHER}".encode()),
            (b"x-name", b"caf\xe9"),
        ),
        data=f'{{"password": "{MASK}"}}'.encode(),
    )

    assert form(event) == Draft(
        method="POST",
        target=f"/a%20b/%C3%BC?x=%20&token={MASK}",
        headers=[("host", "shop.example"), ("authorization", f"Bearer {OTHER}"), ("x-name", "café")],
        body=f'{{"password": "{MASK}"}}',
        body_base64=None,
        missing="",
        notes=[],
    )


def test_without_masks_and_edits_it_is_sent_as_it_was() -> None:
    data = bytes(range(256))
    event = request("PUT", "/ü", query=b"a=%2f", request_headers=((b"x-name", b"caf\xe9"),), data=data)

    assert form(event).body_base64 == base64.b64encode(data).decode()
    assert sent(event) == Outgoing("PUT", b"/%C3%BC?a=%2f", [(b"x-name", b"caf\xe9")], data)


def test_what_was_edited_takes_the_place_of_what_was_captured() -> None:
    event = request("POST", request_headers=((b"a", b"1"),), data=b"old")

    edited = sent(event, method="PATCH", target="/ü?q=1 2", headers=[("B", " 2 "), ("b", "3")], body=b"new")

    assert edited == Outgoing("PATCH", b"/%C3%BC?q=1%202", [(b"b", b"2"), (b"b", b"3")], b"new")


def test_headers_between_hops_and_a_mark_of_before_are_left_out() -> None:
    headers = [
        *[("connection", "keep-alive, X-Hop"), ("x-hop", "1"), ("Transfer-Encoding", "chunked"), ("te", "trailers")],
        *[("upgrade", "h2c"), ("content-length", "999"), ("x-reqscope-replay", "cafe-1 x"), ("x-kept", "1")],
    ]
    captured = request(request_headers=tuple((name.encode(), value.encode()) for name, value in headers))

    assert form(captured).headers == [("x-kept", "1")]
    assert sent(request(), headers=headers).headers == [(b"x-kept", b"1")]


class TestSecrets:
    def test_each_is_encoded_for_where_it_stands(self) -> None:
        event = request(
            "POST",
            f"/by/{MASK}",
            query=f"token={MASK}".encode(),
            request_headers=((b"x-key", MASK.encode()), (b"content-type", b"application/json")),
            data=f'{{"key": "{MASK}", "other": "{OTHER}"}}'.encode(),
        )

        filled = sent(event, secrets={"1f3a9c": 'a/b &"ü', "00beef": "\\"})

        encoded = b"a%2Fb%20%26%22%C3%BC"
        assert filled.target == b"/by/" + encoded + b"?token=" + encoded
        assert filled.headers[0] == (b"x-key", 'a/b &"ü'.encode())
        assert filled.body == '{"key": "a/b &\\"ü", "other": "\\\\"}'.encode()

    @pytest.mark.parametrize(
        ("content_type", "expected"),
        [
            (b"application/x-www-form-urlencoded", b"pin=a%26b"),
            (b"text/plain", b"pin=a&b"),
            (b"application/problem+json", b"pin=a&b"),
        ],
    )
    def test_a_body_is_encoded_by_its_type(self, content_type: bytes, expected: bytes) -> None:
        event = request("POST", request_headers=((b"content-type", content_type),), data=f"pin={MASK}".encode())

        assert sent(event, secrets={"1f3a9c": "a&b"}).body == expected

    def test_those_that_are_not_given_are_named(self) -> None:
        event = request(query=f"a={MASK}&b={OTHER}".encode(), request_headers=((b"cookie", OTHER.encode()),))

        assert refused(event).masks == ["00beef", "1f3a9c"]
        assert refused(event, secrets={"1f3a9c": "x"}).masks == ["00beef"]
        assert refused(event, secrets={"1f3a9c": "x", "00beef": ""}).masks == ["00beef"]
        assert OTHER in str(refused(event, secrets={"1f3a9c": "x"}))
        assert sent(event, target="/", headers=[]).target == b"/"

    @pytest.mark.parametrize(
        "left",
        ["[redacted]", "[REDACTED]#12", "%5Bredacted%5D%231f3a9c", "%5bredacted]#1f3a9c", "[redacted]#1f3"],
    )
    def test_what_is_left_of_a_mask_is_not_sent_either(self, left: str) -> None:
        for edits in ({"target": f"/?a={left}"}, {"headers": [("a", left)]}, {"body": left.encode()}):
            assert "mask" in str(refused(request("POST"), **edits))

    def test_one_that_is_itself_a_mask_is_not_sent(self) -> None:
        event = request(query=f"a={MASK}".encode())

        assert refused(event, secrets={"1f3a9c": MASK})
        assert refused(request("POST"), body="[redacted]#1f3a9c".encode("utf-16-le"))

    @given(
        st.lists(st.sampled_from([MASK, OTHER, "[redacted]", "%5Bredacted%5D", "x", "=", "&", "%", "#", '"', "é"])),
        st.dictionaries(st.sampled_from(["1f3a9c", "00beef"]), st.text(max_size=12)),
    )
    def test_whatever_is_captured_edited_and_given_no_mask_is_ever_sent(
        self, pieces: list[str], secrets: dict[str, str]
    ) -> None:
        text = "".join(pieces)
        event = request(
            "POST", f"/{text}", query=text.encode(), request_headers=((b"a", text.encode()),), data=text.encode()
        )
        for edits in ({}, {"target": f"/{text}", "body": text.encode()}):
            try:
                request_ = sent(event, secrets=secrets, **edits)
            except DraftError:
                continue
            whole = b"\n".join([request_.target, *(value for _, value in request_.headers), request_.body or b""])
            assert b"[redacted]" not in unquote_to_bytes(whole)


class TestMissing:
    @pytest.mark.parametrize(
        ("event", "reason"),
        [
            (request("POST", request_size=9), "the body of 9 bytes was not captured"),
            (request("POST", request_size=9, request_body=Body(data=b"abc", captured=3)), "only 3 of 9 bytes"),
            (
                request("POST", request_size=3, request_body=Body(data=b"", captured=3, withheld="a sign-in")),
                "the body was withheld",
            ),
        ],
    )
    def test_a_body_that_was_not_captured_whole_has_to_be_given(self, event: Event, reason: str) -> None:
        assert form(event).missing
        assert form(event).notes == []
        assert reason in str(refused(event))
        assert sent(event, body=b"given").body == b"given"
        assert sent(event, body=b"").body == b""

    def test_a_path_that_was_withheld_has_to_be_given(self) -> None:
        assert form(request(path="[withheld]")).target == ""
        assert "path" in str(refused(request(path="[withheld]")))
        assert sent(request(path="[withheld]"), target="/x").target == b"/x"

    def test_a_request_without_a_body_has_none(self) -> None:
        assert sent(request()).body is None


@pytest.mark.guarantees("77")
@pytest.mark.parametrize(
    ("edits", "words"),
    [
        ({"method": "GET / HTTP/1.1\r\nx:"}, "method"),
        ({"method": "BRÜH"}, "method"),
        ({"method": ""}, "method"),
        ({"target": "http://elsewhere/"}, "slash"),
        ({"target": "@elsewhere"}, "slash"),
        ({"target": "/a#b"}, "%23"),
        ({"headers": [("x y", "1")]}, "name of a header"),
        ({"headers": [("x\r\ny", "1")]}, "name of a header"),
        ({"headers": [("ü", "1")]}, "HTTP does not carry"),
        ({"headers": [("x", "1\r\nhost: elsewhere")]}, "header x"),
        ({"headers": [("x", "a\0b")]}, "header x"),
        ({"headers": [("x", "→")]}, "HTTP does not carry"),
    ],
)
def test_what_is_no_http_is_refused_with_what_is_wrong(edits: dict[str, Any], words: str) -> None:
    assert words in str(refused(request(), **edits))


@pytest.mark.guarantees("77")
def test_a_line_feed_in_a_secret_is_refused_in_a_header() -> None:
    event = request(request_headers=((b"cookie", MASK.encode()),))

    assert "header cookie" in str(refused(event, secrets={"1f3a9c": "a\r\nhost: x"}))


@pytest.mark.guarantees("77")
def test_a_target_with_line_feeds_is_encoded() -> None:
    assert sent(request(), target="/a\r\nhost: x").target == b"/a%0D%0Ahost:%20x"


def test_what_is_no_request_is_no_form() -> None:
    with pytest.raises(CannotCopyError):
        form(Event(time=0, kind="websocket", method="GET", path="/"))
