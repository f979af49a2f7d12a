"""Whether a text is worth a closer look for sensitive names. For most text it is not."""

import re
from collections.abc import Iterable
from typing import Final

_ASCII_ESCAPE: Final = re.compile(rb"\\u00([2-7][0-9a-fA-F])")
_GAPS: Final = b"-_.[] "
_LOWER: Final = bytes(range(256)).lower()
# Lower case, with a space for whatever is no letter and does not hold the words of a name together.
_SPLIT: Final = bytes(byte if chr(byte).isalpha() or byte in b"-_.[]" or byte > 0x7F else 0x20 for byte in _LOWER)


class Hints(dict[bytes, int]):
    """Whether a text could hold a sensitive name, as quickly as that can be said.

    It goes by the words in the text, most of which have been met before. What it remembers of each is whether a
    sensitive name could be in it, or end with it, the rest of the name being in the words before.

    :param names: the words of each sensitive name
    """

    _BOUND = 4096
    _LONGEST = 64
    _MANY = 4096  # of a text so long most words have not been met
    _BEFORE = 2  # so many words before the last one may be a part of the name
    _NO, _END, _YES = range(3)

    def __init__(self, names: list[list[str]]) -> None:
        super().__init__()
        self._cores = _cores("".join(words) for words in names)
        hidden = [words for words in names if not self._has_core(" ".join(words).encode(), b"")]
        self._last = frozenset(words[-1].encode() for words in hidden)
        self._foreign = not all(word.isascii() and word.isalpha() for words in names for word in words)

    def suspect(self, data: bytes) -> bool:
        """Return whether a sensitive name could be in there.

        It errs on one side only: where it says no, there is none, unless it is percent-encoded.
        """
        if self._foreign:
            return True
        if data.find(b"\\u00") >= 0:
            data = _ASCII_ESCAPE.sub(_escaped, data)
        if len(data) > self._MANY:
            return self._has_core(data)
        words = data.translate(_SPLIT).split()
        hints = list(map(self.__getitem__, words))
        hint = max(hints, default=self._NO)
        return hint == self._YES or (hint == self._END and self._is_parted(words, hints))

    def _is_parted(self, words: list[bytes], hints: list[int]) -> bool:
        """Return whether some words make up a name together: `API key`."""
        ends = [index for index, hint in enumerate(hints) if hint == self._END]
        runs = (b"".join(words[max(0, end - self._BEFORE) : end + 1]) for end in ends)
        return any(self[run] == self._YES for run in runs)

    def __missing__(self, word: bytes) -> int:
        hint = self._YES if self._has_core(word) else self._END if word in self._last else self._NO
        if len(word) <= self._LONGEST:
            if len(self) >= self._BOUND:
                self.clear()
            self[word] = hint
        return hint

    def _has_core(self, data: bytes, gaps: bytes = _GAPS) -> bool:
        squeezed = data.translate(_LOWER, gaps)
        return any(squeezed.find(core) >= 0 for core in self._cores)


def _cores(names: Iterable[str]) -> tuple[bytes, ...]:
    """Return the fewest strings of which every name contains one."""
    cores: list[str] = []
    for name in sorted(names, key=len):
        if not any(core in name for core in cores):
            cores.append(name)
    return tuple(core.encode() for core in cores if core.isascii())


def _escaped(match: re.Match[bytes]) -> bytes:
    return bytes.fromhex(match[1].decode())
