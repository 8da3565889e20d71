"""Every variable that Clew reads, from one mapping into one frozen `Settings`.

Each is documented here and nowhere else; docs/reference/configuration.md is made from the fields' metadata. A bad
value never stops the program: its default is used and `Settings.problems` says so, for `diagnostics` (runtime half)
or an error (desk half). The module is long since each variable stands here once, with its text.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping

T = TypeVar("T")

_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_UNITS_BYTES: Final = {
    "": 1,
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
}
_OFF: Final = frozenset({"off", "none", "no", "false", "0", ""})
_ON: Final = frozenset({"on", "yes", "true", "1"})
_LEVELS: Final = {
    "TRACE": 5,
    "DEBUG": 10,
    "INFO": 20,
    "WARNING": 30,
    "WARN": 30,
    "ERROR": 40,
    "CRITICAL": 50,
    "FATAL": 50,
}


def duration_s(text: str) -> float:
    """Parse a duration such as `2`, `1.5s`, `30m`, `7d`; a bare number is seconds.

    Raises:
        ValueError: If the text is no duration.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if match is None or (match[2] or "s") not in _UNITS_S:
        raise ValueError("must be a duration such as 2, 1.5s, 30m or 7d")
    return float(match[1]) * _UNITS_S[match[2] or "s"]


def byte_count(text: str) -> int:
    """Parse a size such as `1000000`, `64MiB`, `1.5GB`.

    Raises:
        ValueError: If the text is no size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if match is None or match[2] not in _UNITS_BYTES:
        raise ValueError("must be a size such as 1000000, 64MiB or 1GB")
    return int(float(match[1]) * _UNITS_BYTES[match[2]])


def level(text: str) -> int | None:
    """Parse a logging level by name or number; `off` is None.

    Raises:
        ValueError: If the text is neither.
    """
    name = text.strip().upper()
    if name in _LEVELS:
        return _LEVELS[name]
    if name.isdigit() and int(name) > 0:
        return int(name)
    if name.lower() in _OFF:
        return None
    raise ValueError("must be a level such as DEBUG, INFO, ERROR or off")


def switch(text: str) -> bool:
    """Parse on or off.

    Raises:
        ValueError: If the text is neither.
    """
    name = text.strip().lower()
    if name in _ON:
        return True
    if name in _OFF:
        return False
    raise ValueError("must be on or off")


def names(text: str) -> tuple[str, ...]:
    """Parse a comma-separated list, lowercased, without blanks."""
    return tuple(part.strip().lower() for part in text.split(",") if part.strip())


def patterns(text: str) -> tuple[re.Pattern[str], ...]:
    """Parse regular expressions, separated by `;;` since a comma is common in them.

    Raises:
        ValueError: If one does not compile.
    """
    try:
        return tuple(re.compile(part) for part in text.split(";;") if part)
    except re.error as error:
        raise ValueError(f"must be regular expressions separated by ;; ({error})") from None


def count(text: str) -> int:
    """Parse a whole number above 0.

    Raises:
        ValueError: If the text is no such number.
    """
    if not text.strip().isdigit() or int(text) == 0:
        raise ValueError("must be a whole number above 0")
    return int(text)


def one_of(*choices: str) -> Callable[[str], str]:
    """Make a parser that takes one of `choices`, in any case."""

    def parse(text: str) -> str:
        if text.strip().lower() not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text.strip().lower()

    return parse


def _key(text: str) -> bytes | None:
    return text.encode() or None


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("must be a folder; the home folder in it cannot be found") from None


def _text(text: str) -> str:
    return text.strip()


def _variable(
    name: str, parse: Callable[[str], T], default: T, doc: str, *, shown: str = "", secret: bool = False
) -> T:
    """Declare one variable as a dataclass field: its name, how to parse it, its default and what it does."""
    metadata = {
        "variable": name,
        "parse": parse,
        "doc": doc,
        "shown": shown or str(default),
        "secret": secret,
    }
    return field(default=default, metadata=metadata)


def default_folder(environ: Mapping[str, str]) -> Path:
    """Return where telemetry files go when `CLEW_DIR` is unset: `$XDG_STATE_HOME/clew`."""
    state = environ.get("XDG_STATE_HOME") or str(Path(environ.get("HOME") or "~").expanduser() / ".local" / "state")
    return Path(state) / "clew"


@dataclass(frozen=True)
class Settings:
    """What the process was told, resolved once. Fields that end in `_s` are seconds, in `_bytes` bytes."""

    mode: Literal["otlp", "file", "off"] = _variable(
        "CLEW_MODE",
        one_of("otlp", "file", "off"),  # type: ignore[arg-type]  # one_of returns one of these literals
        "otlp",
        "Where telemetry goes: `otlp` to a Collector with files as the safety net, `file` to files only, `off`: none.",
    )
    folder: Path = _variable(
        "CLEW_DIR", _path, Path(), "Folder of telemetry files and of the spool.", shown="$XDG_STATE_HOME/clew"
    )
    correlation_headers: tuple[str, ...] = _variable(
        "CLEW_CORRELATION_HEADERS",
        names,
        ("x-correlation-id", "x-request-id"),
        "Inbound headers that hold a correlation ID, in order; the first is also the outbound one.",
        shown="x-correlation-id,x-request-id",
    )
    correlation_key: bytes | None = _variable(
        "CLEW_CORRELATION_KEY",
        _key,
        None,
        "Secret for deriving trace IDs with HMAC, so that a caller cannot choose one. Same key in every service.",
        shown="unset",
        secret=True,
    )
    correlation_trust: Literal["all", "none"] = _variable(
        "CLEW_CORRELATION_TRUST",
        one_of("all", "none"),  # type: ignore[arg-type]  # one_of returns one of these literals
        "all",
        "`none` ignores inbound correlation IDs, as a public edge should.",
    )
    correlation_mode: Literal["trace", "attribute"] = _variable(
        "CLEW_CORRELATION_MODE",
        one_of("trace", "attribute"),  # type: ignore[arg-type]  # one_of returns one of these literals
        "trace",
        "`attribute` keeps trace IDs random and only carries the ID, for IDs that live for days.",
    )
    asgi_spans: Literal["none", "all"] = _variable(
        "CLEW_ASGI_SPANS",
        one_of("none", "all"),  # type: ignore[arg-type]  # one_of returns one of these literals
        "none",
        "`all` brings back a span for each ASGI send and receive.",
    )
    log_level: int | None = _variable(
        "CLEW_LOG_LEVEL",
        level,
        None,
        "Lowest level to capture, even where a logger's own level is higher; the console does not change.",
        shown="the logger's own level",
    )
    log_format: Literal["", "json"] = _variable(
        "CLEW_LOG_FORMAT",
        one_of("json"),  # type: ignore[arg-type]  # one_of returns one of these literals
        "",
        "`json` makes each line that logging writes to stdout or stderr one JSON object.",
        shown="unset: the console is untouched",
    )
    log_fields: Literal["auto", "always", "never"] = _variable(
        "CLEW_LOG_FIELDS",
        one_of("auto", "always", "never"),  # type: ignore[arg-type]  # one_of returns one of these literals
        "auto",
        "When records carry `trace_id` and the like in their `__dict__`: `auto` as soon as a format string names one.",
    )
    log_sampling: Literal["all", "trace"] = _variable(
        "CLEW_LOG_SAMPLING",
        one_of("all", "trace"),  # type: ignore[arg-type]  # one_of returns one of these literals
        "all",
        "`trace` leaves out records below WARNING whose trace is not sampled.",
    )
    log_fold_s: float = _variable(
        "CLEW_LOG_FOLD",
        duration_s,
        0.0,
        "Window in which repeats of one message are folded into one record with an exact count; 0 keeps all.",
        shown="0",
    )
    durable_level: int | None = _variable(
        "CLEW_DURABLE_LEVEL",
        level,
        cast("int | None", _LEVELS["ERROR"]),
        "Records of this level and above are on disk before the log call returns; `off` for none.",
        shown="ERROR",
    )
    redact: bool = _variable(
        "CLEW_REDACT",
        switch,
        default=True,
        doc="Replace well-known secrets in logs and spans before they leave.",
        shown="on",
    )
    redact_keys: tuple[str, ...] = _variable(
        "CLEW_REDACT_KEYS",
        names,
        (),
        "More keys whose values are secrets, besides the built-in ones.",
        shown="none",
    )
    redact_allow: tuple[str, ...] = _variable(
        "CLEW_REDACT_ALLOW",
        names,
        (),
        "Keys that are not secrets although the built-in list says so.",
        shown="none",
    )
    redact_patterns: tuple[re.Pattern[str], ...] = _variable(
        "CLEW_REDACT_PATTERNS",
        patterns,
        (),
        "More regular expressions whose matches are secrets, separated by `;;`.",
        shown="none",
    )
    queue_size: int = _variable(
        "CLEW_QUEUE_SIZE",
        count,
        65536,
        "Records of each signal that may wait in memory; more are dropped and counted.",
    )
    shutdown_timeout_s: float = _variable(
        "CLEW_SHUTDOWN_TIMEOUT",
        duration_s,
        2.0,
        "How long exit may take to deliver; what is left goes to the spool.",
        shown="2",
    )
    spool_max_bytes: int = _variable(
        "CLEW_SPOOL_MAX_BYTES",
        byte_count,
        512 * 1024**2,
        "Bytes on disk that may wait for the Collector; past it the oldest are dropped and counted.",
        shown="512MiB",
    )
    replay_bytes_per_s: int = _variable(
        "CLEW_REPLAY_RATE",
        byte_count,
        4 * 1024**2,
        "Bytes of spool sent a second once the Collector is back.",
        shown="4MiB",
    )
    segment_max_bytes: int = _variable(
        "CLEW_SEGMENT_MAX_BYTES",
        byte_count,
        16 * 1024**2,
        "Size at which a file is closed and a new one begun.",
        shown="16MiB",
    )
    segment_max_age_s: float = _variable(
        "CLEW_SEGMENT_MAX_AGE",
        duration_s,
        3600.0,
        "Age at which a file is closed and a new one begun.",
        shown="1h",
    )
    compression: Literal["zstd", "gzip", "none"] = _variable(
        "CLEW_COMPRESSION",
        one_of("zstd", "gzip", "none"),  # type: ignore[arg-type]  # one_of returns one of these literals
        "zstd",
        "How closed files are compressed.",
    )
    retention_max_age_s: float = _variable(
        "CLEW_RETENTION_MAX_AGE", duration_s, 7 * 86400.0, "Files older than this are deleted.", shown="7d"
    )
    retention_max_files: int = _variable(
        "CLEW_RETENTION_MAX_FILES", count, 1000, "More files than this: the oldest are deleted."
    )
    retention_max_bytes: int = _variable(
        "CLEW_RETENTION_MAX_BYTES",
        byte_count,
        1024**3,
        "More bytes than this: the oldest files are deleted.",
        shown="1GiB",
    )
    retention_min_free_bytes: int = _variable(
        "CLEW_RETENTION_MIN_FREE",
        byte_count,
        256 * 1024**2,
        "Less free disk than this: the oldest files are deleted.",
        shown="256MiB",
    )
    collector_program: str = _variable(
        "CLEW_OTELCOL",
        _text,
        "",
        "The Collector that `clew collector` runs, a path or a name.",
        shown="one on the path, else Docker",
    )
    problems: tuple[str, ...] = ()
    """One line for each variable whose value could not be used: its name, the value, the cure."""

    @classmethod
    def from_mapping(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings from `environ`.

        A blank value counts as unset; a bad one leaves the default and a line in `problems`.
        """
        values: dict[str, Any] = {}
        problems: list[str] = []
        for item in fields(cls):
            variable = item.metadata.get("variable")
            text = environ.get(variable, "") if variable else ""
            if not text.strip():
                continue
            try:
                values[item.name] = item.metadata["parse"](text)
            except ValueError as error:
                given = "its value" if item.metadata["secret"] else repr(text)
                problems.append(f"{variable} {error}, got {given}; using {item.metadata['shown']}")
        values.setdefault("folder", default_folder(environ))
        return cls(**values, problems=tuple(problems))


@dataclass(frozen=True)
class Variable:
    """One variable as documentation and `clew config` show it."""

    name: str
    default: str
    doc: str
    field: str
    secret: bool


VARIABLES: Final[tuple[Variable, ...]] = tuple(
    Variable(
        item.metadata["variable"],
        item.metadata["shown"],
        item.metadata["doc"],
        item.name,
        item.metadata["secret"],
    )
    for item in fields(Settings)
    if item.metadata
)
"""Each variable, in the order of `Settings`."""


def read_process() -> Settings:
    """Read this process's environment: the only place in Clew that does."""
    return Settings.from_mapping(os.environ)


def process_environment() -> MutableMapping[str, str]:
    """Return this process's environment, for those who set OpenTelemetry's defaults or start a child."""
    return os.environ
