"""The ID of a request, or of a script, reaches the Celery task that it starts: its span, logs and outbound call."""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from serving import APPS, SERVERS, await_match, running, serve

from clew.correlation.ids import derive_trace_id, trace_id_hex
from programs import instrumented

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from receiver import Receiver
    from telemetry import Span

PRODUCER = SERVERS["flask-gunicorn"]._replace(command=("gunicorn", "--bind", "127.0.0.1:0", "producer_app:app"))
_READY = re.compile(r"celery@\S+ (ready)\.")


class Task(NamedTuple):
    """What a task's run left: the IDs of its span, what called it, its log lines, its own outbound call."""

    trace_id: str
    correlation_id: str
    parent: str
    logs: list[tuple[str, str, str]]
    outbound: tuple[str, str]


def _environ(folder: Path, echo_url: str) -> dict[str, str]:
    queue = folder / "queue"
    (queue / "results").mkdir(parents=True, exist_ok=True)
    return {"QUEUE_FOLDER": str(queue), "ECHO_URL": echo_url}


@contextlib.contextmanager
def _worker(pool: str, receiver: Receiver, folder: Path, echo_url: str, protocol: str) -> Iterator[None]:
    alone = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    command = (
        "celery",
        "-A",
        "celery_app",
        "worker",
        "--loglevel",
        "INFO",
        "--concurrency",
        "1",
        "--pool",
        pool,
        *alone,
    )
    with serve(command, receiver, folder, protocol=protocol, environ=_environ(folder, echo_url)) as console:
        await_match(_READY, console)
        yield


def _task(receiver: Receiver, outbound: dict[str, str]) -> Task:
    """Collect what the only task's run left."""
    (run,) = [span for span in receiver.spans if span.kind == "CONSUMER"]
    parents = {span.span_id: span for span in receiver.spans}
    logs = [record for record in receiver.logs if record.scope in {"shop", "mail"}]
    return Task(
        trace_id=run.trace_id,
        correlation_id=str(run.attributes.get("correlation.id")),
        parent=_kind(parents.get(run.parent_span_id)),
        logs=sorted(
            (item.scope, item.trace_id, str(item.attributes.get("correlation.id")))
            for item in logs
            if item.span_id == run.span_id
        ),
        outbound=(outbound.get("traceparent", "-" * 3).split("-")[1], outbound.get("x-correlation-id", "")),
    )


def _kind(span: Span | None) -> str:
    return span.kind if span else "none"


def _expected(correlation_id: str) -> Task:
    trace_id = trace_id_hex(derive_trace_id(correlation_id, None))
    return Task(
        trace_id=trace_id,
        correlation_id=correlation_id,
        parent="PRODUCER",
        logs=[("mail", trace_id, correlation_id), ("shop", trace_id, correlation_id)],
        outbound=(trace_id, correlation_id),
    )


@pytest.mark.parametrize(
    ("pool", "protocol"),
    [
        ("prefork", "http/protobuf"),
        pytest.param("prefork", "grpc", marks=pytest.mark.slow),
        pytest.param("threads", "http/protobuf", marks=pytest.mark.slow),
        pytest.param("solo", "http/protobuf", marks=pytest.mark.slow),
    ],
)
def test_task_of_a_request(pool: str, protocol: str, receiver: Receiver, echo_url: str, tmp_path: Path) -> None:
    """A task started in a request has the request's IDs, in every kind of worker."""
    environ = _environ(tmp_path, echo_url)

    with (
        _worker(pool, receiver, tmp_path, echo_url, protocol),
        running(PRODUCER, receiver, tmp_path, protocol=protocol, environ=environ) as web,
    ):
        reply = web.call([("x-correlation-id", "order-42")])

    roots = [(span.kind, span.trace_id) for span in receiver.spans if not span.parent_span_id]
    expected = _expected("order-42")
    assert (expected, [("SERVER", expected.trace_id)]) == (_task(receiver, reply.outbound), roots)


@pytest.mark.slow
def test_task_of_a_script(receiver: Receiver, echo_url: str, tmp_path: Path) -> None:
    """A task started under `clew.bind` has the bound ID."""
    environ: dict[str, Any] = {**_environ(tmp_path, echo_url), "PYTHONPATH": str(APPS)}
    script = APPS / "producer_script.py"

    with (
        _worker("prefork", receiver, tmp_path, echo_url, "http/protobuf"),
        instrumented(["python", script], receiver=receiver, cwd=tmp_path, environ=environ) as process,
    ):
        out, err = process.communicate(timeout=60)

    assert (0, b"") == (process.returncode, err)
    assert _expected("job-42") == _task(receiver, json.loads(out))
