"""Attributes on their way out: redaction in either encoding, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status, StatusCode
from otlp_strategies import entries, spans

from clew.delivery import json as otlp_json
from clew.delivery import protobuf
from clew.delivery.attributes import MAX_TEXTS
from clew.entry import ExceptionEntry, LogEntry

if TYPE_CHECKING:
    from collections.abc import Mapping

SECRET = "hunter2"
RESOURCE = Resource({"service.name": "shop", "db.url": f"postgres://{SECRET}@db"})
ENCODINGS = pytest.mark.parametrize("encoding", [protobuf, otlp_json], ids=["protobuf", "json"])


class Censor:
    """A redactor of one word and one key that counts what it is given."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    def text(self, text: str) -> str:
        """Replace the word."""
        self.seen.append(text)
        return text.replace(SECRET, "***")

    def attributes(self, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Replace the word in each value, and the value of `password`."""
        self.seen.append(attributes)
        redacted = {key: "***" if key == "password" else self._deep(value) for key, value in attributes.items()}
        return attributes if redacted == attributes else redacted

    def value(self, value: Any) -> Any:
        """Replace the word at every depth."""
        return self._deep(value)

    def _deep(self, value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(SECRET, "***")
        if isinstance(value, dict):
            return {key: self._deep(item) for key, item in value.items()}
        return [self._deep(item) for item in value] if isinstance(value, (list, tuple)) else value


class Nothing(Censor):
    """A redactor that finds nothing."""

    def text(self, text: str) -> str:
        """Return the text itself."""
        return text

    def attributes(self, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the attributes themselves."""
        return attributes

    def value(self, value: Any) -> Any:
        """Return the value itself."""
        return value


def entry(**fields: Any) -> LogEntry:
    """Return a plain entry with `fields` replaced."""
    plain = LogEntry(1, 9, "INFO", "app", "hello", None, 0, 0, 0, None, None, None, None, None, None)
    return plain._replace(**fields)


LEAKY_ENTRIES = [
    entry(body=f"login with {SECRET}"),
    entry(body={"deep": [{"deeper": SECRET}]}),
    entry(attributes={"user": "u1", "password": 12345, "note": SECRET, "nested": {"list": [SECRET]}}),
    entry(exception=ExceptionEntry("ValueError", f"bad {SECRET}", f"Traceback\n  {SECRET}\n" * 50, "f" * 16)),
]
LEAKY_SPAN = ReadableSpan(
    f"GET /?token={SECRET}",
    SpanContext(1, 2, is_remote=False),
    resource=RESOURCE,
    attributes={"url.full": f"https://x/?q={SECRET}", "password": 12345, "tags": (SECRET, "b")},
    events=[Event(f"event {SECRET}", {"exception.message": SECRET})],
    links=[Link(SpanContext(3, 4, is_remote=False), {"link": SECRET})],
    status=Status(StatusCode.ERROR, f"failed: {SECRET}"),
    instrumentation_scope=InstrumentationScope("lib", attributes={"scope": SECRET}),
)


@ENCODINGS
class TestRedaction:
    """What a redactor finds appears in no byte."""

    def test_of_logs(self, encoding: Any) -> None:
        """Bodies, attributes at any depth, exception texts and the resource are redacted, the rest is as it was."""
        for _ in range(2):
            payload = encoding.encode_logs(LEAKY_ENTRIES, RESOURCE, redact=Censor()).payload

            assert SECRET.encode() not in payload
            assert b"12345" not in payload
            assert 4 + 2 + 50 <= payload.count(b"***")
            assert b"u1" in payload

    def test_of_spans(self, encoding: Any) -> None:
        """Names, attributes, events, links, the status, scopes and the resource are redacted."""
        payload = encoding.encode_spans([LEAKY_SPAN], redact=Censor()).payload

        assert SECRET.encode() not in payload
        assert b"12345" not in payload
        assert 10 == payload.count(b"***")

    def test_of_metrics(self, encoding: Any) -> None:
        """The resource of metrics is redacted."""
        reader = InMemoryMetricReader()
        meter = MeterProvider([reader], RESOURCE, shutdown_on_exit=False).get_meter("app")
        meter.create_counter("requests").add(1)

        encoded = encoding.encode_metrics(reader.get_metrics_data(), redact=Censor())

        assert (1, 0) == (encoded.count, encoded.rejected)
        assert SECRET.encode() not in encoded.payload

    def test_sees_a_pair_once(self, encoding: Any) -> None:
        """A pair that comes again is not looked at again, nor is a traceback; a key is tried once."""
        censor = Censor()
        batch = [entry(body=1, attributes={"route": "/", "status": 200, "ok": True})] * 500
        failure = entry(body=1, exception=ExceptionEntry("E", "m" * 300, "stack" * 500, None))

        encoding.encode_logs([*batch, *[failure] * 500], Resource({}), redact=censor)

        looked_at = [item for item in censor.seen if isinstance(item, str)]
        assert ["/", "m" * 300, "stack" * 500] == looked_at
        assert len(censor.seen) < 20

    def test_keeps_redactors_apart(self, encoding: Any) -> None:
        """What one redactor let through is looked at again by another."""
        made = [entry(attributes={"note": SECRET})]

        assert SECRET.encode() in encoding.encode_logs(made, Resource({})).payload
        assert SECRET.encode() not in encoding.encode_logs(made, Resource({}), redact=Censor()).payload
        assert SECRET.encode() in encoding.encode_logs(made, Resource({})).payload

    @given(st.lists(entries(), max_size=3), st.lists(spans(), max_size=2))
    def test_changes_nothing_else(self, encoding: Any, batch: list[LogEntry], others: list[ReadableSpan]) -> None:
        """Where a redactor finds nothing, the bytes are those without one."""
        nothing = Nothing()

        assert encoding.encode_logs(batch, RESOURCE) == encoding.encode_logs(batch, RESOURCE, redact=nothing)
        assert encoding.encode_spans(others) == encoding.encode_spans(others, redact=nothing)

    def test_a_failing_redactor_lets_nothing_through(self, encoding: Any) -> None:
        """A record whose redaction fails is left out and counted, rather than sent as it is."""

        class Failing(Nothing):
            def text(self, text: str) -> str:
                raise RuntimeError(text)

        encoded = encoding.encode_logs([entry(body=SECRET), entry(body=None)], Resource({}), redact=Failing())

        assert (1, 1) == (encoded.count, encoded.rejected)
        assert SECRET.encode() not in encoded.payload


def test_texts_remembered_are_bounded() -> None:
    """Tracebacks that are all different do not make memory grow without end."""
    encoder = protobuf.ProtobufEncoder(Nothing())
    failures = [entry(exception=ExceptionEntry("E", "", f"{number}" + "x" * 1000, None)) for number in range(1000)]

    encoder.encode_logs(failures, RESOURCE)

    assert len(encoder.pairs._texts) <= MAX_TEXTS
