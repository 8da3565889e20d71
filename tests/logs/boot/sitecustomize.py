"""Starts log capture in a test program, with a sink that writes each entry as one JSON line."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clew.entry import LogEntry

if os.environ.get("CLEW_TEST_RECORDS"):
    import json

    from clew.logs import capture, console, unhandled
    from clew.settings import Settings

    def _sink(entry: LogEntry) -> None:
        line = json.dumps(entry._asdict(), default=str) + "\n"
        descriptor = os.open(os.environ["CLEW_TEST_RECORDS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, line.encode())
        os.close(descriptor)

    _settings = Settings.from_mapping(os.environ)
    capture.install(_sink, _settings)
    unhandled.install(_sink)
    console.install(_settings)
    if os.environ.get("CLEW_TEST_SPANS"):
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider

        from clew.correlation import tracing
        from clew.logs.access import AccessSpanProcessor

        _provider = TracerProvider()
        _provider.add_span_processor(AccessSpanProcessor())
        trace.set_tracer_provider(_provider)
        tracing.install(_settings)
