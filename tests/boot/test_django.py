"""A Django project whose settings only `manage.py` names behaves as plain, and its requests are server spans."""

from __future__ import annotations

import contextlib
import http.client
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clew.files.reader import reading
from clew.files.reader.records import ReadStats, SpanRecord
from clew.files.reader.sources import find_sources
from programs import BIN, clean_environment

MANAGE = """
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""

SETTINGS = """
SECRET_KEY = "x"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "site_urls"
WSGI_APPLICATION = "site_wsgi.application"
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
"""

URLS = """
from django.conf import settings
from django.http import HttpResponse
from django.urls import path
urlpatterns = [path("middleware", lambda request: HttpResponse(str(settings.MIDDLEWARE)))]
"""

WSGI = """
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings")
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
"""

BROKEN = SETTINGS + "\nraise RuntimeError('settings are broken')\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Write the project."""
    files = {"manage": MANAGE, "site_settings": SETTINGS, "site_urls": URLS, "site_wsgi": WSGI}
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


def _environ(project: Path) -> dict[str, str]:
    telemetry = {"CLEW_MODE": "file", "CLEW_DIR": str(project / "telemetry"), "PYTHONUNBUFFERED": "1"}
    return {**clean_environment(project), **telemetry, "PYTHONDONTWRITEBYTECODE": "1"}


def _manage(project: Path, *args: str, clew: bool) -> tuple[bytes, bytes, int]:
    """Run `manage.py` and return what it printed and its status."""
    (project / "db.sqlite3").unlink(missing_ok=True)
    launcher = [str(BIN / "opentelemetry-instrument")] if clew else []
    command = [*launcher, sys.executable, "manage.py", *args]
    done = subprocess.run(command, cwd=project, env=_environ(project), capture_output=True, timeout=120, check=False)
    return done.stdout, done.stderr, done.returncode


@pytest.mark.parametrize(
    "command", [("check",), ("migrate", "-v", "1"), ("showmigrations",), ("nonsense",)], ids="-".join
)
def test_command_behaves_as_plain(project: Path, command: tuple[str, ...]) -> None:
    """Each management command prints and returns what it does without Clew."""
    assert _manage(project, *command, clew=False) == _manage(project, *command, clew=True)


def test_broken_settings_fail_in_their_own_words(project: Path) -> None:
    """Settings that raise end with the same traceback."""
    (project / "site_settings.py").write_text(BROKEN)

    plain = _manage(project, "check", clew=False)

    assert b"settings are broken" in plain[1]
    assert plain == _manage(project, "check", clew=True)


@pytest.mark.parametrize(
    "server",
    [
        ("python", "manage.py", "runserver", "--noreload", "127.0.0.1:0"),
        ("gunicorn", "--bind", "127.0.0.1:0", "site_wsgi"),
    ],
    ids=["runserver", "gunicorn"],
)
def test_requests_are_server_spans(project: Path, server: tuple[str, ...]) -> None:
    """A request gives one server span with its ID, and the program finds its own middleware in its settings."""
    console = project / "console"
    with console.open("wb") as out:
        process = subprocess.Popen(
            [BIN / "opentelemetry-instrument", *server], cwd=project, env=_environ(project), stdout=out, stderr=out
        )
        try:
            body = _get(_port(console, process.pid), "/middleware")
        finally:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()

    assert body == b"['django.middleware.common.CommonMiddleware']"
    records = reading.read(find_sources([project / "telemetry"], signals=["traces"]), ReadStats())
    spans = [record for record in records if isinstance(record, SpanRecord) and record.kind == "server"]
    assert [("GET middleware", "django-7")] == [(span.name, span.attributes["correlation.id"]) for span in spans]


def _get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers={"X-Correlation-ID": "django-7"})
    body = connection.getresponse().read()
    connection.close()
    return body


def _port(console: Path, pid: int) -> int:
    """Return the port that the server says, or that its process listens on where it repeats what it was told."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = re.search(rb"http://127\.0\.0\.1:([1-9]\d*)", console.read_bytes())
        if found:
            return int(found[1])
        if b"127.0.0.1:0" in console.read_bytes():
            return _listening(pid)
        time.sleep(0.05)
    raise TimeoutError(console.read_text())


def _listening(pid: int) -> int:
    """Return the port of the process's listening socket, from the kernel's table."""
    sockets = {str(item.readlink()) for item in Path(f"/proc/{pid}/fd").iterdir()}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    return next(int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets)
