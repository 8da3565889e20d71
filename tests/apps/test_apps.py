"""Programs that nobody here wrote run under Clew as they run without it, and their requests can be followed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
from app_catalogue import APPLICATIONS, Application
from app_environments import environment
from app_runs import Run, correlation_id, run

from clew.correlation.ids import derive_trace_id, trace_id_hex
from receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from telemetry import LogRecord, Span

pytestmark = [pytest.mark.apps, pytest.mark.timeout(1800)]


class Pair(NamedTuple):
    """An application's two runs, and what arrived from the second."""

    application: Application
    plain: Run
    clew: Run
    spans: list[Span]
    logs: list[LogRecord]

    def traces(self) -> dict[str, str]:
        """Return the trace that each path asked for must be in."""
        return {path: trace_id_hex(derive_trace_id(correlation_id(path), None)) for path in self.application.paths}


@pytest.fixture(scope="module", params=APPLICATIONS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Run an application without Clew and with it."""
    application = APPLICATIONS[request.param]
    commands = environment(application.requirements)
    folder = tmp_path_factory.mktemp(request.param)
    with Receiver() as receiver:
        plain = run(application, commands, folder / "plain", None)
        clew = run(application, commands, folder / "clew", receiver)
        yield Pair(application, plain, clew, receiver.spans, receiver.logs)


def _compared(pair: Pair, console: list[str]) -> list[str]:
    if pair.application.diagnosed:
        console = [line for line in console if not line.startswith(pair.application.diagnosed)]
    return sorted(set(console)) if pair.application.console == "set" else console


def test_console_and_end_are_as_without(pair: Pair) -> None:
    """The application writes the same lines, gives the same answers and ends with the same status."""
    assert [status for status, _ in pair.plain.answers.values()] == [status for status, _ in pair.clew.answers.values()]
    assert _compared(pair, pair.plain.console) == _compared(pair, pair.clew.console)
    assert pair.plain.status == pair.clew.status


def test_each_request_is_a_server_span(pair: Pair) -> None:
    """Each request is the root of the trace that its ID stands for, once, and its response says so."""
    served = [(span.trace_id, span.attributes["correlation.id"]) for span in pair.spans if span.kind == "SERVER"]
    asked = [(trace_id, correlation_id(path)) for path, trace_id in pair.traces().items()]

    assert sorted(asked) == sorted(item for item in served if item in asked)
    assert {path: correlation_id(path) for path in pair.traces()} == {
        path: found for path, (_, found) in pair.clew.answers.items()
    }


def test_logs_arrive_in_their_requests_trace(pair: Pair) -> None:
    """What the application logs arrives, each record once; what it logs about a request is in that request's trace."""
    bodies = [str(record.body) for record in pair.logs]
    missing = [text for text in pair.application.logged if not any(text in body for body in bodies)]
    outside = [record for record in pair.logs if _is_about_a_request(pair, record) and not record.trace_id]

    assert [] == missing
    assert [] == [(record.scope, record.body) for record in outside]
    assert len(pair.logs) == len({repr(record) for record in pair.logs})


def _is_about_a_request(pair: Pair, record: LogRecord) -> bool:
    return record.scope in pair.application.request_loggers or any(
        f"GET {path} " in str(record.body) for path in pair.application.paths
    )
