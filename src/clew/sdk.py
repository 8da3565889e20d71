"""Upstream's configurator and providers, reached through their private names in this one module.

What stands behind an underscore may move in any release; each use here says what happens when it has.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import _logs, trace
from opentelemetry.sdk import _configuration
from opentelemetry.sdk.trace import TracerProvider

from clew import otel_variables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
    from typing import TypeAlias

    from opentelemetry.sdk._logs import LogRecordProcessor
    from opentelemetry.sdk._logs.export import LogRecordExporter
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace.export import SpanExporter

    from clew.entry import LogEntry

    LogSink: TypeAlias = Callable[[LogEntry], None]


def configure(
    *,
    environ: MutableMapping[str, str],
    exporters: Mapping[str, Sequence[str]],
    resource_attributes: Mapping[str, str],
    span_processors: Sequence[SpanProcessor],
    export_span: Callable[[SpanExporter], SpanProcessor],
    export_log: Callable[[LogRecordExporter], LogRecordProcessor],
    exporter_arguments: Mapping[type, Mapping[str, object]],
    auto_instrumentation_version: str | None,
) -> None:
    """Configure the SDK as upstream does, with our processors in its keyword hooks.

    Args:
        environ: The process's environment; the three `OTEL_*_EXPORTER` hold `exporters` while upstream reads them.
        exporters: For each signal the names of exporter entry points.
        resource_attributes: What the resource has besides the user's and the detectors'.
        span_processors: What runs on each span before it is exported.
        export_span: Makes the processor of a span exporter, in place of upstream's batch processor.
        export_log: Likewise for log records.
        exporter_arguments: What an exporter's class is called with, by class.
        auto_instrumentation_version: What upstream puts in the resource.
    """
    configurator: Any = _configuration._OTelSDKConfigurator  # noqa: SLF001 - the class that distributions build on
    with _exporters(environ, exporters):
        configurator().configure(
            auto_instrumentation_version=auto_instrumentation_version,
            resource_attributes=dict(resource_attributes),
            span_processors=list(span_processors),
            export_span_processor=lambda span_exporter, *_, **__: export_span(span_exporter),
            export_log_record_processor=lambda exporter, *_, **__: export_log(exporter),
            exporter_args_map=dict(exporter_arguments),
            setup_logging_handler=False,
        )


def configure_from_file() -> None:
    """Configure the SDK from `OTEL_CONFIG_FILE`; upstream ignores every keyword then, so none is given."""
    configurator: Any = _configuration._OTelSDKConfigurator  # noqa: SLF001 - as in configure
    configurator().configure()


def add_span_processors(processors: Sequence[SpanProcessor]) -> None:
    """Add processors to the tracer provider in force, in front of those that it has where that can be done."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        return
    for processor in processors:
        provider.add_span_processor(processor)
    chain = getattr(provider, "_active_span_processor", None)
    present = getattr(chain, "_span_processors", None)
    if isinstance(present, tuple) and chain is not None:
        added = tuple(processors)
        chain._span_processors = added + tuple(item for item in present if item not in added)  # noqa: SLF001 - order only


def make_log_sink(put: Callable[[LogEntry], None], emit: Callable[[LogEntry], None], own: type) -> LogSink:
    """Make the sink of captured records for the logger provider in force.

    A provider whose only processor is `own` gets its records by `put`, without SDK objects in between; one that has
    others gets them by `emit`; one that has none was told to export nothing. A processor that is added later is seen at
    the next record.
    """
    chain: Any = getattr(_logs.get_logger_provider(), "_multi_log_record_processor", None)
    if not hasattr(chain, "_log_record_processors"):
        return emit
    known: object = None
    target: LogSink = emit

    def sink(entry: LogEntry) -> None:
        nonlocal known, target
        processors = chain._log_record_processors  # noqa: SLF001 - a tuple that is replaced, never changed, by an addition
        if processors is not known:
            known, target = processors, _choose(processors)
        target(entry)

    def _choose(processors: tuple[object, ...]) -> LogSink:
        if not processors:
            return _discard
        return put if len(processors) == 1 and type(processors[0]) is own else emit

    return sink


def _discard(entry: LogEntry) -> None:
    """Take a record that the user asked to export nowhere."""


@contextmanager
def _exporters(environ: MutableMapping[str, str], exporters: Mapping[str, Sequence[str]]) -> Iterator[None]:
    """Let upstream read `exporters`, and what it can take of the rest, and give the variables their own values back."""
    chosen = {f"OTEL_{signal.upper()}_EXPORTER": ",".join(names) or "none" for signal, names in exporters.items()}
    variables = {**otel_variables.for_exporters(environ), **chosen}
    before = {name: environ.get(name) for name in variables}
    _set(environ, variables)
    try:
        yield
    finally:
        _set(environ, before)


def _set(environ: MutableMapping[str, str], variables: Mapping[str, str | None]) -> None:
    """Set variables, and unset those that are None."""
    for name, value in variables.items():
        if value is None:
            environ.pop(name, None)
        else:
            environ[name] = value
