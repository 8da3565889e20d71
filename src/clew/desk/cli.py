"""The `clew` command: finds its commands, and turns errors into one line and an exit status."""

from __future__ import annotations

import difflib
import importlib
import io
import os
import sys
from typing import Any, Final, NoReturn

import click

from clew.errors import ClewError, OptionError
from clew.version import __version__

DONE: Final = 0
FAILED: Final = 1
"""An error, or nothing was found."""
USAGE: Final = 2
INTERRUPTED: Final = 130
PIPE_CLOSED: Final = 141
"""What a shell shows for a program that a closed pipe ended, as `head` does."""

ERRORS_PAGE: Final = "docs/reference/errors.md"

COMMANDS: Final = {
    "demo": ("clew.desk.commands.demo", "Run three small services and show one request."),
    "trace": ("clew.desk.commands.trace", "Show what one request did, over all services."),
    "logs": ("clew.desk.commands.logs", "Show log records, filtered; follow them."),
    "errors": ("clew.desk.commands.errors", "Show what fails, one group for each root cause."),
    "doctor": ("clew.desk.commands.doctor", "Examine the installation, and send a probe."),
    "report": ("clew.desk.commands.report", "Make an HTML page of latency, errors and slow requests."),
    "retain": ("clew.desk.commands.retain", "Remove old telemetry files."),
    "replay": ("clew.desk.commands.replay", "Post telemetry files to an OTLP endpoint."),
    "collector": ("clew.desk.commands.collector", "Print, check or run the Collector that ships."),
    "config": ("clew.desk.commands.config", "Show the settings as resolved."),
    "schema": ("clew.desk.commands.schema", "Print the JSON Schema of the console line."),
    "id": ("clew.desk.commands.id", "Tell what an ID stands for, and where to look it up."),
}
"""Each command's module, whose function has the command's name, and its help in a line: listing them loads none."""


NO_ARGUMENTS: Final[Any] = getattr(click.exceptions, "NoArgsIsHelpError", ())
"""What newer click raises for a group without a command; its message is the help."""


class PipeClosedError(Exception):
    """Whoever read our output went away; click would call a `BrokenPipeError` a failure."""


class Commands(click.Group):
    """Loads a command when it is asked for: starting `clew` takes as long as one command needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """List the commands in the order in which a person meets them."""
        return list(COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is called; of a name that is none, say which one is near."""
        near = difflib.get_close_matches(args[0], COMMANDS, n=1)
        if args[0] not in COMMANDS and near:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Load one command, or None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(COMMANDS[cmd_name][0]), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise PipeClosedError from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """List the commands in the help without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="clew")
def clew() -> None:
    """Follow one request through every log line, span and error, from files alone.

    Commands read the folder in CLEW_DIR, or the files and folders that are named. Times are written as people do: '10
    minutes ago'.

    \b
    Example:
      clew trace order-4711
      clew logs --since '10 minutes ago' --level WARNING

    Shell completion: eval "$(_CLEW_COMPLETE=bash_source clew)", likewise zsh and fish.
    """


def run(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit.

    The status is 0 when done, 1 failed or nothing found, 2 wrong usage, 130 interrupted, 141 pipe closed.
    """
    sys.exit(_status(arguments))


def _status(arguments: list[str] | None) -> int:
    """Run a command and return its exit status; each error is one line on stderr."""
    status = FAILED
    _write_anything()
    try:
        result: Any = clew.main(arguments, prog_name="clew", standalone_mode=False)
        sys.stdout.flush()
        status = result if isinstance(result, int) else DONE
    except click.UsageError as error:
        _tell_usage(error)
        status = USAGE
    except click.ClickException as error:
        _tell(error.format_message())
    except ClewError as error:
        _tell(f"{error} (see {ERRORS_PAGE}#{error.slug})")
        status = USAGE if isinstance(error, OptionError) else FAILED
    except (KeyboardInterrupt, click.Abort):
        status = INTERRUPTED
    except (PipeClosedError, BrokenPipeError):
        # What is still buffered would fail again, with a message, when the interpreter flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = PIPE_CLOSED
    except OSError as error:
        _tell(f"{error.filename or 'file'}: {error.strerror or error}")
    return status


def _write_anything() -> None:
    """Let output in an encoding that lacks a character show it escaped, as standard error always does."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _tell_usage(error: click.UsageError) -> None:
    """Say in one line what was called in a wrong way; without any command or argument, help says more."""
    command = error.ctx.command_path if error.ctx else "clew"
    if isinstance(error, NO_ARGUMENTS):
        click.echo(error.format_message(), err=True)
    else:
        _tell(f"{error.format_message().rstrip('.')}; see '{command} --help'")


def _tell(message: str) -> None:
    click.echo(f"clew: {' '.join(message.splitlines())}", err=True)
