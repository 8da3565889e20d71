"""The applications that `make apps` runs: what each needs, how it is started, what is asked of it.

None of them is ours, and none is changed. `{port}` in a text becomes the port that the application listens on, `{site}`
the port of a web site with one page, `{folder}` the working folder.
"""

from __future__ import annotations

from typing import Final, NamedTuple

_SPIDER: Final = """
import logging
import scrapy

class Pages(scrapy.Spider):
    name = "pages"
    start_urls = ["http://127.0.0.1:{site}/"]
    custom_settings = {"TELNETCONSOLE_ENABLED": False}

    def parse(self, response):
        self.logger.info("parsed %s", response.status, extra={"page": response})
        yield response.follow("/absent", self.parse)
        raise LookupError("no shelf")
"""


class Application(NamedTuple):
    """An application of the package index."""

    requirements: tuple[str, ...]
    command: tuple[str, ...]
    paths: tuple[str, ...] = ()
    """What is asked of a server, one GET each; an application without ends by itself."""
    prepare: tuple[tuple[str, ...], ...] = ()
    """What is run before, without Clew, as its documentation says."""
    files: tuple[tuple[str, str], ...] = ()
    environ: tuple[tuple[str, str], ...] = ()
    request_loggers: frozenset[str] = frozenset()
    """Loggers each record of which is about a request."""
    logged: tuple[str, ...] = ()
    """What the records that come must tell of, at least."""
    diagnosed: str = ""
    """What Clew says of the application in one line, if something in it cannot be instrumented."""
    console: str = "lines"
    """How consoles are compared: `lines` in order, or `set` where processes or threads write at the same time."""


_DEVPI_USER: Final = "root"
_WAGTAIL: Final = (("wagtail", "start", "mysite", "."), ("python", "manage.py", "migrate", "-v", "0"))

APPLICATIONS: Final = {
    "datasette": Application(
        ("datasette",),
        ("datasette", "serve", "--memory", "-p", "{port}"),
        paths=("/", "/_memory.json?sql=select+1", "/absent"),
        request_loggers=frozenset({"uvicorn.access"}),
        logged=("Application startup complete.",),
    ),
    "moto": Application(
        ("moto[server]",),
        ("moto_server", "-p", "{port}"),
        paths=("/", "/bucket", "/bucket/key"),
        request_loggers=frozenset(),
        logged=("Press CTRL+C to quit", "GET /bucket/key"),
    ),
    "jupyter-server": Application(
        ("jupyter-server",),
        (
            *("jupyter", "server", "--no-browser", "--allow-root", "--ServerApp.port={port}"),
            *("--IdentityProvider.token=", "--ServerApp.root_dir={folder}"),
        ),
        paths=("/api", "/api/contents", "/absent"),
        logged=("Use Control-C to stop this server", "200 GET /api ", "404 GET /absent"),
    ),
    "wagtail-gunicorn": Application(
        ("wagtail", "gunicorn"),
        ("gunicorn", "mysite.wsgi", "-b", "127.0.0.1:{port}", "-w", "2", "--access-logfile", "-"),
        paths=("/", "/admin/login/", "/absent/"),
        prepare=_WAGTAIL,
        environ=(("DJANGO_SETTINGS_MODULE", "mysite.settings.dev"),),
        request_loggers=frozenset({"gunicorn.access", "django.request"}),
        logged=("Booting worker with pid", "Not Found: /absent/"),
        console="set",
    ),
    "wagtail-runserver": Application(
        ("wagtail", "gunicorn"),
        ("python", "manage.py", "runserver", "--noreload", "{port}"),
        paths=("/", "/admin/login/", "/absent/"),
        prepare=_WAGTAIL,
        request_loggers=frozenset({"django.server", "django.request"}),
        logged=("Not Found: /absent/",),
    ),
    "httpbin": Application(
        ("httpbin", "gunicorn"),
        ("gunicorn", "-b", "127.0.0.1:{port}", "-w", "2", "--access-logfile", "-", "httpbin:app"),
        paths=("/get", "/status/500", "/absent"),
        request_loggers=frozenset({"gunicorn.access"}),
        logged=("Booting worker with pid", "GET /status/500"),
        console="set",
    ),
    "pypiserver": Application(
        ("pypiserver",),
        ("pypi-server", "run", "-v", "-i", "127.0.0.1", "-p", "{port}", "."),
        paths=("/", "/simple/", "/simple/absent/"),
        request_loggers=frozenset({"pypiserver.main", "pypiserver._app"}),
        logged=("GET /simple/absent/",),
    ),
    "flower": Application(
        ("flower", "celery"),
        ("celery", "--broker=memory://", "flower", "--port={port}", "--address=127.0.0.1"),
        paths=("/", "/api/workers", "/absent"),
        request_loggers=frozenset({"tornado.access", "tornado.general"}),
        logged=("Visit me at", "404 GET /absent"),
        console="set",
    ),
    "devpi": Application(
        ("devpi-server", "setuptools<81"),
        ("devpi-server", "--serverdir", "data", "--port", "{port}", "--offline-mode"),
        paths=("/", "/+api", "/absent/x", f"/{_DEVPI_USER}/pypi/+simple/absent/"),
        prepare=(("devpi-init", "--serverdir", "data"),),
        logged=("Hit Ctrl-C to quit.", "while handling"),
        console="set",
    ),
    "mlflow": Application(
        ("mlflow",),
        ("mlflow", "server", "--port", "{port}", "--workers", "1", "--backend-store-uri", "sqlite:///{folder}/m.db"),
        paths=("/health", "/api/2.0/mlflow/experiments/get?experiment_id=0", "/api/2.0/mlflow/absent"),
        request_loggers=frozenset({"uvicorn.access"}),
        logged=("Application startup complete.",),
        diagnosed='clew: sqlalchemy only instruments "sqlalchemy<2.1.0',
        console="set",
    ),
    "scrapy": Application(
        ("scrapy",),
        ("scrapy", "runspider", "spider.py"),
        files=(("spider.py", _SPIDER),),
        logged=("parsed 200", "Spider error processing", "Spider closed (finished)"),
        console="set",
    ),
}
"""By name; those that need the most time last."""
