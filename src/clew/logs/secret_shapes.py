"""What secrets look like where no key says so: tokens of well-known issuers, private keys, credentials in URLs.

Each pattern runs in time linear in the text: it has no nested repetition, and starts where the character before it
cannot belong to it.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

MARK: Final = "[redacted]"


class Shape(NamedTuple):
    """A pattern of secrets, and what a text must contain for it to match: any one of `needs`."""

    needs: tuple[str, ...]
    pattern: re.Pattern[str]
    replacement: str


_CREDENTIAL: Final = r"(?=[A-Z]?[a-z]*(?:[A-Z0-9_~+/=]|[.\-][A-Za-z0-9]))[A-Za-z0-9\-._~+/]{8,}={0,2}"
"""What follows `Bearer` or `Basic`: not a plain word, so that "basic authentication" stays."""


def _token(need: str, pattern: str) -> Shape:
    return Shape((need,), re.compile(rf"(?<![A-Za-z0-9]){pattern}"), MARK)


_SCHEMES = Shape(
    ("earer ", "asic "),
    re.compile(rf"(?<![A-Za-z0-9])((?i:Bearer|Basic) +){_CREDENTIAL}"),
    rf"\1{MARK}",
)
_PRIVATE_KEY = Shape(
    ("PRIVATE KEY",),
    re.compile(
        r"-----BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----[\s\S]*?"
        r"(?:-----END [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----|\Z)"
    ),
    MARK,
)
_CREDENTIALS_IN_URL = Shape(("@",), re.compile(r"(?<=://)[^\s/?#\"'<>\\]*@"), f"{MARK}@")

SHAPES: Final[dict[str, tuple[Shape, ...]]] = {
    "": (_SCHEMES,),
    "-": (
        _PRIVATE_KEY,
        _token("sk-", r"sk-[A-Za-z0-9_\-]{20,}"),
        _token("xox", r"xox[a-z]-[A-Za-z0-9\-]{8,}"),
        _token("glpat-", r"glpat-[A-Za-z0-9_\-]{16,}"),
        _token("pypi-", r"pypi-[A-Za-z0-9_\-]{16,}"),
    ),
    "://": (
        _CREDENTIALS_IN_URL,
        Shape(
            ("hooks.slack.com",),
            re.compile(r"(?<=://hooks\.slack\.com/)(?:services|workflows)/[A-Za-z0-9/_]{8,}"),
            MARK,
        ),
    ),
    "_": (
        _token("gh", r"gh[oprsu]_[A-Za-z0-9]{16,}"),
        _token("github_pat_", r"github_pat_[A-Za-z0-9_]{20,}"),
        _token("k_", r"[rs]k_(?:live|test)_[A-Za-z0-9]{10,}"),
        _token("npm_", r"npm_[A-Za-z0-9]{30,}"),
        _token("hf_", r"hf_[A-Za-z0-9]{20,}"),
        _token("whsec_", r"whsec_[A-Za-z0-9+/=]{16,}"),
        _token("_v1_", r"do[opr]_v1_[a-f0-9]{32,}"),
        _token("shp", r"shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32,}"),
    ),
    "J": (_token("eyJ", r"eyJ[A-Za-z0-9_\-]{6,}\.[A-Za-z0-9_\-]{4,}(?:\.[A-Za-z0-9_\-]*){0,3}"),),
    "I": (
        _token("AKIA", r"AKIA[A-Z0-9]{16}"),
        _token("ASIA", r"ASIA[A-Z0-9]{16}"),
        _token("AIza", r"AIza[A-Za-z0-9_\-]{30,}"),
    ),
    "G": (_token("SG.", r"SG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,}"),),
}
"""Shapes by a character, or a few, without which a text has none of them: the cheapest test there is."""
