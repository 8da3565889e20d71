"""An application belongs to its framework's instrumentation however it is wrapped; a plain one belongs to none."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from fastapi import FastAPI
from flask import Flask
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from clew.servers.ownership import is_owned

flask_app = Flask(__name__)
starlette_app = Starlette()


def plain_wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answer without a framework."""
    start_response("200 OK", [])
    return []


class PlainAsgi:
    """Answers without a framework."""

    def __init__(self, inner: Any = None) -> None:
        self.inner = inner

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand the request on."""


def by_global(environ: dict[str, Any], start_response: Any) -> Any:
    """Hand the request to a global."""
    return flask_app(environ, start_response)


def by_closure(inner: Any) -> Any:
    """Return a function that hands the request to `inner`."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await inner(scope, receive, send)

    return app


@pytest.mark.parametrize(
    "application",
    [
        flask_app,
        flask_app.wsgi_app,
        ProxyFix(flask_app.wsgi_app),
        by_global,
        functools.partial(by_global, {}),
        FastAPI(),
        starlette_app,
        GZipMiddleware(starlette_app),
        by_closure(starlette_app),
        PlainAsgi(PlainAsgi(FastAPI())),
        OpenTelemetryMiddleware(plain_wsgi),
        DispatcherMiddleware(plain_wsgi, {"/shop": flask_app}),
        PlainAsgi({"http": starlette_app, "websocket": PlainAsgi()}),
        PlainAsgi([PlainAsgi(), FastAPI()]),
    ],
)
def test_finds_the_framework(application: Any) -> None:
    """Whatever leads to a framework's application is owned."""
    assert is_owned(application)


def self_made() -> Any:
    """Return an object that holds itself."""
    application = PlainAsgi()
    application.inner = application
    return application


@pytest.mark.parametrize(
    "application", [plain_wsgi, PlainAsgi(), PlainAsgi().__call__, by_closure(PlainAsgi()), self_made(), None, print]
)
def test_leaves_plain_ones_unowned(application: Any) -> None:
    """A plain application is not owned, nor is one that leads to itself or to nothing."""
    assert not is_owned(application)
