"""Answers in the form of the question.

By hand, in protobuf too: each is a message of one or two fields, and it has to be said that protobuf is not installed
where it is not.
"""

from typing import Final

from reqscope.bus.encoding import encode

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"


def accepted(content_type: str, rejected_name: str, rejected: int = 0, error: str = "") -> bytes:
    """Return an `Export…ServiceResponse`: everything was taken, or all but `rejected` records.

    :param rejected_name: the JSON name of their count
    """
    if content_type == JSON:
        # A 64-bit integer is text in protobuf's JSON.
        partial = {"partialSuccess": {rejected_name: str(rejected), "errorMessage": error}}
        return encode(partial if rejected else {})
    return _field(1, b"\x08" + _varint(rejected) + _field(2, error.encode())) if rejected else b""


def refused(content_type: str, detail: str) -> bytes:
    """Return a `google.rpc.Status` that says why nothing was taken."""
    return encode({"message": detail}) if content_type == JSON else _field(2, detail.encode())


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])
