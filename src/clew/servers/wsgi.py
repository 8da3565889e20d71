"""Upstream's WSGI middleware round an application without a framework, without changing what the server sees."""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from opentelemetry.util.http import get_excluded_urls

from clew.tracebacks import seamless, seamless_iterator

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from opentelemetry.trace import TracerProvider


class ServerSpanMiddleware:
    """Gives each request a server span that ends when its body has been sent."""

    def __init__(self, application: WSGIApplication, *, tracer_provider: TracerProvider | None = None) -> None:
        """Wrap `application`; URLs in `OTEL_PYTHON_WSGI_EXCLUDED_URLS` get no span."""
        self._application = application
        self._excluded = get_excluded_urls("WSGI")
        self._middleware = OpenTelemetryMiddleware(application, tracer_provider=tracer_provider)

    @seamless
    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer as the application does; its iterable keeps its length, `close`, and `wsgi.file_wrapper`."""
        if self._excluded.url_disabled(str(environ.get("PATH_INFO", ""))):
            return self._application(environ, start_response)
        bodies: list[_Body] = []

        def run(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            bodies.append(_Body(self._application(environ, start_response)))
            return bodies[0]

        middleware = copy.copy(self._middleware)
        middleware.wsgi = run
        spanned: Generator[bytes, None, None] = middleware(environ, start_response)
        return _as_before(bodies[0], spanned, environ.get("wsgi.file_wrapper"))

    def __getattr__(self, name: str) -> Any:
        """Be the application to whoever asks it for anything else."""
        return getattr(object.__getattribute__(self, "_application"), name)


class _Body:
    """The application's iterable; upstream's generator iterates and closes it."""

    def __init__(self, original: Iterable[bytes]) -> None:
        self.original = original
        self.is_skipped = False
        self.is_kept_open = False

    def __iter__(self) -> Iterator[bytes]:
        return iter(()) if self.is_skipped else iter(self.original)

    def close(self) -> None:
        close: Callable[[], object] | None = getattr(self.original, "close", None)
        if close is not None and not self.is_kept_open:
            close()


class _Response:
    """What the server gets in place of the application's iterable."""

    def __init__(self, body: _Body, spanned: Generator[bytes, None, None]) -> None:
        self._body = body
        self._spanned = spanned

    def __iter__(self) -> Iterator[bytes]:
        return seamless_iterator(self._spanned)

    def close(self) -> None:
        """End the span, also where the server never asked for the body."""
        if inspect.getgeneratorstate(self._spanned) == inspect.GEN_CREATED:
            self._body.is_skipped = True
            next(self._spanned, None)
        else:
            self._spanned.close()


class _SizedResponse(_Response):
    """A response of known length: servers derive Content-Length from a length of one."""

    def __len__(self) -> int:
        size: int = len(self._body.original)  # type: ignore[arg-type]  # only made where it has a length
        return size


def _as_before(body: _Body, spanned: Generator[bytes, None, None], file_wrapper: Any) -> Iterable[bytes]:
    """Return an iterable with the manners of the application's own."""
    if isinstance(file_wrapper, type) and isinstance(body.original, file_wrapper):
        # The server recognises its own class and sends the file by itself; the span ends here.
        body.is_skipped = body.is_kept_open = True
        next(spanned, None)
        return body.original
    return (_SizedResponse if hasattr(body.original, "__len__") else _Response)(body, spanned)
