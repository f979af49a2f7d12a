"""Strings that a client may send and that must stay strings: some hundred for every kind of interpreter."""

from typing import Final

MARK: Final = "h0st1le"
"""Is in each of them, so that they are found wherever they come out."""

_CALLS: Final = f"ran('{MARK}')"
_AWAY: Final = f"//evil.invalid/{MARK}"

_MARKUP: Final = (
    "<script>{call}</script>",
    "<script src={away}></script>",
    "<img src=x onerror={call}>",
    "<img src={away}.png>",
    "<svg onload={call}>",
    "<svg><script>{call}</script></svg>",
    "<svg><use href={away}.svg#x></use></svg>",
    "<iframe src=javascript:{call}></iframe>",
    "<iframe srcdoc='<script>parent.{call}</script>'></iframe>",
    "<object data={away}></object>",
    "<embed src={away}>",
    "<video src={away} onerror={call}></video>",
    "<audio src onerror={call}></audio>",
    "<body onload={call}>",
    "<details open ontoggle={call}>",
    "<input autofocus onfocus={call}>",
    "<link rel=stylesheet href={away}.css>",
    "<link rel=prefetch href={away}>",
    "<style>@import '{away}';</style>",
    "<style>*{{background:url({away})}}</style>",
    "<base href={away}>",
    "<meta http-equiv=refresh content='0;url={away}'>",
    "<form action={away}><button autofocus>send</button></form>",
    "<a href=javascript:{call} id=x>click</a>",
    "<math><mtext></mtext><script>{call}</script></math>",
    "<template><script>{call}</script></template>",
    "<marquee onstart={call}>",
    "<p style='background:url({away})'>",
)
_BEFORE: Final = ("", '">', "'>", "</script>", "</style>", "</textarea>", "-->", "]]>", "`>")

_TEMPLATES: Final = (
    "${{{call}}}",
    "`${{{call}}}`",
    '{{{{constructor.constructor("{call}")()}}}}',
    "{{{{{{{call}}}}}}}",
    "{{{{#each this}}}}{{{{this}}}}{{{{/each}}}}{call}",
    "<%= {call} %>",
    "#{{{call}}}",
    "[[${{{call}}}]]",
    "{{%raw%}}{call}{{%endraw%}}",
    "\\u0024{{{call}}}",
)
_LINKS: Final = (
    "[click](javascript:{call})",
    "![image](http:{away}.png)",
    "[ref]: http:{away}",
    "<http:{away}>",
    "http:{away}",
    "javascript:{call}",
    "data:text/html,<script>{call}</script>",
    "vbscript:{call}",
    "*bold* _it_ ~~no~~ {mark}",
    "# heading {mark}",
    "```html\n<script>{call}</script>\n```",
    "| a | b |\n|---|---|\n| {mark} | ![]({away}) |",
)
_STYLE: Final = (
    "}} * {{ background: url({away}) }} .{mark} {{",
    "expression({call})",
    "red; background-image: url({away})",
    "\\65 xpression({call})",
    "--{mark}: url({away})",
)
_SIGNS: Final = (
    "\u202e{mark} gnp.exe",
    "\u2066\u2067{mark}\u2069\u2069",
    "a\u200bb\u200c{mark}\u200d\ufeff",
    "\x1b[31m{mark}\x1b[0m\x1b]8;;http:{away}\x07link\x1b]8;;\x07",
    "\x9b2J{mark}",
    "nul\x00{mark}",
    "bell\x07 tab\t feed\f cr\r lf\n {mark}",
    "\x7f\x80\x85\u2028\u2029{mark}",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 {mark} \U0001f4a9",
    "Z\u0351\u036b\u0343a\u0329\u0333l\u0302\u030d {mark}",
    "\ufdfd\U0001242b\ua9c5 {mark}",
    "\U000e0041\U000e0042{mark}",
    "\uffff\ufffe{mark}",
    "half \ud800 of {mark}",
    "other half \udfff of {mark}",
    "=cmd|' /C calc'!A0 {mark}",
    "@SUM(1+1)*{mark}",
    "+{mark}",
    "-{mark}",
    "'; DROP TABLE events; -- {mark}",
    "../../../../etc/passwd {mark}",
    "%00%0d%0aset-cookie:{mark}=1",
    "\r\nx-injected: {mark}\r\n\r\n<script>{call}</script>",
    "$(touch {mark}) `id` && {call}",
)
_KEYS: Final = ("__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "__defineGetter__", "then")


def _make() -> list[str]:
    plain = (*_TEMPLATES, *_LINKS, *_STYLE, *_SIGNS)
    made = [before + each for each in _MARKUP for before in _BEFORE] + list(plain)
    filled = [each.format(call=_CALLS, away=_AWAY, mark=MARK) for each in made]
    filled += [f"&lt;img src=x onerror={_CALLS}&gt;", f"&#60;script&#62;{_CALLS}", f"%3Cscript%3E{_CALLS}%3C/script%3E"]
    filled += [f"{key}.{MARK}" for key in _KEYS] + list(_KEYS)
    filled += [f"<b>{MARK}" * 2_000, f"{MARK} " * 3_000, "<" * 5_000 + MARK, MARK + "\u0301" * 5_000]
    return filled


STRINGS: Final = _make()
