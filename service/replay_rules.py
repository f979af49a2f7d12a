"""Which requests may be sent again: `GET,POST /orders/*`, written once and asked for each of them."""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

SAFE: Final = ("GET", "HEAD", "OPTIONS")
"""Methods that ask and change nothing (RFC 9110, section 9.2.1)."""

_RULE: Final = re.compile(r"(?:(?P<method>[A-Z]+)(?: +(?P<there>[/*]\S*))?|(?P<path>[/*]\S*))")


class Rule(NamedTuple):
    """Methods, and the paths for which they are allowed."""

    methods: tuple[str, ...]
    paths: re.Pattern[str]


class ReplayRules:
    """Allows what any of its rules allows.

    A rule is a method, for every path; a path, for the methods that are safe; or both: `POST /orders/*`. `*` in a
    path stands for anything, and alone for every path. Paths are those that the application sees: decoded, and below
    the root path.

    :raises ValueError: a rule is written otherwise
    """

    def __init__(self, rules: Iterable[str] = ()) -> None:
        self.rules = tuple(map(_rule, rules))

    def __bool__(self) -> bool:
        return bool(self.rules)

    def allows(self, method: str, path: str) -> bool:
        return any(method in rule.methods and rule.paths.fullmatch(path) for rule in self.rules)

    @property
    def methods(self) -> tuple[str, ...]:
        """Those that are allowed somewhere, in the order in which the rules name them."""
        return tuple(dict.fromkeys(method for rule in self.rules for method in rule.methods))


def _rule(text: str) -> Rule:
    found = _RULE.fullmatch(text)
    if found is None:
        raise ValueError(f"a rule is a method, a path, or both, such as GET, /items/* or POST /orders, and not {text}")
    path = found["there"] or found["path"] or "*"
    pattern = ".*".join(map(re.escape, path.split("*")))
    return Rule((found["method"],) if found["method"] else SAFE, re.compile(pattern, re.DOTALL))
