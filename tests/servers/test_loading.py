"""Servers wrap plain applications as they load them, once, inside their own middleware, and leave frameworks' alone."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIServer, make_server

import pytest
from fastapi import FastAPI
from flask import Flask
from gunicorn.workers.base import Worker
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from uvicorn.config import Config

from clew import diagnostics
from clew.servers import loading
from clew.servers.wsgi import ServerSpanMiddleware

if TYPE_CHECKING:
    from collections.abc import Iterator


async def plain_asgi(scope: Any, receive: Any, send: Any) -> None:
    """Answer without a framework."""


def plain_wsgi(environ: Any, start_response: Any) -> list[bytes]:
    """Answer without a framework."""
    start_response("200 OK", [])
    return []


class OneWorker(Worker):
    """A gunicorn worker that only loads."""

    def __init__(self, application: Any) -> None:
        self.app = type("Application", (), {"wsgi": lambda _: application})()


@pytest.fixture(autouse=True)
def hooks() -> Iterator[None]:
    """Give the servers their own methods back."""
    owners = ((Config, "load"), (Worker, "load_wsgi"), (WSGIServer, "set_app"))
    before = [(owner, name, getattr(owner, name)) for owner, name in owners]
    yield
    for owner, name, method in before:
        setattr(owner, name, method)


def _loaded(application: Any, **options: Any) -> Any:
    config = Config(application, log_config=None, **options)
    config.load()
    return config.loaded_app


def test_uvicorn_wraps_inside_its_proxy_middleware() -> None:
    """The span's client address is the one that the proxy told."""
    loading.install({})
    outer = _loaded(plain_asgi)

    assert ("ProxyHeadersMiddleware", OpenTelemetryMiddleware) == (type(outer).__name__, type(outer.app))


def test_uvicorn_wraps_without_its_proxy_middleware() -> None:
    """Nothing else stands round the application then."""
    loading.install({})

    assert OpenTelemetryMiddleware is type(_loaded(plain_asgi, proxy_headers=False))


def test_uvicorn_wraps_what_a_factory_makes() -> None:
    """The application is wrapped, not the factory."""
    loading.install({})

    assert plain_asgi is _loaded(lambda: plain_asgi, factory=True, proxy_headers=False).app


def test_uvicorn_leaves_frameworks_alone() -> None:
    """FastAPI's instrumentation makes FastAPI's spans."""
    loading.install({})
    application = FastAPI()

    assert application is _loaded(application, proxy_headers=False)


@pytest.mark.parametrize(
    ("application", "expected"),
    [(plain_wsgi, ServerSpanMiddleware), (Flask("x"), Flask), (plain_asgi, type(plain_asgi))],
)
def test_gunicorn_wraps_plain_wsgi_only(application: Any, expected: type) -> None:
    """An ASGI application in gunicorn belongs to uvicorn's worker, which is uvicorn's matter."""
    loading.install({})
    worker = OneWorker(application)
    worker.load_wsgi()

    assert expected is type(worker.wsgi)


def test_wsgiref_wraps_plain_applications() -> None:
    """The standard library's server is hooked too, and serves its own application still."""
    loading.install({})
    with make_server("127.0.0.1", 0, plain_wsgi) as server:
        assert ServerSpanMiddleware is type(server.get_app())


def test_installing_twice_wraps_once() -> None:
    """A second installation finds the application owned by the first."""
    loading.install({})
    loading.install({})

    assert plain_asgi is _loaded(plain_asgi, proxy_headers=False).app


@pytest.mark.parametrize("names", ["asgi,wsgi", "flask, wsgi ,asgi", "*"])
def test_can_be_switched_off(names: str) -> None:
    """The names of upstream's instrumentations switch the wrapping off."""
    loading.install({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": names})
    worker = OneWorker(plain_wsgi)
    worker.load_wsgi()

    assert (plain_asgi, plain_wsgi) == (_loaded(plain_asgi, proxy_headers=False), worker.wsgi)


def test_a_server_that_changed_starts_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """Trouble of ours is one line on stderr; the server has loaded."""

    class Changed:
        """A server whose application cannot be set."""

        __slots__ = ("loaded",)

        def load(self) -> None:
            """Load."""
            self.loaded = True

    def wrap(server: Any) -> None:
        server.application = None

    diagnostics.forget()
    loading._hook(Changed, "load", wrap)
    server = Changed()
    server.load()

    assert server.loaded
    assert "clew: no server spans: AttributeError" in capsys.readouterr().err


def test_keeps_the_servers_error() -> None:
    """What an application's import raises is raised as before."""

    class Broken(io.StringIO):
        """Fails to load."""

        def load(self) -> None:
            """Fail."""
            raise LookupError("no application")

    loading._hook(Broken, "load", lambda _: None)

    with pytest.raises(LookupError, match="no application"):
        Broken().load()
