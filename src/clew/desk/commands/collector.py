"""`clew collector`: the shipped Collector configuration, printed, checked or run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from clew import settings
from clew.desk import collector as desk

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


@click.group
def collector() -> None:
    """Print, check or run the Collector configuration that ships with Clew.

    OVERLAY is what the Collector shall do; `files` if none is named.

    \b
    Overlays:
      files        rotated OTLP-JSON files, which clew reads
      jaeger       traces to Jaeger
      grafana      traces to Tempo, logs to Loki, metrics to Prometheus
      agent        everything to the gateways, each trace whole to one of them
      gateway      request metrics of all traces, then tail sampling; with a destination
      stdout-logs  reads JSON lines that programs print; with a destination
      redaction    masks secrets in every pipeline
      auth         receivers ask for the token in OTELCOL_TOKEN

    \b
    Example:
      clew collector run files redaction
      clew collector config jaeger > collector.yaml
    """


def _configuration(command: F) -> F:
    """Add OVERLAY and `--config`; the command gets the files to load, in order, as `files`."""

    def collect(context: click.Context, _: click.Parameter, overlays: tuple[str, ...]) -> list[Path]:
        extra = context.params.pop("extra", ())
        return desk.config_files(overlays or ("files",), extra)

    command = click.argument("files", metavar="[OVERLAY]...", nargs=-1, callback=collect)(command)
    return click.option(
        "--config",
        "extra",
        multiple=True,
        is_eager=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="A file of your own, merged last; may be repeated.",
    )(command)


@collector.command
@_configuration
def config(files: list[Path]) -> None:
    """Print the configuration as one file.

    \b
    Example:
      clew collector config files jaeger > collector.yaml
    """
    click.echo(desk.merged_text(files), nl=False)


@collector.command
@_configuration
def validate(files: list[Path]) -> None:
    """Have a real Collector check the configuration.

    It is the one in CLEW_OTELCOL, one on the path, or Docker's.

    \b
    Example:
      clew collector validate gateway grafana --config mine.yaml
    """
    program, environ = _program()
    desk.validate(program, files, environ)
    click.echo(f"{program.path} accepts {', '.join(path.name for path in files)}")


@collector.command
@_configuration
def run(files: list[Path]) -> None:
    """Run a Collector with the configuration.

    It is the one in CLEW_OTELCOL, one on the path, or Docker's.
    It listens on 127.0.0.1, ports 4317 and 4318. Its files are in CLEW_DIR, where the other commands find them.

    \b
    Example:
      clew collector run files redaction
    """
    program, environ = _program()
    desk.run(program, files, environ)


def _program() -> tuple[desk.Program, dict[str, str]]:
    resolved, environ = settings.read_process(), settings.process_environment()
    program = desk.find_program(resolved.collector_program, environ.get("PATH"))
    return program, desk.environment(environ, resolved.folder)
