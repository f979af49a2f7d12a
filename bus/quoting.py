"""Text that secrets are still to be put into, quoted so that a shell or Python reads it as it is, byte for byte.

Only printable ASCII comes out, and nothing that a shell would expand, whatever goes in.
"""

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Final, TypeAlias

Text: TypeAlias = list[bytes | str]
"""Pieces: what stands there as bytes, and the names of variables as strings."""

_MASK: Final = re.compile(rb"\[redacted\]#([0-9a-f]{6})")
_BARE: Final = re.compile(rb"[A-Za-z0-9_./:@+-]+")
_PRINTABLE: Final = re.compile(rb"[ -~]*")
_SHORT: Final = {0x09: r"\t", 0x0A: r"\n", 0x0D: r"\r", 0x5C: r"\\"}
# Two of these are printable, but looked for by history expansion, which knows less of quotes than the shell does.
_BY_NUMBER: Final = [byte for byte in range(256) if not 0x20 <= byte < 0x7F or byte in b"'!"]
_BETWEEN_QUOTES: Final = {byte: f"\\x{byte:02x}" for byte in _BY_NUMBER} | _SHORT
"""How bytes are written between `$'` and `'`."""
_IN_A_FORMAT: Final = {byte: f"\\{byte:03o}" for byte in _BY_NUMBER} | _SHORT | {0x25: "%%"}
"""How bytes are written in a format of printf, between single quotes."""


class Secrets:
    """Gives each mask a variable, the same one wherever the mask stands."""

    def __init__(self) -> None:
        self._places: dict[bytes, list[str]] = {}

    def split(self, data: bytes, place: str) -> Text:
        """Return `data` with a variable in the place of each mask.

        :param place: where that is, in letters, digits, dashes and spaces
        """
        literals = _MASK.split(data)
        for index in range(1, len(literals), 2):
            places = self._places.setdefault(literals[index], [])
            if place not in places:
                places.append(place)
        return [self._name(piece) if index % 2 else piece for index, piece in enumerate(literals) if piece]

    def masked(self, text: Text) -> bytes:
        """Return what `split` made `text` of: the masks stand there again."""
        masks = {self._name(digits): b"[redacted]#" + digits for digits in self._places}
        return b"".join(masks[piece] if isinstance(piece, str) else piece for piece in text)

    @property
    def names(self) -> list[str]:
        """The variables to set, in the order in which they were met."""
        return [self._name(digits) for digits in self._places]

    def told(self) -> list[str]:
        """Return a sentence that says which variable is which mask, and where it stands."""
        if not self._places:
            return []
        each = [
            f"{self._name(digits)} was masked as {digits.decode()} in {' and '.join(places)}"
            for digits, places in self._places.items()
        ]
        return [f"Set first: {', '.join(each)}."]

    def _name(self, digits: bytes) -> str:
        number = [*self._places].index(digits) + 1
        return "TOKEN" if number == 1 else f"TOKEN{number}"


def literal(text: Text) -> bytes:
    """Return what is known of `text`: all but its variables."""
    return b"".join(piece for piece in text if isinstance(piece, bytes))


def shell(text: Text) -> str:
    """Return a word for bash and zsh that means `text`, which must hold no NUL."""
    return "".join(f'"${piece}"' if isinstance(piece, str) else _word(piece) for piece in _merged(text)) or "''"


def printf(text: Text) -> str:
    """Return a command for bash and zsh that writes `text`, whatever it holds and however long it is."""
    form = "".join("%s" if isinstance(piece, str) else _format(piece) for piece in text)
    if form.startswith("-"):
        form = r"\055" + form[1:]
    return " ".join([f"printf '{form}'", *(f'"${piece}"' for piece in text if isinstance(piece, str))])


def python(text: Text) -> str:
    """Return an expression for Python that means `text`, as bytes."""
    return " + ".join(piece if isinstance(piece, str) else repr(piece) for piece in _merged(text)) or repr(b"")


def _merged(text: Text) -> Iterator[bytes | str]:
    """Yield the pieces, those of bytes that stand side by side as one."""
    for literal_ones, pieces in groupby(text, lambda piece: isinstance(piece, bytes)):
        together = list(pieces)
        yield from [literal(together)] if literal_ones else together


def _word(data: bytes) -> str:
    if _BARE.fullmatch(data):
        return data.decode()
    if _PRINTABLE.fullmatch(data) and b"'" not in data:
        return f"'{data.decode()}'"
    return f"$'{data.decode('latin-1').translate(_BETWEEN_QUOTES)}'"


def _format(data: bytes) -> str:
    return data.decode("latin-1").translate(_IN_A_FORMAT)
