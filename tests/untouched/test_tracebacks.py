"""What fails looks as it does without Clew: no function of an instrumentation stands in a traceback."""

from __future__ import annotations

import re
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest
from consoles import ask, await_text, running

from clew.tracebacks import CAN_BE_CUT
from programs import BIN, clean_environment

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not CAN_BE_CUT, reason="Python 3.10 keeps a traceback of its own")

ASGI = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        raise LookupError("no shelf")
"""

WSGI = """
def app(environ, start_response):
    if environ["PATH_INFO"] == "/fail":
        raise LookupError("no shelf")
    start_response("200 OK", [])
    return parts()
def parts():
    yield b"some"
    raise LookupError("no shelf")
"""

WSGIREF = """
from wsgiref.simple_server import make_server
from app import app
server = make_server("127.0.0.1", 0, app)
print(f"http://127.0.0.1:{server.server_port}")
server.serve_forever()
"""

FLASK = """
from flask import Flask
app = Flask(__name__)
@app.get("/fail")
def fail():
    raise LookupError("no shelf")
"""

AIOHTTP = """
import socket
from aiohttp import web
async def fail(request):
    raise LookupError("no shelf")
app = web.Application()
app.router.add_get("/fail", fail)
listener = socket.create_server(("127.0.0.1", 0))
print(f"http://127.0.0.1:{listener.getsockname()[1]}")
web.run_app(app, sock=listener, print=None)
"""

TORNADO = """
import asyncio
import tornado.web, tornado.netutil, tornado.httpserver
class Fail(tornado.web.RequestHandler):
    def get(self):
        raise LookupError("no shelf")
async def main():
    [listener] = tornado.netutil.bind_sockets(0, "127.0.0.1")
    server = tornado.httpserver.HTTPServer(tornado.web.Application([("/fail", Fail)]))
    server.add_socket(listener)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}")
    await asyncio.Event().wait()
asyncio.run(main())
"""

DJANGO = """
import sys
from django.conf import settings
from django.core.management import execute_from_command_line
from django.urls import path
settings.configure(DEBUG=True, ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x")
def fail(request):
    raise LookupError("no shelf")
urlpatterns = [path("fail", fail)]
execute_from_command_line(sys.argv)
"""

CLIENTS = """
import asyncio, logging, sqlite3, sys, traceback, urllib.request
from concurrent import futures
import aiohttp, click, grpc, httpx, requests, urllib3

logging.basicConfig()

def show(work):
    print("==", work.__name__)
    try:
        result = work()
        if asyncio.iscoroutine(result):
            asyncio.run(result)
    except Exception:
        traceback.print_exc(file=sys.stdout)

def by_requests():
    requests.get("http://127.0.0.1:9/")

def by_urllib():
    urllib.request.urlopen("http://127.0.0.1:9/")

def by_urllib3():
    urllib3.PoolManager(retries=False).request("GET", "http://127.0.0.1:9/")

def by_httpx():
    httpx.get("http://127.0.0.1:9/")

async def by_httpx_async():
    async with httpx.AsyncClient() as client:
        await client.get("http://127.0.0.1:9/")

async def by_aiohttp():
    async with aiohttp.ClientSession() as session:
        await session.get("http://127.0.0.1:9/")

def by_sqlite():
    sqlite3.connect(":memory:").cursor().execute("nonsense")

def by_grpc():
    class Fail(grpc.GenericRpcHandler):
        def service(self, details):
            return grpc.unary_unary_rpc_method_handler(self.fail)
        def fail(self, request, context):
            raise LookupError("no shelf")
    with futures.ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool, [Fail()])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                channel.unary_unary("/shop/fail")(b"", timeout=30)
        finally:
            server.stop(None).wait(30)

@click.command()
def by_click():
    raise LookupError("no shelf")

for work in (by_requests, by_urllib, by_urllib3, by_httpx, by_httpx_async, by_aiohttp, by_sqlite, by_grpc):
    show(work)
show(lambda: by_click.main([], standalone_mode=False))
"""

NATURE = "|".join(
    [
        *(r"0x[0-9a-f]+", r"127\.0\.0\.1:\d+", r"\bport=?\d+"),
        *(r"\[\d{4}-[^\]]*\]", r"\[?\d\d/\w{3}/\d{4}[^\]\"]*\]?", r"\w+ \d\d, \d{4} - [\d:]+", r"[\d.]+ms"),
        *(r"[Pp]rocess \[\d+\]", r"\[\d+\]", r"\(\d+\)", r"\bpid: \d+"),
        *(r"(?<=\" )500 \d+",),
    ]
)
"""What differs from run to run."""

FILES = {"CLEW_MODE": "file", "OTEL_SERVICE_NAME": "shop", "CLEW_DIR": "telemetry"}


class Served(NamedTuple):
    """A server, its files, and what it is asked."""

    command: tuple[str, ...]
    files: dict[str, str]
    paths: tuple[str, ...] = ("/fail",)
    count: int = 1
    """How many tracebacks it then shows."""


SERVERS = {
    "uvicorn": Served((str(BIN / "uvicorn"), "--port", "0", "app:app"), {"app.py": ASGI}),
    "gunicorn": Served(
        (str(BIN / "gunicorn"), "-b", "127.0.0.1:0", "app:app"), {"app.py": WSGI}, ("/fail", "/parts"), 2
    ),
    "wsgiref": Served(("python", "serve.py"), {"app.py": WSGI, "serve.py": WSGIREF}, ("/fail", "/parts"), 2),
    "flask run --debug": Served(
        (str(BIN / "flask"), "--app", "app", "run", "--debug", "--no-reload", "--port", "0"), {"app.py": FLASK}
    ),
    "aiohttp": Served(("python", "app.py"), {"app.py": AIOHTTP}),
    "tornado": Served(("python", "app.py"), {"app.py": TORNADO}),
    "django": Served(("python", "manage.py", "runserver", "--noreload", "127.0.0.1:0"), {"manage.py": DJANGO}),
}


def _natureless(console: Path) -> str:
    return re.sub(NATURE, "#", re.sub(r".*Control socket.*\n", "", console.read_text()))


def _console(served: Served, folder: Path, *, clew: bool, expected: str | None = None) -> str:
    """Ask a server that fails, and return what it showed; what is `expected` is waited for."""
    console = folder / f"console-{clew}"
    command = [str(BIN / "python") if word == "python" else word for word in served.command]
    with running(command, folder, console, FILES, clew=clew):
        port = await_text(console, r"http://127\.0\.0\.1:(\d+)")[1]
        ask(port, *served.paths)
        await_text(console, "(?s)" + ".*".join(["LookupError: no shelf\n"] * served.count))
        deadline = time.monotonic() + 10
        while expected is not None and _natureless(console) != expected and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(2.5 if expected is None else 0.5)
        return _natureless(console)


@pytest.mark.parametrize("name", SERVERS)
def test_a_failing_request_shows_the_programs_own_functions(tmp_path: Path, name: str) -> None:
    """A server shows, of a request that fails, what it shows without Clew."""
    for file, text in SERVERS[name].files.items():
        (tmp_path / file).write_text(text)

    plain = _console(SERVERS[name], tmp_path, clew=False)

    assert SERVERS[name].count == plain.count("LookupError: no shelf")
    assert plain == _console(SERVERS[name], tmp_path, clew=True, expected=plain)


def _shown(folder: Path, *launcher: str) -> str:
    done = subprocess.run(
        [*launcher, str(BIN / "python"), "clients.py"],
        cwd=folder,
        # Below Python gRPC logs now and then what its connections do, with and without Clew.
        env={**clean_environment(folder), **FILES, "GRPC_VERBOSITY": "NONE"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        timeout=120,
    )
    return re.sub(NATURE, "#", done.stdout)


def test_a_failing_call_shows_the_programs_own_functions(tmp_path: Path) -> None:
    """Refused connections, wrong SQL, a service and a command that fail have the tracebacks that they have without."""
    (tmp_path / "clients.py").write_text(CLIENTS)

    plain = _shown(tmp_path)

    assert 9 == len(re.findall(r"== .*\n(?:ERROR.*\n)?Traceback", plain))
    assert plain == _shown(tmp_path, str(BIN / "opentelemetry-instrument"))
