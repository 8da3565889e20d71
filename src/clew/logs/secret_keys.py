"""Which keys hold secrets: `password`, `X-Api-Key`, `clientSecret`, but neither `author` nor `token_count`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[^\W\d_]+")

_ALWAYS: Final = frozenset({"passcode", "passphrase", "passwd", "password", "passwords", "pwd"})
"""Words that make any key a secret, unless what follows says that the key only tells about it."""

_ABOUT: Final = frozenset({
    "age", "algorithm", "at", "attempts", "changed", "count", "date", "enabled", "encoder", "error", "expired",
    "expires", "expiry", "failures", "field", "fields", "hasher", "hashers", "hint", "invalid", "label", "len",
    "length", "max", "min", "name", "names", "needed", "ok", "policy", "present", "required", "reset", "rules",
    "set", "size", "status", "strength", "time", "type", "types", "updated", "url", "valid", "validator",
    "validators", "version",
})  # fmt: skip

_LAST: Final = frozenset({
    "apikey", "auth", "authorization", "cookie", "cookies", "credential", "credentials", "csrf",
    "csrfmiddlewaretoken", "csrftoken", "cvc", "cvv", "jwt", "otp", "pass", "privatekey", "secret", "secretkey",
    "secrets", "sessid", "session", "sessionid", "sessiontoken", "sig", "signature", "token", "tokens", "xsrf",
})  # fmt: skip
"""Words that make a key a secret where they come last, or before what only says in which form."""

_NOT_ALONE: Final = {"tokens": frozenset({"access", "auth", "bearer", "csrf", "refresh", "session"})}
"""Last words that need one of these before them: `max_tokens` counts, `access_tokens` are secrets."""

_FORMS: Final = frozenset({
    "b", "base", "bytes", "current", "hash", "header", "hex", "id", "new", "old", "pem", "plain", "raw",
    "string", "text", "value",
})  # fmt: skip
"""Words after a secret that name its form: `session_id`, `secret_key_base`, `token_hash`."""

_COMPOUNDS: Final = (
    "accesskey", "accesstoken", "accountkey", "apikey", "authkey", "authtoken", "clientkey", "clientsecret",
    "encryptionkey", "hmackey", "masterkey", "passwd", "password", "privatekey", "refreshtoken", "secretkey",
    "securitytoken", "serverkey", "sessionid", "sessionkey", "setcookie", "sharedkey", "signingkey", "sshkey",
    "storagekey", "userpass", "webhookkey",
)  # fmt: skip
"""Ends of a key written without separators, or across two words."""

STEMS: Final = (
    "auth", "cookie", "cred", "cv", "jwt", "key", "otp", "pass", "pwd", "secret", "sess", "sig", "srf", "token",
)  # fmt: skip
"""In lower case, each secret key contains one of these; a text without any has none. `may_be_in` asks for them."""

_MAX_REMEMBERED: Final = 4096


class SecretKeys(dict[str, bool]):
    """Whether a key is a secret's, by key: decided at the first look-up and remembered. Safe from any thread."""

    def __init__(self, more: Iterable[str] = (), allow: Iterable[str] = ()) -> None:
        super().__init__()
        self._more = frozenset(_joined(key) for key in more)
        self._allowed = frozenset(_joined(key) for key in allow)
        self._stems = tuple(max(_words(key), key=len) for key in more if _words(key))

    def __missing__(self, key: str) -> bool:
        if len(self) >= _MAX_REMEMBERED:
            self.clear()
        secret = self[key] = self._decide(_words(key))
        return secret

    def may_be_in(self, text: str) -> bool:
        """Return whether `text`, in lower case, has a stem of a secret key. What is rarest is asked for first."""
        return (
            ("k" in text and ("key" in text or "token" in text or "cookie" in text))
            or ("cre" in text and ("cred" in text or "secret" in text))
            or ("w" in text and ("pwd" in text or "jwt" in text))
            or ("p" in text and ("pass" in text or "otp" in text))
            or ("v" in text and "cv" in text)
            or ("f" in text and "srf" in text)
            or ("g" in text and "sig" in text)
            or "auth" in text
            or "sess" in text
            or (bool(self._stems) and any(stem in text for stem in self._stems))
        )

    def _decide(self, words: list[str]) -> bool:
        if not words or "".join(words) in self._allowed:
            return False
        return _is_secret(words) or any("".join(words[start:]) in self._more for start in range(len(words)))


def _words(key: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(key[-256:])]


def _joined(key: str) -> str:
    return "".join(_words(key))


def _is_secret(words: list[str]) -> bool:
    """Return whether a key of these words holds a secret."""
    if words[-1] in _ABOUT:
        return False
    if not _ALWAYS.isdisjoint(words):
        return True
    while len(words) > 1 and words[-1] in _FORMS:
        words = words[:-1]
    if words[-1] in _LAST:
        needed = _NOT_ALONE.get(words[-1])
        return needed is None or not needed.isdisjoint(words)
    return "".join(words).endswith(_COMPOUNDS)
