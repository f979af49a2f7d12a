"""Which names stand before a secret: of headers, cookies, parameters, fields and keys."""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote_to_bytes

from .hints import Hints

SENSITIVE: Final = (
    "access-key",
    "access-token",
    "account-key",
    "api-key",
    "api-keys",
    "api-secret",
    "apikey",
    "assertion",
    "auth",
    "auth-code",
    "auth-key",
    "auth-token",
    "authorization",
    "authorization-code",
    "backup-codes",
    "bearer",
    "bearer-token",
    "card-number",
    "cc-number",
    "client-assertion",
    "client-secret",
    "code-verifier",
    "connect-sid",
    "connection-string",
    "cookie",
    "cookies",
    "credential",
    "credentials",
    "credit-card",
    "csrf",
    "csrf-token",
    "csrftoken",
    "cvc",
    "cvv",
    "device-code",
    "dpop",
    "encryption-key",
    "id-token",
    "jsessionid",
    "jwt",
    "master-key",
    "mfa-code",
    "mnemonic",
    "one-time-code",
    "otp",
    "pass",
    "passcode",
    "passphrase",
    "passwd",
    "password",
    "passwords",
    "phpsessid",
    "pin",
    "private-key",
    "private-token",
    "proxy-authorization",
    "pw",
    "pwd",
    "recovery-code",
    "recovery-codes",
    "refresh-token",
    "remember-me",
    "saml-response",
    "secret",
    "secret-access-key",
    "secret-key",
    "secrets",
    "security-code",
    "security-token",
    "seed-phrase",
    "service-account-key",
    "session",
    "session-id",
    "session-key",
    "session-token",
    "sessionid",
    "set-cookie",
    "shared-access-key",
    "shared-access-signature",
    "shared-key",
    "sig",
    "signature",
    "signing-key",
    "ssh-key",
    "ssn",
    "storage-key",
    "subscription-key",
    "token",
    "totp",
    "verification-code",
    "webhook-secret",
    "x-access-token",
    "x-amz-credential",
    "x-amz-security-token",
    "x-amz-signature",
    "x-api-key",
    "x-auth-token",
    "x-csrf-token",
    "x-goog-credential",
    "x-goog-signature",
    "x-session-token",
    "x-vault-token",
    "x-xsrf-token",
    "xsrf",
    "xsrf-token",
)
"""What is masked unless one says otherwise, in lower case with `-` between words. See `Names` for what that covers."""

# fmt: off
_QUALIFIERS: Final = frozenset((
    "again", "base", "confirm", "confirmation", "confirmed", "current", "enc", "encoded", "encrypted", "hash",
    "hashed", "hex", "new", "old", "plain", "plaintext", "raw", "repeat", "repeated", "str", "string", "text",
    "value", "verify",
))
# fmt: on
"""Words behind a name that leave it what it is: `password_confirmation`, `token-value`."""

_GLUED: Final = re.compile("(?:" + "|".join(sorted(_QUALIFIERS, key=len, reverse=True)) + ")$")

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_A-Za-z]+")


class Names(dict[bytes, bool]):
    """Whether a name is sensitive, worked out once for each spelling.

    It is when its last words are those of a configured name, in any case and however they are held together:
    `user_password`, `accessToken`, `X-API-Key`, `user[pin]`, `%74oken`. Numbers and words such as `confirmation`
    behind that do not count. Words may be glued to one another, as in `passwordconfirm`, which is what HTTP/2 makes of
    a header's `passwordConfirm`; what a name is glued to counts if the name has five letters or more: `usertoken`.

    :param names: what is sensitive; none makes nothing sensitive
    """

    _BOUND = 4096  # names come from clients, so what is remembered must be bounded
    _LONGEST = 256  # no more than this of a name's end is looked at or remembered
    _MOST_WORDS = 8
    _UNMISTAKABLE = 5  # `pin` and `pass` end too many words that have nothing to hide

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        spelled = [words for words in map(_words, names) if words]
        self._sensitive = frozenset("".join(words) for words in spelled)
        self._endings = tuple(sorted(name for name in self._sensitive if len(name) >= self._UNMISTAKABLE))
        self.hints = Hints(spelled)

    @property
    def none(self) -> bool:
        """Whether no name at all is sensitive."""
        return not self._sensitive

    def __missing__(self, name: bytes) -> bool:
        decision = self._decide(_words(_text(name[-self._LONGEST :])))
        if len(self) < self._BOUND and len(name) <= self._LONGEST:
            self[name] = decision
        return decision

    def _decide(self, words: list[str]) -> bool:
        while words:
            if self._ends(words):
                return True
            last = words.pop()
            if not (last.isdigit() or last in _QUALIFIERS):
                core = _GLUED.sub("", last)
                if core == last:
                    return False
                words.append(core)
        return False

    def _ends(self, words: list[str]) -> bool:
        last = words[-self._MOST_WORDS :]
        tails = ("".join(last[start:]) for start in range(len(last)))
        return not self._sensitive.isdisjoint(tails) or "".join(last).endswith(self._endings)


def _text(name: bytes) -> str:
    return (unquote_to_bytes(name) if b"%" in name else name).decode("utf-8", "replace")


def _words(name: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(name)]
