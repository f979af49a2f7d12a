"""Variables of the environment that look like a setting and are none."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Final

from reqscope.service.settings import Settings

_PREFIX: Final = "REQSCOPE_"
_OTHERS: Final = frozenset(
    ("REQSCOPE_URL", "REQSCOPE_TOKEN", "REQSCOPE_RUN", "REQSCOPE_COMPILE", "REQSCOPE_SERVICE_HOST")
)
"""Those that mean something elsewhere; the last is what Kubernetes sets for a service of this name."""


def misspelt(variables: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each of `variables` that sets nothing and is close to one that does, and that one."""
    known = [name for field in Settings.model_fields for name in Settings.variables(field) if name.startswith(_PREFIX)]
    for variable in sorted(variables):
        if not variable.upper().startswith(_PREFIX) or variable.upper() in {*known, *_OTHERS}:
            continue
        yield from ((variable, meant) for meant in get_close_matches(variable.upper(), known, n=1, cutoff=0.85))
