"""A plain WSGI application gets a server span, and its server sees the iterable that it would have seen."""

from __future__ import annotations

import copy
import io
from typing import TYPE_CHECKING, Any
from wsgiref.util import FileWrapper, setup_testing_defaults

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import INVALID_SPAN, get_current_span

from clew.servers.wsgi import ServerSpanMiddleware

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Chunks:
    """A body without a length that says whether it was closed."""

    def __init__(self, chunks: list[bytes]) -> None:
        self.chunks = chunks
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.chunks)

    def close(self) -> None:
        """Note that the server closed it."""
        self.closed = True


class Served:
    """An application that answers with one body, and what its middleware makes of it."""

    def __init__(self, make_body: Callable[[], Iterable[bytes]]) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.body: Any = make_body()
        self.app = ServerSpanMiddleware(self._answer, tracer_provider=provider)

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return self.body

    def respond(self) -> Any:
        """Send one request and return the iterable that the server gets."""
        environ: dict[str, Any] = {"wsgi.file_wrapper": FileWrapper, "PATH_INFO": "/x"}
        setup_testing_defaults(environ)
        return self.app(environ, lambda *_: None)

    @property
    def span_names(self) -> list[str]:
        """The spans that have ended."""
        return [span.name for span in self.exporter.get_finished_spans()]


def test_keeps_the_length() -> None:
    """A body of known length keeps it, since servers derive Content-Length from it."""
    served = Served(lambda: [b"hello"])
    response = served.respond()

    assert (1, [b"hello"]) == (len(response), list(response))


def test_adds_no_length() -> None:
    """A body without a length does not get one."""
    response = Served(lambda: Chunks([b"a", b"b"])).respond()

    with pytest.raises(TypeError, match="has no len"):
        len(response)


def test_ends_the_span_with_the_body() -> None:
    """The span lasts until the body is sent; then the body is closed once and no span is current."""
    served = Served(lambda: Chunks([b"a", b"b"]))
    response = served.respond()
    before = served.span_names
    sent = list(response)
    response.close()

    assert ([], [b"a", b"b"], ["GET /x"], True) == (before, sent, served.span_names, served.body.closed)
    assert INVALID_SPAN is get_current_span()


def test_ends_the_span_without_iteration() -> None:
    """A server that never asks for the body, as for HEAD, still ends the span and takes nothing from the body."""
    served = Served(lambda: Chunks([b"a"]))
    served.respond().close()

    assert (["GET /x"], True) == (served.span_names, served.body.closed)
    assert INVALID_SPAN is get_current_span()


def test_ends_the_span_in_the_middle() -> None:
    """A client that goes away in the middle of the body ends the span."""
    served = Served(lambda: Chunks([b"a", b"b"]))
    response = served.respond()
    next(iter(response))
    response.close()

    assert (["GET /x"], True) == (served.span_names, served.body.closed)


def test_leaves_files_to_the_server() -> None:
    """A body of the server's own file class is returned as it is, open, so that the server can use sendfile."""
    file = io.BytesIO(b"hello")
    served = Served(lambda: FileWrapper(file))
    response = served.respond()

    assert (True, False, ["GET /x"]) == (response is served.body, file.closed, served.span_names)


def test_passes_errors_on() -> None:
    """What the application raises reaches the server, and the span ends as an error."""

    def fail(environ: Any, start_response: Any) -> list[bytes]:
        raise LookupError("no such thing")

    served = Served(list)
    served.app = ServerSpanMiddleware(fail, tracer_provider=None)

    with pytest.raises(LookupError, match="no such thing"):
        served.respond()
    assert INVALID_SPAN is get_current_span()


def test_leaves_out_excluded_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL that the user excluded gets no span."""
    monkeypatch.setenv("OTEL_PYTHON_WSGI_EXCLUDED_URLS", "/x")
    served = Served(lambda: [b"hello"])

    assert (served.body, []) == (served.respond(), served.span_names)


def test_is_the_application_to_others() -> None:
    """An attribute of the application is found on what took its place."""
    app = ServerSpanMiddleware(Chunks([b"a"]))  # type: ignore[arg-type]  # only its attributes are looked at

    assert [b"a"] == app.chunks


def test_can_be_copied() -> None:
    """A copy is made as of any object, without asking the application that it does not have yet."""
    app = ServerSpanMiddleware(Chunks([b"a"]))  # type: ignore[arg-type]  # only its attributes are looked at

    assert [b"a"] == copy.copy(app).chunks
