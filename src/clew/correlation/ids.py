"""What a correlation ID may look like, and which trace ID follows from it: pure functions, no OpenTelemetry.

The rules and their test vectors are published in docs/reference/correlation.md; other languages can follow them.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import random
import re
from typing import Final

MAX_LENGTH: Final = 128
"""Characters in a correlation ID: room for a UUID with a prefix, too little for a payload."""

PREFIX: Final = b"clew.correlation.v1:"
"""Goes before the ID into the hash, so that no other use of SHA-256 over the same ID yields the same trace ID."""

_ALLOWED: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@~-]*")
_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")
_UUID_SHAPED: Final = re.compile(r"[0-9a-f]{12}[1-8][0-9a-f]{3}[89ab][0-9a-f]{15}")
_AMAZON_ROOT: Final = re.compile(r"(?:^|;)\s*Root=1-([0-9a-fA-F]{8})-([0-9a-fA-F]{24})\s*(?:;|$)")
_AMAZON_MAX_LENGTH: Final = 1024
_VERSION_TOP_BIT: Final = 8 << 76

_chance: Final = random.Random()  # noqa: S311 - IDs are no secrets
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_chance.seed)


def clean(raw: str | None) -> str | None:
    """Return `raw` if it is a usable correlation ID, else None.

    Usable is 1 to 128 characters of `A-Za-z0-9._:/+=@~-`, the first one alphanumeric: safe in a header, a log line,
    a URL and a shell.
    """
    return raw if raw is not None and fault(raw) is None else None


def fault(raw: str) -> str | None:
    """Return why `raw` is no usable correlation ID, as a word that is safe to tell: `length` or `characters`."""
    if not 0 < len(raw) <= MAX_LENGTH:
        return "length"
    return None if _ALLOWED.fullmatch(raw) else "characters"


def derive_trace_id(correlation_id: str, key: bytes | None = None) -> int:
    """Return the trace ID that belongs to `correlation_id`: always the same one, never 0.

    Without a key, an ID that is a trace ID in hex (32 lowercase digits, not all zero, not shaped like a UUID) is its
    own trace ID, so a hop that forwards only the correlation header keeps the trace whole. Anything else is the
    first 16 bytes of SHA-256 over `PREFIX` and the ID. With a key it is HMAC-SHA-256 for every ID: nobody without
    the key chooses a trace ID.
    """
    if key is None and is_trace_id(correlation_id):
        return int(correlation_id, 16)
    message = PREFIX + correlation_id.encode("utf-8", "surrogatepass")
    digest = hmac.digest(key, message, "sha256") if key is not None else hashlib.sha256(message).digest()
    return int.from_bytes(digest[:16], "big") or int.from_bytes(digest[16:], "big") or 1


def is_trace_id(text: str) -> bool:
    """Return whether `text` stands for a trace ID itself.

    That is 32 lowercase hex digits, not all zero, not shaped like a UUID. A UUID (RFC 9562: version 1 to 8, variant
    10) has fixed bits where ratio sampling looks for chance.
    """
    return bool(_TRACE_ID.fullmatch(text)) and text.strip("0") != "" and not _UUID_SHAPED.fullmatch(text)


def trace_id_hex(trace_id: int) -> str:
    """Return the 32 lowercase hex digits of `trace_id`."""
    return f"{trace_id:032x}"


def amazon_root(raw: str) -> int | None:
    """Return the trace ID in the `Root` of an `X-Amzn-Trace-Id` header, wherever it stands in it, or None."""
    match = _AMAZON_ROOT.search(raw) if len(raw) <= _AMAZON_MAX_LENGTH else None
    return int(match[1] + match[2], 16) or None if match else None


def new_trace_id() -> int:
    """Return a random trace ID that is not shaped like a UUID.

    Neither a seeded `random` nor a fork makes two alike, and the program's own sequence of `random` stays what it was.
    The operating system is asked once a process: on some machines that takes longer than all else about a span.
    """
    return reshape(_chance.getrandbits(128)) or 1


def new_span_id() -> int:
    """Return a random span ID."""
    return _chance.getrandbits(64) or 1


def reshape(trace_id: int) -> int:
    """Return `trace_id`, or one that differs in a single bit where it was shaped like a UUID.

    The bit stands in the version; the low 64 bits stay as they are, since ratio samplers compare those.
    """
    is_uuid_shaped = 1 <= (trace_id >> 76) & 15 <= 8 and (trace_id >> 62) & 3 == 2  # noqa: PLR2004 - RFC 9562, 4.1 and 4.2
    return trace_id ^ _VERSION_TOP_BIT if is_uuid_shaped else trace_id
