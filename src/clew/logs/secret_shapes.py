"""What secrets look like where no key says so: tokens of well-known issuers, private keys, credentials in URLs.

Each pattern runs in time linear in the text: it has no nested repetition, and starts where the character before it
cannot belong to it.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

MARK: Final = "[redacted]"


class Shape(NamedTuple):
    """A pattern of secrets, and what a text must contain for it to match."""

    need: str
    pattern: re.Pattern[str]
    replacement: str


_CREDENTIAL: Final = r"(?=[A-Z]?[a-z]*(?:[A-Z0-9_~+/=]|[.\-][A-Za-z0-9]))[A-Za-z0-9\-._~+/]{8,}={0,2}"
"""What follows `Bearer` or `Basic`: not a plain word, so that "basic authentication" stays."""


def _token(need: str, pattern: str) -> Shape:
    return Shape(need, re.compile(rf"(?<![A-Za-z0-9]){pattern}"), MARK)


_SCHEMES = re.compile(rf"(?<![A-Za-z0-9])((?i:Bearer|Basic) +){_CREDENTIAL}")
_PRIVATE_KEY = Shape(
    "PRIVATE KEY",
    re.compile(
        r"-----BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----[\s\S]*?"
        r"(?:-----END [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----|\Z)"
    ),
    MARK,
)
_SHAPES_WITH_HYPHEN: Final = (
    _PRIVATE_KEY,
    _token("sk-", r"sk-[A-Za-z0-9_\-]{20,}"),
    _token("xox", r"xox[a-z]-[A-Za-z0-9\-]{10,}"),
    _token("glpat-", r"glpat-[A-Za-z0-9_\-]{16,}"),
    _token("pypi-", r"pypi-[A-Za-z0-9_\-]{16,}"),
)
_SHAPES_WITH_UNDERSCORE: Final = (
    _token("gh", r"gh[oprsu]_[A-Za-z0-9]{16,}"),
    _token("github_pat_", r"github_pat_[A-Za-z0-9_]{20,}"),
    _token("k_", r"[rs]k_(?:live|test)_[A-Za-z0-9]{10,}"),
    _token("npm_", r"npm_[A-Za-z0-9]{30,}"),
    _token("hf_", r"hf_[A-Za-z0-9]{20,}"),
    _token("whsec_", r"whsec_[A-Za-z0-9+/]{16,}={0,2}"),
    _token("_v1_", r"do[opr]_v1_[a-f0-9]{32,}"),
    _token("shp", r"shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32,}"),
)
_SHAPES_IN_URL: Final = (
    Shape("@", re.compile(r"(?<=://)[^\s/?#\"'<>\\]*@"), f"{MARK}@"),
    Shape(
        "hooks.slack.com",
        re.compile(r"(?<=://hooks\.slack\.com/)(?:services|workflows)/[A-Za-z0-9/_]{8,}"),
        MARK,
    ),
)
_JWT: Final = (_token("eyJ", r"eyJ[A-Za-z0-9_\-]{6,}\.[A-Za-z0-9_\-]{4,}(?:\.[A-Za-z0-9_\-]*){0,3}"),)
_CLOUD_KEYS: Final = (
    _token("AKIA", r"AKIA[A-Z0-9]{16}"),
    _token("ASIA", r"ASIA[A-Z0-9]{16}"),
    _token("AIza", r"AIza[A-Za-z0-9_\-]{30,}"),
)
_SENDGRID: Final = (_token("SG.", r"SG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,}"),)

# A hyphen or underscore of a token is followed by a long run; a search for one character at the front is the quickest.
_run_after_hyphen = re.compile(r"-[A-Za-z0-9_\-]{9}").search
_run_after_underscore = re.compile(r"_[A-Za-z0-9_+/]{10}").search


def redact_shapes(text: str) -> str:
    """Replace what looks like a secret in `text`; returns `text` itself if nothing does.

    A text is asked first for single characters without which it has none: that is most of what redaction costs.
    """
    if "-" in text and _run_after_hyphen(text):
        text = _replace(text, _SHAPES_WITH_HYPHEN)
    if "_" in text and _run_after_underscore(text):
        text = _replace(text, _SHAPES_WITH_UNDERSCORE)
    if ":" in text and "://" in text:
        text = _replace(text, _SHAPES_IN_URL)
    if "J" in text and "eyJ" in text:
        text = _replace(text, _JWT)
    if "I" in text:
        text = _replace(text, _CLOUD_KEYS)
    if "G" in text and "SG." in text:
        text = _replace(text, _SENDGRID)
    if "earer " in text or "asic " in text:
        text = _SCHEMES.sub(rf"\1{MARK}", text)
    return text


def _replace(text: str, shapes: tuple[Shape, ...]) -> str:
    for need, pattern, replacement in shapes:
        if need in text:
            text = pattern.sub(replacement, text)
    return text
