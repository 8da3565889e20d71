"""Everything that `clew doctor` looks at, in order; an examination that fails itself is a finding, too."""

from __future__ import annotations

import shutil
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from clew.desk.doctor import configuration, packages, probing, storage
from clew.desk.doctor.findings import ok, problem, warning
from clew.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from clew.desk.doctor.configuration import Target
    from clew.desk.doctor.findings import Finding


def examine(environ: Mapping[str, str], *, is_online: bool = True, timeout_s: float = 2.0) -> Iterator[Finding]:
    """Look at everything; findings come as they are made, each once.

    Args:
        environ: The variables that a program started here would have.
        is_online: Whether endpoints are spoken to.
        timeout_s: How long each step towards an endpoint may take.
    """
    settings = Settings.from_mapping(environ)
    examinations: list[tuple[str, Callable[[], Iterable[Finding]]]] = [
        ("command", _command),
        ("distribution", lambda: packages.examine_distribution(environ)),
        ("versions", packages.examine_versions),
        ("instrumentation", packages.examine_instrumentations),
        ("settings", lambda: configuration.examine_settings(environ, settings)),
        ("propagators", lambda: packages.examine_names(environ)),
        ("folder", lambda: storage.examine_folder(settings)),
        ("spool", lambda: storage.examine_spool(settings)),
        ("endpoint", lambda: _endpoints(environ, settings, timeout_s if is_online else 0.0)),
    ]
    seen: set[Finding] = set()
    for topic, look in examinations:
        for finding in _guarded(topic, look):
            if finding not in seen:
                seen.add(finding)
                yield finding


def _guarded(topic: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except Exception as error:  # noqa: BLE001 - promise: no state of a machine makes the doctor fall over
        yield problem(
            topic, f"could not be examined: {type(error).__name__}: {error}", "report this with `clew config`"
        )


def _command() -> Iterator[Finding]:
    """Tell whether the command that starts programs is there, from the same environment."""
    beside = Path(sys.executable).with_name("opentelemetry-instrument")
    found = shutil.which("opentelemetry-instrument") or (str(beside) if beside.exists() else None)
    if found is None:
        cure = "install it: pip install opentelemetry-instrumentation; or add the environment's bin folder to PATH"
        yield problem("command", "opentelemetry-instrument is not found", cure)
    elif beside.exists() and Path(found).resolve() != beside.resolve():
        cure = f"start programs with {beside}, or put its folder first in PATH"
        yield warning("command", f"opentelemetry-instrument is {found}, of another environment than clew's", cure)
    else:
        yield ok("command", f"opentelemetry-instrument is {found}")


def _endpoints(environ: Mapping[str, str], settings: Settings, timeout_s: float) -> Iterator[Finding]:
    try:
        targets = configuration.make_targets(environ, settings)
    except ValueError as error:
        yield problem("endpoint", str(error), "correct OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_PROTOCOL")
        return
    if not targets:
        yield ok("endpoint", "no signal goes to a Collector")
        return
    yield from configuration.examine_protocols(targets)
    yield from _proxy(targets)
    if timeout_s:
        yield from probing.examine_endpoints(targets, timeout_s)


def _proxy(targets: Iterable[Target]) -> Iterator[Finding]:
    """Say so where a program would go by a proxy: the probe does not."""
    proxies = urllib.request.getproxies()
    for target in targets:
        scheme = "https" if target.is_secure else "http"
        if scheme in proxies and not urllib.request.proxy_bypass(target.host):
            cure = f"add {target.host} to NO_PROXY if the endpoint is to be reached directly, as the probe reaches it"
            yield warning("proxy", f"programs reach {target.host} by the proxy of {scheme.upper()}_PROXY", cure)
