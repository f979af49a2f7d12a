from reqscope.service.replay_marks import HEADER, Marks

NAME = HEADER.lower().encode()


def test_a_mark_is_good_for_the_one_request_that_bears_it() -> None:
    marks = Marks()
    with marks.expecting("cafe-1") as mark:
        headers = [(b"accept", b"*/*"), (NAME, mark.value.encode())]

        assert marks.take(headers) is mark
        assert marks.take(headers) is None
    assert mark.original == "cafe-1"
    assert mark.value.startswith("cafe-1 ")


def test_a_mark_that_somebody_made_up_is_none() -> None:
    marks = Marks()
    with marks.expecting("cafe-1") as mark:
        for forged in (b"cafe-1", b"cafe-1 ", mark.value.encode()[:-1], mark.value.encode() + b"x", b""):
            assert marks.take([(NAME, forged)]) is None
        assert marks.take([]) is None
        assert marks.take([(NAME, mark.value.encode())]) is mark


def test_no_mark_is_expected_before_and_after() -> None:
    marks = Marks()
    assert not marks.expected
    with marks.expecting("cafe-1") as mark, marks.expecting("cafe-1") as other:
        assert marks.expected
        assert mark.value != other.value

    assert not marks.expected
    assert marks.take([(NAME, mark.value.encode())]) is None
