"""The entry points, and the list of what is wired to what when a program starts.

`opentelemetry-instrument` calls, in this order: the distribution, the configurator, `join`, each instrumentation
through the distribution, `finish`. Whatever fails here leaves the program without telemetry and one line on stderr.
"""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import metrics
from opentelemetry.instrumentation.distro import BaseDistro  # type: ignore[attr-defined]  # untyped upstream

from clew import diagnostics, instrumentations, otel_variables, repeated_work, seamless, settings, versions
from clew.selection import NAME
from clew.service_name import guess_service_name
from clew.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.util._importlib_metadata import EntryPoint

    from clew.delivery.pipeline import Delivery
    from clew.entry import LogEntry
    from clew.logs.redaction import Redactor
    from clew.settings import Settings

_SIGNALS: Final = ("traces", "metrics", "logs")


class _Retelling(logging.Handler):
    """Stands in for `logging.lastResort` during the boot, when upstream logs about itself to the program's console.

    An error is told in one line at the end, unless the boot failed and said why.
    """

    replaced: logging.Handler | None = None
    held: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Hold the first error of upstream's; hand on what is not upstream's."""
        if not record.name.startswith("opentelemetry"):
            if self.replaced is not None:
                self.replaced.handle(record)
        elif record.levelno >= logging.ERROR and self.held is None:
            reason = record.exc_info[1] if record.exc_info else None
            self.held = f"{record.getMessage()}{f': {reason}' if reason else ''}"


class _Boot:
    """What one start of a program has decided and done so far."""

    def __init__(self) -> None:
        self.active = False
        self.wired = False
        self.settings: Settings = settings.Settings()
        self.sink: Callable[[LogEntry], None] | None = None
        self.warnings: warnings.catch_warnings[None] | None = None


_boot = _Boot()
_retelling = _Retelling()


class ClewDistro(BaseDistro):  # type: ignore[misc]  # as above
    """Sets the defaults of OpenTelemetry's variables and loads the instrumentations."""

    def _configure(self, **_: Any) -> None:
        _guarded(_prepare)

    def load_instrumentor(self, entry_point: EntryPoint, **kwargs: Any) -> None:
        """Load one instrumentation as `clew.instrumentations` decides; none if telemetry is off."""
        if _boot.active:
            instrumentations.load(entry_point, settings.process_environment(), **kwargs)


class ClewConfigurator:
    """Configures the SDK with Clew's propagator, processors, log capture and delivery."""

    def configure(self, **kwargs: Any) -> None:
        """Wire everything; upstream passes `auto_instrumentation_version`."""
        if not _boot.active and not _boot.wired:
            _guarded(_prepare)
        if _boot.active:
            _guarded(lambda: _wire(kwargs.get("auto_instrumentation_version")))


def join() -> None:
    """Add correlation and log capture to providers that another distribution has configured.

    Runs before the instrumentations whoever was chosen; does nothing where Clew configured, or where the user named
    another distribution or configurator.
    """
    environ = settings.process_environment()
    chosen = {environ.get("OTEL_PYTHON_DISTRO", NAME), environ.get("OTEL_PYTHON_CONFIGURATOR", NAME)}
    if _boot.wired or chosen != {NAME} or otel_variables.is_disabled(environ):
        return
    environ.setdefault("OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION", "false")
    _boot.settings = settings.Settings.from_mapping(environ)
    if _boot.settings.mode != "off":
        _guarded(_wire_beside_others)


def finish() -> None:
    """End the boot: what is logged from now on is the program's to show."""
    if logging.lastResort is _retelling:
        logging.lastResort = _retelling.replaced
    if _boot.warnings is not None:
        _boot.warnings.__exit__(None, None, None)
        _boot.warnings = None
    if _boot.sink is not None:
        from clew.latency import overhead  # noqa: PLC0415 - loaded only where the boot has gone well
        from clew.logs import capture  # noqa: PLC0415 - likewise

        capture.install(_boot.sink, _boot.settings)
        overhead.boot_ended()
    if _retelling.held:
        diagnostics.report("boot", _retelling.held)


def _guarded(step: Callable[[], None]) -> None:
    """Run one step of the boot; if it fails, the program runs without telemetry and one line says why."""
    try:
        step()
    except Exception as error:  # noqa: BLE001 - promise: the program starts whatever state the packages are in
        _boot.active = False
        _retelling.held = None
        diagnostics.report("boot", versions.explain(error))


def _prepare() -> None:
    """Decide whether to run, and set the defaults of OpenTelemetry's variables."""
    if logging.lastResort is not _retelling:
        _retelling.replaced, logging.lastResort = logging.lastResort, _retelling
        # The SDK adds filters of its own when it is imported; the program is to find those that it starts with.
        _boot.warnings = warnings.catch_warnings()
        _boot.warnings.__enter__()
    environ = settings.process_environment()
    if otel_variables.is_disabled(environ):
        return
    mismatch = versions.mismatch(versions.core_versions())
    if mismatch:
        diagnostics.report("boot", mismatch)
        return
    _boot.settings = settings.Settings.from_mapping(environ)
    _boot.active = _boot.settings.mode != "off"
    if not _boot.active:
        return
    if _boot.settings.problems:
        diagnostics.report("settings", "; ".join(_boot.settings.problems))
    for name, value in otel_variables.defaults(environ, _boot.settings.mode).items():
        environ[name] = value
    environ.setdefault("OTEL_PYTHON_CONFIGURATOR", NAME)
    environ.setdefault("OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION", "false")


def _wire(auto_instrumentation_version: str | None) -> None:
    """Wire Clew's parts to the SDK: the whole list, in order."""
    from clew.delivery import lifecycle  # noqa: PLC0415 - fails here, guarded, if the SDK does not fit
    from clew.delivery.pipeline import Delivery  # noqa: PLC0415
    from clew.logs.redaction import Redactor  # noqa: PLC0415
    from clew.logs.suppression import suppressed  # noqa: PLC0415
    from clew.servers import django, loading  # noqa: PLC0415

    resolved = _boot.settings
    redactor = Redactor(resolved)
    delivery = Delivery(resolved, redactor=redactor if resolved.redact else None, suppress=suppressed)
    lifecycle.install(delivery)
    _install_correlation(resolved)
    _configure_sdk(delivery, redactor, auto_instrumentation_version)
    _boot.wired = True
    _install_logs(resolved, delivery)
    instrumentations.quiet_asgi(resolved)
    repeated_work.install(settings.process_environment())
    seamless.install()
    django.install()
    loading.install(settings.process_environment())


def _configure_sdk(delivery: Delivery, redactor: Redactor, auto_instrumentation_version: str | None) -> None:
    """Configure the providers, from the declarative file if there is one, and let them export through `delivery`."""
    from clew import attributes, sdk  # noqa: PLC0415
    from clew.delivery import metric_exporters, processors  # noqa: PLC0415
    from clew.latency import bounds, span_counts  # noqa: PLC0415
    from clew.logs import redacting_processors  # noqa: PLC0415

    environ = settings.process_environment()
    attributes.install()
    span_counts.install()
    bounds.install()
    if environ.get("OTEL_CONFIG_FILE", "").strip():
        sdk.configure_from_file()
        sdk.add_span_processors(_span_processors())
    else:
        sdk.configure(
            environ=environ,
            exporters={signal: otel_variables.exporter_names(environ, signal) for signal in _SIGNALS},
            resource_attributes=_resource_attributes(),
            span_processors=_span_processors(),
            export_span=lambda exporter: redacting_processors.guard_spans(
                processors.make_span_processor(exporter, delivery), redactor
            ),
            export_log=lambda exporter: redacting_processors.guard_logs(
                processors.make_log_record_processor(exporter, delivery), redactor
            ),
            exporter_arguments={made: {"delivery": delivery} for made in metric_exporters.QUEUING},
            auto_instrumentation_version=auto_instrumentation_version,
        )
    _install_metrics(delivery)


def _install_metrics(delivery: Delivery) -> None:
    """Bound what is measured, and let Clew's own parts be observed; before anything is measured."""
    from clew.correlation import self_metrics as correlation_metrics  # noqa: PLC0415
    from clew.delivery import self_metrics as delivery_metrics  # noqa: PLC0415
    from clew.latency import overhead, recording, series, span_counts  # noqa: PLC0415

    provider = metrics.get_meter_provider()
    series.limit_series()
    recording.install()
    span_counts.register(provider)
    delivery_metrics.register_metrics(delivery, provider)
    correlation_metrics.register_metrics(provider)
    overhead.register_metrics(provider)
    overhead.install()


def _wire_beside_others() -> None:
    """Wire correlation and log capture to another distribution's providers; delivery stays theirs."""
    from clew import sdk  # noqa: PLC0415 - as in _wire
    from clew.logs import capture, emission  # noqa: PLC0415

    _install_correlation(_boot.settings)
    sdk.add_span_processors(_span_processors())
    capture.install(emission.make_emitter(), _boot.settings)
    _boot.wired = True


def _install_correlation(resolved: Settings) -> None:
    from clew.correlation import carriers, propagation, responses, tracing  # noqa: PLC0415
    from clew.logs import access  # noqa: PLC0415

    tracing.install(resolved)
    tracing.started_requests.append(access.remember)
    access.install()
    propagation.install(resolved)
    responses.install(resolved)
    carriers.install(resolved)


def _install_logs(resolved: Settings, delivery: Delivery) -> None:
    from clew import sdk  # noqa: PLC0415
    from clew.delivery.processors import ClewLogRecordProcessor  # noqa: PLC0415
    from clew.latency import overhead  # noqa: PLC0415
    from clew.logs import capture, console, emission, span_errors, unhandled  # noqa: PLC0415
    from clew.logs.bridges import loguru, structlog  # noqa: PLC0415

    sink = sdk.make_log_sink(delivery.put_log, emission.make_emitter(), ClewLogRecordProcessor)
    _boot.sink = sink
    # Until the boot ends, what upstream logs about itself is not the program's.
    capture.install(
        lambda entry: None if str(entry.scope).startswith("opentelemetry") else sink(entry),
        resolved,
        overhead.logs.measure_hook,
    )
    unhandled.install(sink)
    console.install(resolved)
    structlog.install()
    loguru.install()
    span_errors.install()


def _resource_attributes() -> dict[str, str]:
    """Return what Clew says of the service: its guessed name if it has none, and the distribution."""
    found = {"telemetry.distro.name": "clew-opentelemetry", "telemetry.distro.version": __version__}
    if not otel_variables.names_service(settings.process_environment()):
        found["service.name"] = guess_service_name(sys.orig_argv, Path.cwd())
    return found


def _span_processors() -> list[SpanProcessor]:
    from clew.logs.access import AccessSpanProcessor  # noqa: PLC0415

    return [AccessSpanProcessor()]
