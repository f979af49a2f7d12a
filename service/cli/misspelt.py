"""Variables of the environment that look like a setting and are none."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Final

from reqscope.service.settings import Settings

_PREFIX: Final = "REQSCOPE_"
_ALIKE: Final = 0.85
"""Of `difflib`'s ratio. `REQSCOPE_URL` and others that mean something elsewhere are less like any setting."""


def misspelt(variables: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each of `variables` that sets nothing and is close to one that does, and that one."""
    known = [name for field in Settings.model_fields for name in Settings.variables(field) if name.startswith(_PREFIX)]
    for variable in sorted(variables):
        name = variable.upper()  # as the settings are read: in any case
        if name.startswith(_PREFIX) and name not in known:
            yield from ((variable, meant) for meant in get_close_matches(name, known, n=1, cutoff=_ALIKE))
