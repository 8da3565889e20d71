"""`clew doctor`: is everything wired, and does telemetry arrive."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

from clew import settings
from clew.desk import options, plain, terminal
from clew.desk.query import counted
from clew.schema import SIGNALS

if TYPE_CHECKING:
    from clew.desk.doctor.findings import Finding

DEFAULT_TIMEOUT_S: Final = 2.0
_COLOURS: Final = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command
@click.option("--endpoint", metavar="URL", help="Probe this one, instead of those of OTEL_EXPORTER_OTLP_*.")
@click.option("--offline", is_flag=True, help="Speak to no endpoint, and send no probe.")
@click.option(
    "--timeout",
    metavar="TIME",
    default=f"{DEFAULT_TIMEOUT_S:g}s",
    show_default=True,
    help="How long each step towards an endpoint may take.",
)
@options.json_output
def doctor(*, endpoint: str | None, offline: bool, timeout: str, as_data: bool) -> None:
    """Examine packages, settings, the folder and the endpoint, and send one span, log record and metric point.

    Each finding is ok, a warning or a problem, with its cure. The exit status is 1 if there is a problem.

    \b
    Example:
      clew doctor
      clew doctor --endpoint https://collector:4318 --json
    """
    from clew.desk.doctor.examination import examine  # noqa: PLC0415 - `clew doctor --help` needs none of it

    timeout_s = options.parsed("--timeout", settings.duration_s, timeout) or DEFAULT_TIMEOUT_S
    environ = dict(settings.process_environment())
    if endpoint:
        own = {f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT": "" for signal in SIGNALS}
        environ |= {**own, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
    findings = []
    for finding in examine(environ, is_online=not offline, timeout_s=timeout_s):
        findings.append(finding)
        if not as_data:
            click.echo("\n".join(lines_of(finding)))
    levels = Counter(finding.level for finding in findings)
    if as_data:
        data = {
            "findings": [asdict(finding) for finding in findings],
            **{f"{name}s": levels[name] for name in ("warning", "problem")},
        }
        click.echo(plain.as_json(data, indent=True))
    else:
        click.echo(
            f"\n{counted(levels['problem'], 'problem')}, {counted(levels['warning'], 'warning')}, {levels['ok']} ok"
        )
    if levels["problem"]:
        raise SystemExit(1)


def lines_of(finding: Finding) -> list[str]:
    """Return a finding as lines: how bad it is, what was looked at, what was found, and the cure."""
    level: str = finding.level
    shown = (
        click.style(f"{level:<8}", fg=_COLOURS[level], bold=level == "problem")
        if terminal.has_colour()
        else f"{level:<8}"
    )
    line = f"{shown} {finding.topic:<16}{terminal.clean(finding.found)}"
    return [line, f"{'':<25}cure: {terminal.clean(finding.cure)}"] if finding.cure else [line]
