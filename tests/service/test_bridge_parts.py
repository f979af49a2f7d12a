"""A batch in parts is whole again at the other end, whatever comes in between, twice or never."""

from hypothesis import given
from hypothesis import strategies as st

from reqscope.service.bridge.parts import Parts, split


@given(st.binary(min_size=1), st.integers(1, 50))
def test_parts_are_put_together_again(data: bytes, size: int) -> None:
    parts = list(split(data, "a worker 1", size))
    together = Parts()

    *before, last = [together.add(part, piece) for part, piece in parts]

    assert before == [None] * (len(parts) - 1)
    assert last == data
    assert all(len(piece) <= size for _, piece in parts)


def test_batches_may_take_turns_and_parts_may_come_twice() -> None:
    together = Parts()
    one, two = list(split(b"abcd", "one", 2)), list(split(b"efgh", "two", 2))

    came = [together.add(*each) for each in (one[0], two[0], one[0], one[1], one[1], two[1])]

    assert came == [None, None, None, b"abcd", None, b"efgh"]


def test_what_lacks_its_beginning_is_no_batch() -> None:
    together = Parts()
    parts = list(split(b"abcdef", "one", 2))

    assert [together.add(*each) for each in (parts[1], parts[2])] == [None, None]


def test_beginnings_of_publishers_that_died_are_forgotten() -> None:
    together = Parts()
    for number in range(1_000):
        together.add(f"worker-{number} 1 2", b"x")

    assert together.add("worker-0 2 2", b"y") is None
    assert together.add("worker-999 2 2", b"y") == b"xy"
