"""Which of the installed instrumentations are loaded, when, and with what.

Upstream imports every library that has an instrumentation installed, used or not, and lets one that fails take the
rest with it. Here each waits until the program imports its library, and fails alone.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from clew import diagnostics, seamless
from clew.importing import when_imported
from clew.weaving import weave

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.util._importlib_metadata import EntryPoint

    from clew.settings import Settings

REPLACED: Final = {
    "logging": "clew.logs captures records without a handler on the root logger",
    "threading": "clew.correlation carries the context without a frame in the thread's traceback",
    "exceptions": "clew.logs records unhandled exceptions without replacing the hooks",
    "structlog": "clew.logs captures each event once, bridged to logging or not",
}
"""Instrumentations of upstream's that are not loaded, and what does their work."""

_ASYNCIO_OPTIONS: Final = (
    "OTEL_PYTHON_ASYNCIO_COROUTINE_NAMES_TO_TRACE",
    "OTEL_PYTHON_ASYNCIO_FUTURE_TRACE_ENABLED",
    "OTEL_PYTHON_ASYNCIO_TO_THREAD_FUNCTION_NAMES_TO_TRACE",
)
"""What turns upstream's asyncio instrumentation on; without one it only adds frames."""

_DEPENDENCY_OPTIONS: Final = frozenset({"raise_exception_on_conflict", "skip_dep_check"})
"""What upstream's loader hands to each instrumentation, having checked its dependencies itself."""

_LIBRARIES: Final[Mapping[str, str]] = {
    "aio-pika": "aio_pika",
    "aiohttp-client": "aiohttp",
    "aiohttp-server": "aiohttp",
    "aiokafka": "aiokafka",
    "aiopg": "aiopg",
    "asyncio": "asyncio",
    "asyncpg": "asyncpg",
    "boto3": "boto3",
    "boto3sqs": "boto3",
    "botocore": "botocore",
    "cassandra": "cassandra",
    "celery": "celery",
    "click": "click",
    "confluent_kafka": "confluent_kafka",
    "elasticsearch": "elasticsearch",
    "falcon": "falcon",
    "flask": "flask",
    "grpc_aio_client": "grpc",
    "grpc_aio_server": "grpc",
    "grpc_client": "grpc",
    "grpc_server": "grpc",
    "httpx": "httpx",
    "httpx2": "httpx2",
    "jinja2": "jinja2",
    "kafka": "kafka",
    "mysql": "mysql.connector",
    "mysqlclient": "MySQLdb",
    "pika": "pika",
    "psycopg": "psycopg",
    "psycopg2": "psycopg2",
    "pymemcache": "pymemcache",
    "pymongo": "pymongo",
    "pymssql": "pymssql",
    "pymysql": "pymysql",
    "pyramid": "pyramid",
    "redis": "redis",
    "remoulade": "remoulade",
    "requests": "requests",
    "sqlalchemy": "sqlalchemy",
    "sqlite3": "sqlite3",
    "tornado": "tornado",
    "tortoiseorm": "tortoise",
    "urllib": "urllib.request",
    "urllib3": "urllib3",
}
"""The module whose import loads an instrumentation; one that is not listed is loaded at boot, as upstream does."""


def load(entry_point: EntryPoint, environ: Mapping[str, str], **options: Any) -> None:
    """Load the instrumentation of `entry_point` when its library is imported, or now where that is not known."""
    name = entry_point.name
    if name in REPLACED or (name == "asyncio" and not any(environ.get(option) for option in _ASYNCIO_OPTIONS)):
        return
    if name == "django":
        when_imported("django.core.handlers.base", lambda module: _instrument_django(module, entry_point, options))
        return
    if name in {"fastapi", "starlette"}:
        _load_frameless(entry_point, options)
        return
    library = _LIBRARIES.get(name)
    if library is None:
        _instrument(entry_point, options)
    else:
        when_imported(library, lambda _: _instrument(entry_point, options))


def _load_frameless(entry_point: EntryPoint, options: Mapping[str, Any]) -> None:
    """Load an instrumentation that `clew.servers` does without upstream's middleware, where it can."""

    def instrument(module: Any) -> None:
        from clew.servers import starlette  # noqa: PLC0415 - imports the libraries that it instruments

        ours = {"fastapi": starlette.instrument_fastapi, "starlette": starlette.instrument_starlette}[entry_point.name]
        try:
            done = _DEPENDENCY_OPTIONS.issuperset(options) and ours(module)
        except Exception as error:  # noqa: BLE001 - upstream's own way is left
            _tell(entry_point.name, error)
            done = False
        if not done:
            _instrument(entry_point, options)

    when_imported({"fastapi": "fastapi", "starlette": "starlette.applications"}[entry_point.name], instrument)


def _instrument(entry_point: EntryPoint, options: Mapping[str, Any]) -> None:
    """Activate one instrumentation; if it fails, say so and leave the others alone."""
    try:
        instrumentor = entry_point.load()()
        seamless.before_instrumenting(type(instrumentor).__module__)
        instrumentor.instrument(**options)
        seamless.after_instrumenting(entry_point.name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("opentelemetry"):
            _tell(entry_point.name, error)
    except Exception as error:  # noqa: BLE001 - an instrumentation may raise anything; the program must not see it
        _tell(entry_point.name, error)


def _tell(name: str, error: Exception) -> None:
    diagnostics.report(
        f"instrumentation-{name}",
        f"{name} is not instrumented: {type(error).__name__}: {error}; run: clew doctor",
    )


def quiet_asgi(settings: Settings) -> None:
    """Leave out the spans of each ASGI send and receive, a third of FastAPI's cost, unless they are asked for.

    The middleware's own argument does it; the frameworks' instrumentations either pass None or cannot pass it.
    """
    if settings.asgi_spans == "none":
        when_imported("opentelemetry.instrumentation.asgi", _exclude_asgi_spans)


def _exclude_asgi_spans(module: Any) -> None:
    original: Callable[..., None] = module.OpenTelemetryMiddleware.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it takes the place of one
        if kwargs.get("exclude_spans") is None:
            kwargs["exclude_spans"] = ["send", "receive"]
        original(self, *args, **kwargs)

    module.OpenTelemetryMiddleware.__init__ = __init__


def _instrument_django(module: Any, entry_point: EntryPoint, options: Mapping[str, Any]) -> None:
    """Put upstream's middleware in front while Django builds a request handler, and take it out of the settings again.

    Upstream edits the settings when the process starts, which makes empty ones of them where `manage.py` has yet to
    choose. When a handler loads its middleware the settings are the program's own; afterwards they are again what the
    program wrote.
    """
    woven = _DjangoMiddleware(entry_point, options)
    function = weave(module.BaseHandler.load_middleware, before=woven.insert, after=woven.remove)
    if function is None:
        _instrument(entry_point, options)
    else:
        module.BaseHandler.load_middleware = function


class _DjangoMiddleware:
    """Insert and remove upstream's middleware round the building of a handler."""

    def __init__(self, entry_point: EntryPoint, options: Mapping[str, Any]) -> None:
        self._entry_point = entry_point
        self._options = options
        self._original: Any = None
        self._inserted: list[tuple[int, str]] | None = None

    def insert(self, *_: object) -> None:
        """Add the middleware to the settings; the instrumentation itself does it the first time."""
        try:
            self._insert(sys.modules["django.conf"].settings)
        except Exception as error:  # noqa: BLE001 - settings that cannot be read fail in Django's own words, not here
            _tell(self._entry_point.name, error)

    def _insert(self, settings: Any) -> None:
        self._original = getattr(settings, "MIDDLEWARE", None)
        if self._original is None:
            return
        if self._inserted is None:
            settings.MIDDLEWARE = list(self._original)
            _instrument(self._entry_point, self._options)
            self._inserted = [
                (index, name) for index, name in enumerate(settings.MIDDLEWARE) if name not in self._original
            ]
            return
        changed = list(self._original)
        for index, name in self._inserted:
            changed.insert(index, name)
        settings.MIDDLEWARE = changed

    def remove(self, *_: object) -> None:
        """Give the settings their own list back."""
        if self._original is not None:
            sys.modules["django.conf"].settings.MIDDLEWARE = self._original
            self._original = None
