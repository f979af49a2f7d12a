import json

import pytest

from reqscope.service import Redaction

from .canaries import CANARIES

REDACTION = Redaction()
MASKED = REDACTION.mask(b"s3cret")
KEY = next(canary.secret for canary in CANARIES if canary.name == "github p").encode()
FORM = b"application/x-www-form-urlencoded"


@pytest.mark.parametrize("content_type", [FORM, FORM + b"; charset=utf-8", b"", b"text/plain"])
@pytest.mark.parametrize(
    ("body", "masked"),
    [
        (b"user=ada&password=s3cret&n=1", b"user=ada&password=" + MASKED + b"&n=1"),
        (b"password=s3cret", b"password=" + MASKED),
        (b"user%5Bpassword%5D=s3c%72et&n=+1", b"user%5Bpassword%5D=" + MASKED + b"&n=+1"),
        (b"password=&n=1", b"password=&n=1"),
    ],
)
def test_the_fields_of_a_form_are_masked(content_type: bytes, body: bytes, masked: bytes) -> None:
    assert REDACTION.body(body, content_type) == masked


def test_json_in_a_form_stays_json() -> None:
    body = REDACTION.body(b"payload=%7B%22pin%22%3A123%2C%22n%22%3A1%7D&x=1", FORM)

    assert body == b"payload=%7B%22pin%22%3A%22" + REDACTION.mask(b"123") + b"%22%2C%22n%22%3A1%7D&x=1"


PARTS = (
    b'preamble\r\n--B\r\nContent-Disposition: form-data; name="page"\r\n\r\n2\r\n'
    b"--B\r\ncontent-disposition: form-data; filename=a.txt; name=user[password]\r\n\r\n%s\r\n"
    b'--B\r\nContent-Disposition: form-data; name="data"\r\nContent-Type: application/json\r\n\r\n{"token": "%s"}\r\n'
    b'--B\r\nContent-Disposition: form-data; name="file"; filename="password"\r\n'
    b"Content-Type: image/png\r\n\r\n\x89PNG\x00\xff%s\x00\r\n"
    b"--B--\r\nepilogue"
)


@pytest.mark.guarantees("45")
@pytest.mark.parametrize("content_type", [b"multipart/form-data; boundary=B", b'multipart/mixed; a=b; Boundary="B"'])
def test_the_parts_of_a_form_are_masked_each_in_its_way(content_type: bytes) -> None:
    body = PARTS % (b"s3cret\r\nor two", b"s3cret", KEY)

    assert REDACTION.body(body, content_type) == PARTS % (
        REDACTION.mask(b"s3cret\r\nor two"),
        MASKED,
        REDACTION.mask(KEY),
    )


@pytest.mark.guarantees("45")
@pytest.mark.parametrize("content_type", [b"", b"text/plain", b"multipart/form-data; boundary=wrong"])
def test_a_boundary_is_found_where_it_is_not_declared(content_type: bytes) -> None:
    body = PARTS.removeprefix(b"preamble\r\n")

    assert REDACTION.body(body % (b"a b", b"s3cret", b""), content_type) == body % (REDACTION.mask(b"a b"), MASKED, b"")


@pytest.mark.guarantees("45")
def test_parts_inside_parts_are_masked() -> None:
    inner = b'--C\r\nContent-Disposition: form-data; name="pin"\r\n\r\n%s\r\n--C--'
    outer = b"--B\r\nContent-Type: multipart/mixed; boundary=C\r\n\r\n%s\r\n--B--"

    assert REDACTION.body(outer % (inner % b"s3cret"), b"multipart/mixed; boundary=B") == outer % (inner % MASKED)


@pytest.mark.guarantees("44")
@pytest.mark.parametrize("length", range(len(b"s3cret") + 1))
def test_a_part_that_is_cut_off_is_masked(length: int) -> None:
    head = b'--B\r\nContent-Disposition: form-data; name="pin"\r\n\r\n'
    secret = b"s3cret"[:length]

    masked = head + (REDACTION.mask(secret) if secret else b"")
    assert REDACTION.body(head + secret, b"multipart/form-data; boundary=B", complete=False) == masked


@pytest.mark.guarantees("16", "17")
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("declared", [True, False])
def test_wide_characters_are_decoded_and_encoded_again(encoding: str, declared: bool) -> None:
    content_type = f"application/json; charset={encoding}".encode() if declared else b""
    body, clean = ('{"password": "%s", "é": "😀"}', '{"é": "😀", "n": 1}')

    masked = REDACTION.body((body % "s3cret").encode(encoding), content_type)
    assert masked == (body % MASKED.decode()).encode(encoding)
    assert REDACTION.body(clean.encode(encoding), content_type) == clean.encode(encoding)
    assert REDACTION.readable(clean.encode(encoding), content_type)


@pytest.mark.guarantees("16", "17")
def test_wide_characters_may_be_broken() -> None:
    body = '{"password": "s3cret'.encode("utf-16-le")
    broken = '{"password": "s3cret"}'.encode("utf-32-le") + b"\xff\xff\xff\xff"

    assert (
        REDACTION.body(body + b"\x00", b"", complete=False).decode("utf-16-le").startswith('{"password": "[redacted]#')
    )
    assert b"s\0\0\x003" not in REDACTION.body(broken, b"")


@pytest.mark.guarantees("16", "17")
def test_a_declared_charset_that_is_a_lie_hides_nothing() -> None:
    assert REDACTION.body(b'{"password": "s3cret"}', b"text/plain; charset=utf-16") == b'{"password": "%s"}' % MASKED


@pytest.mark.guarantees("16", "17")
@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff"])
def test_a_byte_order_mark_that_lies_hides_nothing(mark: bytes) -> None:
    assert REDACTION.body(mark + b"password=s3cret&n=1", FORM) == mark + b"password=" + MASKED + b"&n=1"


@pytest.mark.guarantees("18", "45")
@pytest.mark.parametrize(
    "body", [b'{"password": "s3cret", "n": "caf\xe9"}', b'{"password": "s3cret"}\0', b'\xef\xbb\xbf{"pin":"s3cret"}']
)
def test_bytes_that_do_not_belong_there_hide_nothing(body: bytes) -> None:
    assert REDACTION.body(body, b"application/octet-stream") == body.replace(b"s3cret", MASKED)


def test_of_a_binary_body_nothing_changes_but_what_looks_like_a_secret() -> None:
    noise = bytes(range(256)) * 4
    body = noise + b" password=shown " + KEY + noise

    assert REDACTION.body(body, b"image/png") == body.replace(KEY, REDACTION.mask(KEY))
    assert REDACTION.body(noise, b"") == noise


@pytest.mark.parametrize(
    ("body", "masked"),
    [
        (b"<a><password>s3cret</password><n>1</n></a>", b"<a><password>%s</password><n>1</n></a>"),
        (b"<x:Token t='1'> s3cret </x:Token>", b"<x:Token t='1'> %s </x:Token>"),
        (b"<pin><![CDATA[s3cret]]></pin>", b"<pin><![CDATA[%s]]></pin>"),
        (b'<a password="s3cret" n="1"/>', b'<a password="%s" n="1"/>'),
        (b"<password/><n>1</n>", b"<password/><n>1</n>"),
        (b"<password></password>", b"<password></password>"),
        (b"<n>1</n><password>s3cret", b"<n>1</n><password>%s"),
    ],
)
def test_elements_and_attributes_of_xml_are_masked(body: bytes, masked: bytes) -> None:
    assert REDACTION.body(body, b"application/xml") == masked.replace(b"%s", MASKED)


def test_an_element_is_masked_with_all_that_is_in_it() -> None:
    inside = b"<user>a</user><credentials>b</credentials><pw>c</pw>"

    body = b"<a><credentials>%s</credentials><n>1</n></a>"
    assert REDACTION.body(body % inside, b"text/xml") == body % REDACTION.mask(inside)


@pytest.mark.parametrize(
    ("body", "content_type", "readable"),
    [
        (b"", b"", True),
        (b'{"a": 1}', b"application/json", True),
        (b"plain", b"image/png", True),
        ("café".encode(), b"text/plain", True),
        ("café".encode()[:-1], b"text/plain", True),
        (b"caf\xe9 x", b"text/plain", False),
        (b"caf\xe9 x", b"text/plain; charset=latin-1", True),
        (b"\x89PNG\r\n\x1a\n\x00\x00", b"image/png", False),
        (b"\x1f\x8b\x08\x00\x00", b"application/json", False),
        (b"\x08\x96\x01", b"application/grpc", False),
        (PARTS, b"multipart/form-data; boundary=B", True),
    ],
)
def test_what_is_readable_is_text_of_any_kind(body: bytes, content_type: bytes, readable: bool) -> None:
    assert REDACTION.readable(body, content_type) is readable


@pytest.mark.guarantees("44")
def test_a_secret_is_masked_wherever_the_body_is_cut_off() -> None:
    body = json.dumps({"id": 1, "user": {"password": "s3cret-value-of-some-length"}, "n": 2}).encode()
    start = body.index(b"s3cret")
    for end in range(start, len(body)):
        assert b"s3" not in REDACTION.body(body[:end], b"application/json", complete=False)
        assert REDACTION.body(body[:end], b"", complete=False).startswith(body[:start])
