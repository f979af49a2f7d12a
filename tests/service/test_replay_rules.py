import pytest

from reqscope.service.replay_rules import SAFE, ReplayRules


@pytest.mark.parametrize(
    ("rule", "allowed", "refused"),
    [
        ("GET", [("GET", "/"), ("GET", "/a/b")], [("HEAD", "/"), ("POST", "/"), ("get", "/")]),
        ("DELETE", [("DELETE", "/items/1")], [("GET", "/items/1")]),
        ("/items/*", [(method, "/items/1/x") for method in SAFE], [("POST", "/items/1"), ("GET", "/items")]),
        ("/items", [("GET", "/items")], [("GET", "/items/"), ("GET", "/items/1"), ("GET", "/Items")]),
        ("*", [("OPTIONS", "/"), ("GET", "/a\nb")], [("PUT", "/")]),
        ("POST /orders", [("POST", "/orders")], [("POST", "/orders/1"), ("GET", "/orders"), ("POST", "/ordersX")]),
        ("PATCH *.json", [("PATCH", "/a/b.json")], [("PATCH", "/a/bXjson")]),
        ("GET /a*c*", [("GET", "/abcd"), ("GET", "/ac")], [("GET", "/ab")]),
        ("GET /[a](b)", [("GET", "/[a](b)")], [("GET", "/a")]),
    ],
)
def test_a_rule_allows_what_it_names_and_nothing_else(
    rule: str, allowed: list[tuple[str, str]], refused: list[tuple[str, str]]
) -> None:
    rules = ReplayRules([rule])

    assert all(rules.allows(*request) for request in allowed)
    assert not any(rules.allows(*request) for request in refused)


def test_several_rules_allow_what_any_of_them_does_and_none_allow_nothing() -> None:
    rules, none = ReplayRules(["GET", "POST /orders"]), ReplayRules()

    assert (rules.allows("GET", "/x"), rules.allows("POST", "/orders"), rules.allows("POST", "/x")) == (
        True,
        True,
        False,
    )
    assert rules.methods == ("GET", "POST")
    assert not none
    assert not none.allows("GET", "/")


@pytest.mark.parametrize(
    "rule", ["on", "1", "get", "", " ", "GET|POST", "GET items", "GET /a /b", "http://h/", "GET\t/"]
)
def test_a_rule_that_cannot_be_read_is_refused_with_an_example(rule: str) -> None:
    with pytest.raises(ValueError, match=r"such as GET, /items/\* or POST /orders"):
        ReplayRules([rule])
