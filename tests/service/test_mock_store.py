from pathlib import Path
from typing import Any

import pytest

from reqscope.service.mock import StubError, StubStore
from reqscope.service.mock.chaos import Chaos
from reqscope.service.mock.stub import Stub

from .mocking import answered, asked, store_of


def said(store: StubStore, *request: Any) -> tuple[int, bytes]:
    found = store.answer(asked(*request))
    assert found is not None
    return found[1].status, found[1].body


class TestWhichStubAnswers:
    def test_the_lowest_priority_wins_and_then_the_first_of_the_file(self) -> None:
        store = store_of("""
            stubs:
            - {name: any, priority: 9}
            - {name: first, request: {path: "/a/{x}"}}
            - {name: second, request: {path: /a/b}}
            - {name: urgent, priority: 1, request: {path_regex: "/.*/urgent"}}
        """)

        assert [answered(store, "GET", path) for path in ("/a/b", "/a/urgent", "/other")] == ["first", "urgent", "any"]

    def test_what_comes_through_the_api_goes_before_what_was_there(self) -> None:
        store = store_of("stubs: [{name: old}]")
        store.add(Stub(name="new"))

        assert answered(store) == "new"

    def test_the_method_counts(self) -> None:
        store = store_of("stubs: [{name: a, request: {method: [GET, put], path: /a}}]")

        assert [answered(store, method, "/a") for method in ("GET", "PUT", "POST", "HEAD")] == ["a", "a", None, "a"]

    def test_only_stubs_of_the_method_and_the_first_segment_are_looked_at(self) -> None:
        lines = [f"- {{request: {{method: GET, path: '/s{n}/{{id}}'}}}}" for n in range(1_000)]
        store = store_of("stubs:\n" + "\n".join(lines))

        assert len(list(store.index.candidates(asked("GET", "/s500/7")))) == 1
        assert list(store.index.candidates(asked("POST", "/s500/7"))) == []


class TestOneAfterAnother:
    def test_responses_come_in_turn_and_the_last_stays(self) -> None:
        store = store_of("{request: {path: /a}, responses: [{status: 500}, {status: 200}]}")

        assert [said(store, "GET", "/a")[0] for _ in range(4)] == [500, 200, 200, 200]

    def test_responses_are_repeated_where_that_is_asked_for(self) -> None:
        store = store_of("{at_end: repeat, responses: [{status: 500}, {status: 200}]}")

        assert [said(store)[0] for _ in range(4)] == [500, 200, 500, 200]

    def test_a_stub_at_its_end_leaves_the_others_to_answer(self) -> None:
        store = store_of("stubs: [{name: once, at_end: unmatched, responses: [{}]}, {name: then}]")

        assert [answered(store) for _ in range(3)] == ["once", "then", "then"]

    def test_states_lead_from_one_stub_to_another(self) -> None:
        store = store_of("""
            - {name: new, request: {method: GET}, state: {of: order, is: started}}
            - {name: pay, request: {method: POST}, state: {of: order, is: started, becomes: paid}}
            - {name: paid, request: {method: GET}, state: {of: order, is: paid}}
        """)

        assert [answered(store, method) for method in ("GET", "POST", "GET", "POST")] == ["new", "pay", "paid", None]
        store.reset()
        assert answered(store, "GET") == "new"

    def test_more_than_the_limit_are_told_when_to_come_back(self) -> None:
        store = store_of("{limit: {requests: 2, per: 60s}}")

        assert [said(store)[0] for _ in range(3)] == [200, 200, 429]
        found = store.answer(asked())
        assert found is not None
        assert 1 <= int(dict(found[1].headers)[b"retry-after"]) <= 60


class TestErrors:
    def test_a_share_of_the_answers_is_an_error(self) -> None:
        store = store_of("{errors: {share: 0.5, status: 502}}")
        statuses = [said(store)[0] for _ in range(400)]

        assert set(statuses) == {200, 502}
        assert 120 < statuses.count(502) < 280

    def test_chaos_hits_every_stub_and_ends_by_itself(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 100.0
        monkeypatch.setattr("reqscope.service.mock.store.time.monotonic", lambda: now)
        store = store_of("name: any")
        store.chaos = Chaos(share=1, seconds=10)

        assert said(store)[0] == 503
        now = 109.9
        assert said(store)[0] == 503
        now = 110.1
        assert said(store)[0] == 200
        assert store.chaos is None


class TestFiles:
    def test_a_broken_file_keeps_its_last_good_stubs_and_the_others_are_read(self, tmp_path: Path) -> None:
        one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
        one.write_text("stubs: [{name: one, request: {path: /one}}]")
        two.write_text("stubs: [{name: two, request: {path: /two}}]")
        store = StubStore([tmp_path])
        one.write_text("stubs:\n- request:\n    pth: /one\n")
        two.write_text("stubs: [{name: changed, request: {path: /two}}]")

        (error,) = store.reload()

        assert (error.file, error.line, error.key) == (one, 3, "stubs[0].request.pth")
        assert [answered(store, "GET", path) for path in ("/one", "/two")] == ["one", "changed"]
        one.write_text("stubs: []")
        assert store.reload() == []
        assert answered(store, "GET", "/one") is None

    def test_a_file_that_is_wrong_at_the_start_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text("stubs: [{request: 3}]")

        with pytest.raises(StubError, match=r"a\.yaml:1: stubs\[0\]\.request"):
            StubStore([tmp_path])

    def test_an_edit_holds_until_the_file_changes_and_what_is_off_stays_off(self, tmp_path: Path) -> None:
        file = tmp_path / "a.yaml"
        file.write_text("stubs: [{name: a, request: {path: /a}}, {name: b, request: {path: /b}}]")
        store = StubStore([file])
        a, b = (each.key for each in store.index.stubs)
        store.replace(a, Stub(name="edited"))
        store.enable(b, enabled=False)
        store.reload()

        assert answered(store, "GET", "/any") == "edited"
        assert store.is_edited(a)
        assert not store.find_stub(b).enabled
        file.write_text(file.read_text() + "\n# a comment\n")
        store.reload()
        assert answered(store, "GET", "/any") == "edited"  # the same stubs
        file.write_text("stubs: [{name: a, request: {path: /a}}]")
        store.reload()
        assert [answered(store, "GET", path) for path in ("/a", "/b", "/any")] == ["a", None, None]

    def test_to_clear_is_to_go_back_to_the_files(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text("stubs: [{name: a, request: {path: /a}}]")
        store = StubStore([tmp_path])
        store.delete(store.index.stubs[0].key)
        store.add(Stub(name="new"))
        answered(store)
        store.clear()

        assert [each.name for each in store.index.stubs] == ["a"]
        assert store.journal.requests() == []


def test_all_stubs_of_an_import_are_added_or_none() -> None:
    store = StubStore()

    with pytest.raises(StubError):
        store.add_all([Stub(name="good"), _bad()])

    assert store.index.stubs == []


def _bad() -> Stub:
    from reqscope.service.mock.stub import StubRequest

    return Stub(request=StubRequest(path_regex="("))


def test_requests_are_remembered_up_to_a_bound() -> None:
    store = store_of("name: any")
    for _ in range(40):
        store.answer(asked("POST", "/", b"x" * 1_000_000))

    assert 25 < len(store.journal.requests()) < 40
    assert store.journal.dropped == 40 - len(store.journal.requests())
