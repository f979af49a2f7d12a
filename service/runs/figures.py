"""How numbers of a run are written for people."""

from typing import Final

NOTHING: Final = "\N{EN DASH}"
"""Where there is no number."""


def duration(seconds: float | None) -> str:
    """Three digits and a unit, or a dash for nothing."""
    if seconds is None:
        return NOTHING
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms" if seconds < 0.9995 else "1.00 s"
    return f"{seconds:.3g} s" if seconds < 999.5 else f"{seconds:.0f} s"


def size(count: float | None) -> str:
    """Bytes in binary units, three digits of them."""
    if count is None:
        return NOTHING
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def number(value: float) -> str:
    """With thousands separated by thin spaces; three digits at the least."""
    return f"{value:,.0f}".replace(",", "\u202f") if value >= 100 or value == int(value) else f"{value:.3g}"


def share(part: int, whole: int) -> str:
    """Percent, as exact as it is small."""
    if not whole or not part:
        return "0 %"
    percent = 100 * part / whole
    return f"{percent:.1f} %" if percent >= 1 else f"{percent:.2g} %"


def change(before: float | None, after: float | None) -> str:
    """By how many percent something grew or shrank."""
    if before is None or after is None:
        return NOTHING
    if not before:
        return "0 %" if not after else "new"
    percent = 100 * (after - before) / before
    return f"{percent:+.1f} %" if abs(percent) < 100 else f"{percent:+.0f} %"
