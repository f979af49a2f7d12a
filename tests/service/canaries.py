"""Canaries: secrets made up for the tests, and the places of an exchange that each of them is put in.

A test seeds an exchange with a canary, lets it go wherever exchanges go, and asks `traces` of all that comes out.
There are two sorts. One kind is known by the name it stands under, and its value tells nothing. The other is known by
its looks, and stands under a name that tells nothing.

All of them are drawn from one seed, so that they are the same in each run. None of them is spelled out here, so that
nobody takes this file for a leak.

    for canary in CANARIES:
        for place, put in PLACES.items():
            if (exchange := put(canary)) is not None:
                ...  # send `exchange.headers`, `exchange.query`, `exchange.body`
                assert not traces(canary, what_came_out)
"""

import base64
import json
import random
import string
from collections.abc import Callable, Iterator
from typing import Final, Literal, NamedTuple
from urllib.parse import quote_from_bytes

JSON: Final = b"application/json"
FORM: Final = b"application/x-www-form-urlencoded"
HARMLESS: Final = "note"
"""The name that a canary stands under which is known by its looks."""

_TRACE: Final = 6  # so many characters of a secret in a row are no coincidence
_RANDOM: Final = random.Random(20261121)


class Canary(NamedTuple):
    """A secret that must not come out anywhere."""

    name: str
    """The name it must stand under, or the kind of secret that it looks like."""
    secret: str
    """What must not come out, nor any longer part of it."""
    by: Literal["name", "pattern"]
    """What it is known by."""
    text: str
    """The secret as it is sent, with what makes it known, such as `Bearer` before it."""

    @property
    def field(self) -> str:
        """The name that it is sent under."""
        return self.name if self.by == "name" else HARMLESS


class Exchange(NamedTuple):
    """The pieces of an exchange that a canary is in; the others are empty."""

    headers: tuple[tuple[bytes, bytes], ...] = ()
    query: bytes = b""
    path: str = ""
    text: str = ""
    """What is said about the exchange: an exception, a log line."""
    body: bytes = b""
    content_type: bytes = b""


Put = Callable[[Canary], Exchange | None]
"""Puts a canary in a place; None if it does not fit there."""


def traces(canary: Canary, output: bytes | str) -> list[str]:
    """Return the parts of the secret that are in the output."""
    shown = output if isinstance(output, str) else output.decode("latin-1")
    secret = canary.secret
    windows = (secret[start : start + _TRACE] for start in range(max(1, len(secret) - _TRACE + 1)))
    return [window for window in windows if window in shown]


def _letters(count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    """Return letters at random, with a digit among the first."""
    drawn = "".join(_RANDOM.choices(alphabet, k=count))
    return drawn if set(alphabet) == set("0123456789abcdef") else drawn[:2] + _RANDOM.choice("23456789") + drawn[3:]


_HEX: Final = "0123456789abcdef"
_UPPER: Final = string.ascii_uppercase + "234567"


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _jwt(header: dict[str, str]) -> str:
    claims = json.dumps({"sub": _letters(12), "jti": _letters(20)})
    return ".".join([_encoded(json.dumps(header, separators=(",", ":"))), _encoded(claims), _letters(43)])


def _lines() -> str:
    return "\n".join(_letters(64) for _ in range(4))


def _card(start: str, length: int) -> str:
    """Return a number that passes the check for card numbers, of digits that do not repeat."""
    digits = start + "".join(_RANDOM.choices("0123456789", k=length - len(start) - 1))
    total = sum(
        sum(divmod(2 * int(digit), 10)) if odd % 2 == 0 else int(digit) for odd, digit in enumerate(reversed(digits))
    )
    return digits + str(-total % 10)


def _grouped(digits: str, sizes: tuple[int, ...], separator: str) -> str:
    groups: list[str] = []
    for size in sizes:
        groups.append(digits[:size])
        digits = digits[size:]
    return separator.join(groups)


_WHOLE: Final[dict[str, str]] = {
    "jwt": _jwt({"alg": "HS256", "typ": "JWT"}),
    "jwt, typ first": _jwt({"typ": "JWT", "alg": "RS256"}),
    "jwt, kid first": _jwt({"kid": "a1", "alg": "ES256"}),
    "jwt, other header": _jwt({"jku": "https://example.org", "alg": "ES256"}),
    "jwe": ".".join([_encoded('{"enc":"A256GCM","alg":"dir"}'), "", _letters(16), _letters(60), _letters(22)]),
    "aws key": "AKIA" + _letters(16, _UPPER),
    "aws session key": "ASIA" + _letters(16, _UPPER),
    "google key": "AIza" + _letters(35),
    "google token": "ya29." + _letters(60),
    "google client": "GOCSPX-" + _letters(28),
    **{f"github {kind}": f"gh{kind}_" + _letters(36) for kind in "pousr"},
    "gitlab": "glpat-" + _letters(20),
    "gitlab runner": "glrt-" + _letters(20),
    **{f"slack {kind}": f"xox{kind}-" + f"{_letters(11, string.digits)}-{_letters(24)}" for kind in "bpar"},
    "slack app": "xapp-1-" + _letters(40),
    "stripe webhook": "whsec_" + _letters(32),
    "openai": "sk-" + _letters(48),
    "openai project": "sk-proj-" + _letters(60),
    "sendgrid": "SG." + _letters(22) + "." + _letters(43),
    "npm": "npm_" + _letters(36),
    "twilio": "SK" + _letters(32, _HEX),
    "hugging face": "hf_" + _letters(34),
    "vault": "hvs." + _letters(60),
    "grafana": "glsa_" + _letters(32),
    "digitalocean": "dop_v1_" + _letters(64, _HEX),
    "shopify": "shpat_" + _letters(32, _HEX),
    "square": "sq0atp-" + _letters(22),
    "databricks": "dapi" + _letters(32, _HEX),
    "mailgun": "key-" + _letters(32, _HEX),
    "visa": _card("4929", 16),
    "visa, spaces": _grouped(_card("4485", 16), (4, 4, 4, 4), " "),
    "visa, dashes": _grouped(_card("4716", 16), (4, 4, 4, 4), "-"),
    "visa, 13 digits": _card("4539", 13),
    "visa, 19 digits": _card("4556", 19),
    "mastercard": _card("5391", 16),
    "mastercard, new": _card("2417", 16),
    "amex": _card("3762", 15),
    "amex, spaces": _grouped(_card("3481", 15), (4, 6, 5), " "),
    "diners": _card("3052", 14),
    "discover": _card("6011", 16),
}
_PARTLY: Final[dict[str, tuple[str, str]]] = {
    "bearer": ("Bearer {}", _letters(32)),
    "bearer, lower case": ("bearer {}", _letters(24)),
    "basic": ("Basic {}", _encoded(f"ada:{_letters(21)}")),
    "url password": ("postgres://ada:{}@db.example.org/main", _letters(20)),
    "url password, https": ("https://ada:{}@example.org/a?page=2", _letters(20)),
    "url password alone": ("redis://:{}@cache.example.org:6379/0", _letters(20)),
    "azure storage": ("AccountName=box;AccountKey={};EndpointSuffix=core.example.org", _letters(86) + "=="),
    "github fine-grained": ("github_pat_{}", _letters(22) + "_" + _letters(59)),
    **{f"stripe {kind}": (kind.replace(" ", "_") + "_{}", _letters(24)) for kind in ("sk live", "rk live", "sk test")},
    "anthropic": ("sk-ant-api03-{}", _letters(60) + "-" + _letters(20)),
    "pypi": ("pypi-AgEIcHlwaS5vcmc{}", _letters(60)),
    "linear": ("lin_api_{}", _letters(40)),
    "telegram": (_letters(9, string.digits) + ":AA{}", _letters(33)),
    **{
        f"{kind.lower()} in PEM": (f"-----BEGIN {kind}-----\n{{}}\n-----END {kind}-----", _lines())
        for kind in ("PRIVATE KEY", "RSA PRIVATE KEY", "OPENSSH PRIVATE KEY")
    },
    "slack hook": ("https://hooks.slack.com/services/{}", f"T{_letters(8)}/B{_letters(8)}/{_letters(24)}"),
}
_NAMES: Final = (
    *("password", "passwd", "pwd", "pass", "passphrase", "passcode", "pin", "otp", "totp", "cvv", "cvc", "ssn", "jwt"),
    *(
        "token",
        "access_token",
        "refreshToken",
        "id-token",
        "csrfToken",
        "XSRF-TOKEN",
        "authenticity_token",
        "my_token2",
    ),
    *(
        "secret",
        "client_secret",
        "clientSecret",
        "stripe_secret",
        "secretKey",
        "SECRET_KEY",
        "secrets",
        "webhook-secret",
    ),
    *(
        "api_key",
        "apiKey",
        "X-API-Key",
        "apikey",
        "APIKEY",
        "privateKey",
        "encryption_key",
        "Ocp-Apim-Subscription-Key",
    ),
    *(
        "session",
        "sessionid",
        "my_session_id",
        "PHPSESSID",
        "JSESSIONID",
        "connect.sid",
        "auth",
        "x-auth",
        "credentials",
    ),
    *(
        "signature",
        "sig",
        "X-Amz-Signature",
        "X-Goog-Signature",
        "x-amz-security-token",
        "X-Vault-Token",
        "client_assertion",
    ),
    *("code_verifier", "card-number", "cardNumber", "security_code", "user_password", "new_password", "oldPassword"),
    *("password_confirmation", "passwordConfirm", "password2", "password_hash", "secret_value", "dbpassword"),
    *("user[password]", "user.password", "users[0][apiKey]", "PaSsWoRd", "AWS_SECRET_ACCESS_KEY", "remember-me"),
)


def _canaries() -> Iterator[Canary]:
    for name in _NAMES:
        secret = _letters(24)
        yield Canary(name, secret, "name", secret)
    for kind, secret in _WHOLE.items():
        yield Canary(kind, secret, "pattern", secret)
    for kind, (text, secret) in _PARTLY.items():
        yield Canary(kind, secret, "pattern", text.format(secret))


CANARIES: Final = tuple(_canaries())
"""Every canary, the same in each run."""


def header(canary: Canary) -> Exchange | None:
    """Put it in a header, between others, as servers hand it on: the name in lower case."""
    if "\n" in canary.text or not canary.field.replace("-", "").replace("_", "").isalnum():
        return None
    pairs = ((b"host", b"example.org"), (canary.field.lower().encode(), canary.text.encode()), (b"accept", b"*/*"))
    return Exchange(headers=pairs)


def referer(canary: Canary) -> Exchange | None:
    """Put it in the query of a URL in a header."""
    url = b"https://example.org/a?page=2&" + _parameter(canary) + b"&size=3"
    return Exchange(headers=((b"referer", url), (b"location", url)))


def authorization(canary: Canary) -> Exchange | None:
    """Put it in the headers for credentials, behind each scheme."""
    if "\n" in canary.text:
        return None
    schemes = (b"Bearer ", b"Token ", b"Digest ", b"Own-Scheme ", b"")
    value = canary.text.encode()
    pairs = [(name, scheme + value) for name in (b"Authorization", b"proxy-authorization") for scheme in schemes]
    return Exchange(headers=tuple(pairs))


def cookie(canary: Canary) -> Exchange | None:
    """Put it in a cookie, between others."""
    if "\n" in canary.text or ";" in canary.text:
        return None
    value = canary.text.encode()
    return Exchange(headers=((b"cookie", b"theme=x; " + canary.field.encode() + b"=" + value + b"; b=y"),))


def set_cookie(canary: Canary) -> Exchange | None:
    """Put it in a cookie that the response sets."""
    if "\n" in canary.text or ";" in canary.text:
        return None
    value = canary.field.encode() + b"=" + canary.text.encode()
    return Exchange(headers=((b"set-cookie", value + b"; Path=/; HttpOnly"),))


def query(canary: Canary) -> Exchange | None:
    """Put it in the query string."""
    return Exchange(query=b"page=2&" + _parameter(canary) + b"&size=3")


def query_encoded(canary: Canary) -> Exchange | None:
    """Put it in the query string, each character percent-encoded, the name's as well."""
    name, value = (_all_encoded(text) for text in (canary.field, canary.text))
    return Exchange(query=b"page=2&" + name + b"=" + value + b"&size=3")


def query_in_query(canary: Canary) -> Exchange | None:
    """Put it in the query of a URL that is a parameter itself."""
    url = b"https://example.org/a?" + _parameter(canary) + b"&size=3"
    return Exchange(query=b"page=2&next=" + quote_from_bytes(url, safe="").encode() + b"&size=3")


def path(canary: Canary) -> Exchange | None:
    """Put it in the path, as a matrix parameter if it goes by its name."""
    if "/" in canary.text:
        return None
    segment = f"items;{canary.field}={canary.text};v=1" if canary.by == "name" else canary.text
    return Exchange(path=f"/a/{segment}/b")


def form(canary: Canary) -> Exchange | None:
    """Put it in a form."""
    return Exchange(body=b"page=2&" + _parameter(canary) + b"&size=3", content_type=FORM)


def form_undeclared(canary: Canary) -> Exchange | None:
    """Put it in a form that does not say that it is one."""
    return Exchange(body=b"page=2&" + _parameter(canary) + b"&size=3")


def json_in_form(canary: Canary) -> Exchange | None:
    """Put it in JSON that is a field of a form."""
    value = quote_from_bytes(json.dumps({"a": {canary.field: canary.text}}).encode()).encode()
    return Exchange(body=b"page=2&payload=" + value, content_type=FORM)


def multipart(canary: Canary) -> Exchange | None:
    """Put it in a part of its own."""
    disposition = f'Content-Disposition: form-data; name="{canary.field}"'
    parts = [
        'Content-Disposition: form-data; name="page"\r\n\r\n2',
        f"{disposition}\r\n\r\n{canary.text}",
        'Content-Disposition: form-data; name="file"; filename="a.bin"\r\nContent-Type: image/png\r\n\r\n\x00\x01\x02',
    ]
    body = "".join(f"--B0undary\r\n{part}\r\n" for part in parts) + "--B0undary--\r\n"
    return Exchange(body=body.encode("latin-1"), content_type=b'multipart/form-data; boundary="B0undary"')


def nested(depth: int) -> Put:
    """Return what puts it in JSON, in as many objects and lists."""

    def put(canary: Canary) -> Exchange:
        return Exchange(body=json.dumps(_nested(canary, depth)).encode(), content_type=JSON)

    put.__doc__ = f"Put it in JSON, {depth} levels deep."
    return put


def json_in_json(levels: int) -> Put:
    """Return what puts it in JSON that is a string in JSON, and so on."""

    def put(canary: Canary) -> Exchange:
        text = json.dumps(_nested(canary, 2))
        for _ in range(levels):
            text = json.dumps({"id": 1, "data": text, "ok": True})
        return Exchange(body=text.encode(), content_type=JSON)

    put.__doc__ = f"Put it in JSON that is a string in JSON, {levels} levels deep."
    return put


def json_escaped(canary: Canary) -> Exchange | None:
    """Put it in JSON that spells every character with an escape."""
    name, value = ("".join(f"\\u{ord(letter):04x}" for letter in text) for text in (canary.field, canary.text))
    return Exchange(body=f'{{"id": 1, "{name}": "{value}"}}'.encode(), content_type=JSON)


def json_container(canary: Canary) -> Exchange | None:
    """Put it in a list and in an object under the name."""
    value = {"id": 1, canary.field: [{"a": canary.text}, [canary.text, "}]"]], "ok": True}
    return Exchange(body=json.dumps(value).encode(), content_type=JSON)


def json_beside(canary: Canary) -> Exchange | None:
    """Put it in lists of pairs, whose names are values."""
    pairs = [{"name": canary.field, "value": canary.text}, {"val": {"a": [canary.text]}, "Key": canary.field}]
    found = {"loc": ["body", canary.field], "msg": "too short", "input": canary.text}
    return Exchange(body=json.dumps({"env": pairs, "detail": [found]}).encode(), content_type=JSON)


def json_undeclared(canary: Canary) -> Exchange | None:
    """Put it in JSON that claims to be plain text."""
    return Exchange(
        body=json.dumps({"id": 1, canary.field: canary.text}, indent=2).encode(), content_type=b"text/plain"
    )


def json_wide(canary: Canary) -> Exchange | None:
    """Put it in JSON whose characters take two bytes."""
    body = json.dumps({"id": 1, canary.field: canary.text}).encode("utf-16")
    return Exchange(body=body, content_type=b"application/json; charset=utf-16")


def json_invalid(canary: Canary) -> Exchange | None:
    """Put it in JSON with a quote missing before it."""
    return Exchange(body=b'{"id": "1, ' + json.dumps({canary.field: canary.text}).encode()[1:], content_type=JSON)


def ndjson(canary: Canary) -> Exchange | None:
    """Put it in the second of three lines of JSON, the first of which is broken."""
    lines = ['{"id": "1}', json.dumps({"id": 2, canary.field: canary.text}), '{"id": 3}']
    return Exchange(body="\n".join(lines).encode(), content_type=b"application/x-ndjson")


def xml(canary: Canary) -> Exchange | None:
    """Put it in an element, and in an attribute."""
    if not canary.field.replace("-", "").replace("_", "").isalnum():
        return None
    name, value = canary.field, canary.text.replace("&", "&amp;")
    text = f'<a><id>1</id><ns:{name} type="x">{value}</ns:{name}><b {name}="{value}" id="2"/></a>'
    return Exchange(body=text.encode(), content_type=b"application/soap+xml")


def url_password(canary: Canary) -> Exchange | None:
    """Put it in a URL as the password of a user, in text and in JSON."""
    if not canary.text.isalnum():
        return None
    url = f"amqp://ada:{canary.text}@example.org:5672/a"
    return Exchange(
        text=f"cannot connect to {url}, giving up", body=json.dumps({"url": url}).encode(), content_type=JSON
    )


def assigned(canary: Canary) -> Exchange | None:
    """Put it in a log line: `name=value`."""
    return _line(canary, f"id=1 {canary.field}={canary.text} ok=1")


def told(canary: Canary) -> Exchange | None:
    """Put it in the message of an exception: `name: value`."""
    return _line(canary, f"Traceback (most recent call last):\nValueError: no, {canary.field}: {canary.text}\n")


def shown_as_python(canary: Canary) -> Exchange | None:
    """Put it in what Python shows of a dictionary."""
    return _line(canary, f"TypeError: { ({'id': 1, canary.field: canary.text, 'ok': True})!r}")


def shown_as_json(canary: Canary) -> Exchange | None:
    """Put it in JSON that is a part of a log line."""
    return _line(canary, f"got {json.dumps({'id': 1, canary.field: canary.text})} and left")


def _line(canary: Canary, line: str) -> Exchange | None:
    return Exchange(text=line, body=line.encode(), content_type=b"text/plain")


def _nested(canary: Canary, depth: int) -> object:
    value: object = {"id": 1, canary.field: canary.text, "ok": True}
    for level in range(depth - 1):
        value = {"id": level, "in": value, "x": None} if level % 2 else [level, value, "x"]
    return value


def _parameter(canary: Canary) -> bytes:
    name, value = (quote_from_bytes(text.encode(), safe="[]").encode() for text in (canary.field, canary.text))
    return name + b"=" + value


def _all_encoded(text: str) -> bytes:
    return "".join(f"%{letter:02X}" for letter in text.encode()).encode()


PLACES: Final[dict[str, Put]] = {
    **{
        put.__name__: put
        for put in (
            *(header, referer, authorization, cookie, set_cookie, query, query_encoded, query_in_query, path),
            *(form, form_undeclared, json_in_form, multipart),
            *(json_escaped, json_container, json_beside, json_undeclared, json_wide, json_invalid, ndjson, xml),
            *(url_password, assigned, told, shown_as_python, shown_as_json),
        )
    },
    **{f"json, {depth} deep": nested(depth) for depth in range(1, 21)},
    **{f"json in json, {levels} deep": json_in_json(levels) for levels in range(1, 6)},
}
"""Every place, by its name."""


def cut_off(canary: Canary) -> Iterator[Exchange]:
    """Yield exchanges whose body ends in the secret, behind each of its characters from the eighth on.

    What comes before that says of what kind it is, and no more.
    """
    for put in (nested(2), json_in_json(2), form, multipart, assigned, ndjson):
        if exchange := put(canary):
            shown = quote_from_bytes(canary.secret.encode()) if put is form else json.dumps(canary.secret)[1:-1]
            start = exchange.body.find(shown.encode())
            if start >= 0:
                yield from (
                    exchange._replace(body=exchange.body[: start + length]) for length in range(8, len(shown) + 1)
                )
