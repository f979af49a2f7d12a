"""The page around a report: one file that needs nothing else, reads in light and dark, and prints."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

_STYLE: Final = """
:root { color-scheme: light dark;
  --page: #f6f7f9; --card: #fff; --line: #e3e6eb; --text: #1a1f29; --soft: #5b6472;
  --good: #13784a; --bad: #c3263b; --warn: #8a5200; --good-page: #e3f5ec; --bad-page: #fdeaec; --warn-page: #fff4dc;
  --c2xx: #4fb286; --c3xx: #6aa7e8; --c4xx: #eaa53c; --c5xx: #e0576a; --other: #a9b0bb;
  --p50: #2b9aa8; --p95: #7a58c9; --p99: #c2478e; --max: #9aa3b2; --flight: #2468b4; --lag: #b4552d;
  --run0: #2468b4; --run1: #b4552d; --run2: #13784a; --run3: #7a58c9; --run4: #c2478e; --run5: #2b9aa8; --run6: #a35f00;
  --run7: #5b6472; }
@media screen and (prefers-color-scheme: dark) { :root { --page: #0f1319;
  --card: #171c24; --line: #2a313d; --text: #e5e9f0;
  --soft: #98a2b3; --good: #58c694; --bad: #ff7d8d; --warn: #f0b350; --good-page: #14301f; --bad-page: #3a1a20;
  --warn-page: #3a2c10; --c2xx: #3f9a72; --c3xx: #4d86c6; --c4xx: #c98a2d; --c5xx: #cf4a5e; --other: #6b7280;
  --p50: #4fc3d1; --p95: #a98df0; --p99: #ee7fbb; --max: #7b8494; --flight: #79b4f5; --lag: #f0946a;
  --run0: #79b4f5; --run1: #f0946a; --run2: #58c694; --run3: #a98df0; --run4: #ee7fbb; --run5: #4fc3d1; --run6: #f0b350;
  --run7: #98a2b3; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 28px 20px 48px; background: var(--page); color: var(--text);
  font: 14px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; display: grid; grid-template-columns: minmax(0, 1fr); gap: 16px; }
h1 { margin: 0; font-size: 24px; line-height: 1.25; overflow-wrap: anywhere; }
h2 { margin: 0 0 10px; font-size: 15px; }
p { margin: 4px 0; }
.soft, .meta { color: var(--soft); } .meta { overflow-wrap: anywhere; }
section, .figures { border: 1px solid var(--line); border-radius: 12px; background: var(--card); }
section { padding: 16px 20px; }
.verdict { border-left: 5px solid var(--soft); font-size: 15px; }
.verdict.passed { border-left-color: var(--good); background: var(--good-page); }
.verdict.failed { border-left-color: var(--bad); background: var(--bad-page); }
.verdict.unclear { border-left-color: var(--warn); background: var(--warn-page); }
.verdict ul { margin: 6px 0 0; padding-left: 20px; }
dl { margin: 0; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(118px, 1fr)); overflow: hidden; }
.figures div { padding: 12px 16px; box-shadow: -1px -1px 0 var(--line); }
.figures dt { color: var(--soft); font-size: 12px; }
.figures dd { margin: 0; font-size: 20px; font-weight: 600; font-variant-numeric: tabular-nums; white-space: nowrap; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); gap: 16px; }
.charts section { min-width: 0; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { fill: var(--soft); font-size: 11px; } svg .grid { stroke: var(--line); }
svg .line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 4px 0 0; color: var(--soft); font-size: 12px; }
.legend i, .key { display: inline-block; width: 10px; height: 10px; margin-right: 6px; border-radius: 3px; }
.wide { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 14px 6px 0; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap;
  font-weight: 400; }
thead th { color: var(--soft); font-size: 12px; } tbody tr:last-child > * { border-bottom: 0; }
th:first-child, td:first-child, .left td, .left th { text-align: left; }
tbody th, .code { font-size: 12.5px;
  font-family: ui-monospace, "SF Mono", "Cascadia Mono", "Liberation Mono", monospace; }
tbody th { white-space: normal; overflow-wrap: anywhere; min-width: 160px; }
.left td, .left th { white-space: normal; vertical-align: top; }
.left td:last-child { overflow-wrap: anywhere; min-width: 120px; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); gap: 6px 24px; }
.facts div { display: flex; gap: 12px; } .facts dt { flex: 0 0 96px; color: var(--soft); }
.facts dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
.runs td:nth-child(2), .runs th:nth-child(2) { text-align: left; }
.runs tr:has(+ tr > td:first-child) > * { border-bottom: 0; }
.left td:nth-child(2) { white-space: nowrap; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; } .warn { color: var(--warn); }
ul { margin: 4px 0; padding-left: 20px; } li { overflow-wrap: anywhere; } .code { overflow-wrap: anywhere; }
footer { color: var(--soft); font-size: 12px; }
@page { margin: 12mm; }
@media print { :root { color-scheme: light; --page: #fff; }
  body { padding: 0; font-size: 10px; print-color-adjust: exact; -webkit-print-color-adjust: exact; } main { gap: 9px; }
  section, .figures { border-radius: 6px; } section { padding: 9px 12px; break-inside: avoid; }
  .verdict { font-size: 11px; }
  h1 { font-size: 19px; } h2 { margin-bottom: 5px; font-size: 12px; break-after: avoid; } .code { font-size: 9px; }
  .charts { grid-template-columns: 1fr 1fr; gap: 9px; } svg text { font-size: 15px; } .legend { font-size: 9px; }
  .figures { grid-template-columns: repeat(8, 1fr); } .figures div { padding: 6px 8px; } .figures dt { font-size: 9px; }
  .figures dd { font-size: 13px; } .wide { overflow: visible; } table, thead th, tbody th { font-size: 9px; }
  th, td { padding: 3px 4px 3px 0; } tbody th { min-width: 0; } footer { font-size: 9px; } }
@media (max-width: 520px) { svg text { font-size: 15px; } body { padding: 14px 10px; } section { padding: 12px; }
  .figures dd { font-size: 17px; } }
"""


def page(title: str, *parts: str) -> str:
    """Return a document with `parts`, which are HTML."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>"
    )


def section(heading: str, body: str, kind: str = "") -> str:
    """Return a card; `body` is HTML."""
    return f'<section class="{kind}"><h2>{escape(heading)}</h2>{body}</section>'


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """Return a table, the first cell of each row being its heading; cells are HTML.

    What is wider than the page scrolls by itself, also by keyboard. An empty heading is none: it would be read out.
    """
    head = "".join(f'<th scope="col">{escape(each)}</th>' if each else "<td></td>" for each in headings)
    body = "".join(f"<tr>{_heading(row[0])}{''.join(f'<td>{cell}</td>' for cell in row[1:])}</tr>" for row in rows)
    above = f"<thead><tr>{head}</tr></thead>" if any(headings) else ""
    label = escape(", ".join(filter(None, headings)) or "Details")
    return (
        f'<div class="wide" tabindex="0" role="group" aria-label="{label}">'
        f'<table class="{kind}">{above}<tbody>{body}</tbody></table></div>'
    )


def _heading(cell: str) -> str:
    return f'<th scope="row">{cell}</th>' if cell else "<td></td>"


def bullets(items: Iterable[str]) -> str:
    """Return a list; items are text."""
    return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"
