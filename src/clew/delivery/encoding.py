"""What both encodings share: a batch goes in, records are grouped by resource and scope, one payload comes out.

A record that cannot be encoded is left out and counted; it never costs its neighbours, and nothing here raises.
"""

from __future__ import annotations

import dataclasses
import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from opentelemetry.sdk.resources import Resource

from clew.bounded import items_of
from clew.delivery.attributes import LogAttributes, PairCache, Redactor
from clew.delivery.sdk import read_span
from clew.entry import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from google.protobuf.message import Message
    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from clew.entry import LogEntry

T = TypeVar("T")
Rest: TypeAlias = "Callable[[], object]"
"""Lets other threads run."""

MAX_HEADERS: Final = 256
"""Encoded resources and scopes that are remembered."""

MAX_NAMES: Final = 1024
"""Encoded span names and severities that are remembered; both are meant to be few."""

SLICE: Final = 64
"""Records that are encoded between two rests, which takes less than a millisecond."""

_NO_SCOPE: Final = Scope("", None, None, {})


@dataclass(frozen=True)
class Encoded:
    """One request: its bytes, how many records are in it, and how many could not be encoded and were left out."""

    payload: bytes
    count: int
    rejected: int


class Encoder(ABC):
    """One encoding, with what it remembers; any number of threads may use it at the same time."""

    pair_separator: bytes
    """What stands between two encoded attributes of a log record."""

    def __init__(self, redact: Redactor | None) -> None:
        self.pairs = PairCache(self.key, self.pair, redact)
        self.log_attributes = LogAttributes(self.pairs, self.pair_separator)
        self._headers: dict[int, tuple[object, bytes]] = {}

    @abstractmethod
    def key(self, key: object) -> bytes:
        """Encode the key of an attribute, whatever it is."""

    @abstractmethod
    def pair(self, encoded_key: bytes, value: object) -> bytes:
        """Encode one attribute, whatever its value is."""

    @abstractmethod
    def log(self, entry: LogEntry) -> bytes:
        """Encode one log record; may raise."""

    @abstractmethod
    def span(self, fields: tuple[Any, ...]) -> bytes:
        """Encode one span from what `sdk.read_span` returned; may raise."""

    @abstractmethod
    def resource_header(self, attributes: Mapping[str, Any], schema_url: str | None) -> bytes:
        """Encode a resource and its schema URL."""

    @abstractmethod
    def scope_header(self, scope: Scope) -> bytes:
        """Encode a scope and its schema URL."""

    @abstractmethod
    def request(self, signal: str, groups: Mapping[bytes, Mapping[bytes, Sequence[bytes]]]) -> bytes:
        """Put encoded records together: by resource header, then by scope header."""

    def encode_logs(self, entries: Sequence[LogEntry], resource: Resource, rest: Rest | None = None) -> Encoded:
        """Encode log entries, all of one resource; `rest` is called now and then, to let other threads run."""
        log, rejected = self.log, 0
        groups: dict[str | Scope, list[bytes]] = {}
        for entry in _resting(entries, rest):
            try:
                record, scope = log(entry), entry[3]
                group = groups.get(scope)
                if group is None:
                    group = groups[scope] = []
                group.append(record)
            except Exception:  # noqa: BLE001, PERF203 - whatever one record holds, its neighbours go out
                rejected += 1
        scopes: dict[bytes, list[bytes]] = {}
        for scope, records in groups.items():
            scopes.setdefault(self._scope(scope), []).extend(records)
        payload = self.request("logs", {self._resource(resource): scopes} if scopes else {})
        return Encoded(payload, len(entries) - rejected, rejected)

    def encode_spans(
        self,
        spans: Sequence[ReadableSpan | tuple[Any, ...]],
        resource: Resource | None = None,
        rest: Rest | None = None,
    ) -> Encoded:
        """Encode spans, or the fields of them; `resource` stands for all of them, None takes each span's own."""
        write, rejected = self.span, 0
        groups: dict[bytes, dict[bytes, list[bytes]]] = {}
        group: list[bytes] = []
        last_resource: object = self
        last_scope: object = self
        for span in _resting(spans, rest):
            try:
                fields = span if isinstance(span, tuple) else read_span(span)
                record = write(fields)
                of_resource, of_scope = fields[-2:]
                if of_resource is not last_resource or of_scope is not last_scope:
                    scopes = groups.setdefault(self._resource(resource or of_resource), {})
                    group = scopes.setdefault(self._scope(of_scope), [])
                    last_resource, last_scope = of_resource, of_scope
                group.append(record)
            except Exception:  # noqa: BLE001, PERF203 - as above
                rejected += 1
        return Encoded(self.request("traces", groups), len(spans) - rejected, rejected)

    def _resource(self, resource: Resource) -> bytes:
        """Return the encoded header of `resource`; found by identity because hashing a Resource makes JSON of it."""
        known = self._headers.get(id(resource))
        if known is not None and known[0] is resource:
            return known[1]
        return self._keep(resource, self.resource_header(items_of(resource.attributes), resource.schema_url))

    def _scope(self, scope: str | Scope | InstrumentationScope | None) -> bytes:
        """Return the encoded header of a scope; equal ones have equal headers, whatever object they are."""
        known = self._headers.get(id(scope))
        if known is not None and known[0] is scope:
            return known[1]
        if isinstance(scope, str):
            return self._keep(scope, self.scope_header(Scope(scope, None, None, {})))
        if scope is None:
            return self.scope_header(_NO_SCOPE)
        return self._keep(
            scope,
            self.scope_header(Scope(scope.name, scope.version, scope.schema_url, dict(items_of(scope.attributes)))),
        )

    def _keep(self, owner: object, header: bytes) -> bytes:
        """Remember a header with its owner, whose identity must not be given to another object meanwhile."""
        if len(self._headers) >= MAX_HEADERS:
            self._headers.clear()
        self._headers[id(owner)] = (owner, header)
        return header


class Codec:
    """Encodes batches in one encoding, each by the encoder of its redactor: what that remembers was redacted by it."""

    def __init__(self, make: Callable[[Redactor | None], Encoder]) -> None:
        self._encoder = functools.lru_cache(maxsize=4)(make)

    def encode_logs(
        self,
        entries: Sequence[LogEntry],
        resource: Resource,
        *,
        redact: Redactor | None = None,
        rest: Rest | None = None,
    ) -> Encoded:
        """Encode log entries, all of one resource; `rest` is called now and then, to let other threads run."""
        return self._encoder(redact).encode_logs(entries, resource, rest)

    def encode_spans(
        self,
        spans: Sequence[ReadableSpan | tuple[Any, ...]],
        resource: Resource | None = None,
        *,
        redact: Redactor | None = None,
        rest: Rest | None = None,
    ) -> Encoded:
        """Encode spans, or the fields of them; without `resource`, each under its own."""
        return self._encoder(redact).encode_spans(spans, resource, rest)


def _resting(items: Sequence[T], rest: Rest | None) -> Iterable[T]:
    """Return the items, with a rest after each slice of them."""
    return items if rest is None else _sliced(items, rest)


def _sliced(items: Sequence[T], rest: Rest) -> Iterator[T]:
    for start in range(0, len(items), SLICE):
        if start:
            rest()
        yield from items[start : start + SLICE]


def encode_message(data: MetricsData, redact: Redactor | None) -> Message:
    """Return metrics as upstream's message, their resources without secrets; may raise.

    Points keep what they have: they are few and named by instrumentations.
    """
    from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics  # noqa: PLC0415 - start-up time

    return encode_metrics(data if redact is None else redacted_metrics(data, redact))


def count_points(data: MetricsData) -> int:
    """Count the data points of all metrics."""
    return sum(
        len(metric.data.data_points)
        for of_resource in data.resource_metrics
        for of_scope in of_resource.scope_metrics
        for metric in of_scope.metrics
    )


def redacted_metrics(data: MetricsData, redact: Redactor) -> MetricsData:
    """Return metrics whose resources hold no secrets."""
    return dataclasses.replace(
        data,
        resource_metrics=[
            dataclasses.replace(
                item,
                resource=Resource(redact.attributes(dict(item.resource.attributes)), item.resource.schema_url),
            )
            for item in data.resource_metrics
        ],
    )
