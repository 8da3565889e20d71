"""Posts what files hold to an OTLP endpoint over HTTP in OTLP's JSON form: bounded rate, resumable, counted."""

from __future__ import annotations

import gzip
import http.client
import ssl
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

import orjson

from clew.errors import DeliveryError, OptionError
from clew.files import bookmarks
from clew.files.reader import lines, otlp, reading
from clew.files.reader.records import RawLine, ReadStats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from clew.files.bookmarks import Bookmarks
    from clew.files.reader.formats import TextFormat
    from clew.files.reader.otlp import Row
    from clew.files.reader.sources import Source

DEFAULT_ENDPOINT: Final = "http://localhost:4318"
BATCH_RECORDS: Final = 512
"""Records in one request: what upstream's exporters send, far below the Collector's limit of 20 MiB."""

_GRPC_PORT: Final = 4317
_RETRIED: Final = frozenset({429, 502, 503, 504})
"""Answers after which OTLP/HTTP says to try again."""
_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 30.0


@dataclass(frozen=True)
class Endpoint:
    """Where to post."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    certificate: str | None = None
    """File of the authority that signed the endpoint's certificate; the system's where there is none."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], url: str | None, headers: Sequence[str]) -> Endpoint:
        """Take what is given, else what OpenTelemetry's variables say, else the local Collector.

        Raises:
            OptionError: If the URL cannot be posted to, or a header is not `name=value`.
        """
        url = url or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or DEFAULT_ENDPOINT
        _check(url)
        pairs = [pair for pair in environ.get("OTEL_EXPORTER_OTLP_HEADERS", "").split(",") if pair.strip()]
        found = {}
        for pair in (*pairs, *headers):
            name, equals, value = pair.partition("=")
            if not equals:
                raise OptionError(f"a header must be NAME=VALUE, got {name!r} alone")
            found[name.strip()] = unquote(value.strip())
        return cls(url.rstrip("/"), found, environ.get("OTEL_EXPORTER_OTLP_CERTIFICATE") or None)


@dataclass
class ReplayCounts:
    """What was posted, by signal; `skipped` were posted by an earlier run."""

    posted: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    requests: int = 0
    bytes: int = 0


def replay(
    sources: Sequence[Source],
    poster: Poster,
    marks: Bookmarks,
    stats: ReadStats,
    *,
    form: TextFormat | None = None,
    progress: Callable[[int], None] | None = None,
) -> ReplayCounts:
    """Post all records of the files in order, each file from where an earlier run stopped.

    What the endpoint took is remembered after each request, so an interrupted run repeats at most one request.

    Raises:
        DeliveryError: If the endpoint refuses, or does not answer for too long. What was taken is remembered.
    """
    for source in sources:
        key = f"{poster.endpoint.url} {bookmarks.identity(source.path, _first_line(source))}"
        done = marks.get(key)
        rows = (row for row in reading.read([source], stats, form=form) if not isinstance(row, RawLine))
        poster.counts.skipped += sum(1 for _ in islice(rows, done))
        while batch := list(islice(rows, BATCH_RECORDS)):
            poster.post(batch)
            done += len(batch)
            marks.put(key, done)
        if progress is not None:
            progress(source.size)
    return poster.counts


class Poster:
    """Posts batches to one endpoint over one connection, no faster than the rate."""

    def __init__(self, endpoint: Endpoint, *, bytes_per_s: int, patience_s: float) -> None:
        """Connect when first needed.

        Args:
            endpoint: Where to post.
            bytes_per_s: Bound on the bytes of requests a second, before compression.
            patience_s: How long one request is tried again while the endpoint is busy or away.
        """
        self.endpoint = endpoint
        self.counts = ReplayCounts()
        self._bytes_per_s = bytes_per_s
        self._patience_s = patience_s
        self._connection: http.client.HTTPConnection | None = None
        self._free_at_s = time.monotonic()

    def post(self, rows: Sequence[Row]) -> None:
        """Post records, one request for each signal among them.

        Raises:
            DeliveryError: If the endpoint does not take them.
        """
        for signal, body, count in otlp.requests(rows):
            self._wait_for_turn(len(body))
            rejected = self._deliver(signal, body)
            self.counts.posted[signal] += count - rejected
            self.counts.rejected[signal] += rejected
            self.counts.requests += 1
            self.counts.bytes += len(body)

    def _wait_for_turn(self, length: int) -> None:
        """Hold the rate: each request may begin when those before it have used up their time."""
        now = time.monotonic()
        time.sleep(max(0.0, self._free_at_s - now))
        self._free_at_s = max(now, self._free_at_s) + length / self._bytes_per_s

    def _deliver(self, signal: str, body: bytes) -> int:
        """Send one request, again while that may help, and return how many records were rejected."""
        give_up_at_s, wait_s = time.monotonic() + self._patience_s, _FIRST_WAIT_S
        while True:
            try:
                status, retry_after, answer = self._send(signal, body)
                problem = f"answered {status}{_reason(answer)}"
            except (OSError, http.client.HTTPException) as error:
                status, retry_after, problem = 0, None, str(error) or type(error).__name__
                self.close()
            if 200 <= status < 300:  # noqa: PLR2004 - success, RFC 9110
                return _rejected(answer)
            wait_s = retry_after if retry_after is not None else wait_s
            if (status and status not in _RETRIED) or time.monotonic() + wait_s > give_up_at_s:
                raise DeliveryError(
                    f"{self.endpoint.url} did not take {signal}: {problem}; run again to go on from here"
                )
            time.sleep(wait_s)
            wait_s = min(_LONGEST_WAIT_S, wait_s * 2)

    def _send(self, signal: str, body: bytes) -> tuple[int, float | None, bytes]:
        """Send one request and return status, seconds to wait if the answer says, and the answer."""
        parts = urlsplit(self.endpoint.url)
        self._connection = self._connection or _connect(parts.scheme, parts.netloc, self.endpoint.certificate)
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip", **self.endpoint.headers}
        self._connection.request("POST", f"{parts.path}/v1/{signal}", gzip.compress(body, 1), headers)
        response = self._connection.getresponse()
        retry_after = response.headers.get("Retry-After", "")
        return response.status, float(retry_after) if retry_after.isdigit() else None, response.read()

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _connect(scheme: str, host: str, certificate: str | None) -> http.client.HTTPConnection:
    host = host.rpartition("@")[2]
    if scheme == "https":
        context = ssl.create_default_context(cafile=certificate)
        return http.client.HTTPSConnection(host, timeout=30, context=context)
    return http.client.HTTPConnection(host, timeout=30)


def _check(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise OptionError(f"the endpoint must be an http or https URL such as {DEFAULT_ENDPOINT}, got {url!r}")
    try:
        port = parts.port
    except ValueError:
        raise OptionError(f"the endpoint's port is no number in {url!r}") from None
    if port == _GRPC_PORT:
        raise OptionError(f"{url!r} is the port of OTLP over gRPC; `clew replay` posts over HTTP, to port 4318")


def _rejected(answer: bytes) -> int:
    """Return how many records an answer says were rejected."""
    try:
        partial: Any = orjson.loads(answer)["partialSuccess"]
        return sum(int(number) for name, number in partial.items() if name.startswith("rejected"))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        return 0


def _reason(answer: bytes) -> str:
    text = answer[:200].decode(errors="replace").strip().partition("\n")[0]
    return f" ({text})" if text else ""


def _first_line(source: Source) -> bytes:
    """Return the first line of a file, at most one block of it."""
    try:
        with lines.open_file(source.path) as file:
            blocks: Iterator[bytes] = lines.read_blocks(file)
            return next(blocks, b"").partition(b"\n")[0][: lines.KEPT_BYTES]
    except (OSError, lines.DamagedError):
        return b""
