"""A program that looks at what it runs in, or fails, shows under Clew byte for byte what it shows without."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from programs import clean_environment, instrumented

if TYPE_CHECKING:
    from pathlib import Path

    from receiver import Receiver

SCRIPTS = {
    "logging state": """
import logging, sys, signal, threading, warnings
print(logging.root.handlers, logging.root.level, logging.lastResort, logging.getLogRecordFactory())
print(logging.getLoggerClass(), logging.Logger.manager.disable)
print(sys.excepthook, sys.unraisablehook, threading.excepthook, sys.displayhook, threading.gettrace(), sys.gettrace())
print(signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGHUP))
print(warnings.filters, warnings.showwarning is warnings._showwarning_orig, logging._warnings_showwarning)
""",
    "unconfigured": """
import logging
logging.getLogger("foo").error("said")
logging.getLogger("foo").info("not said")
""",
    "object extra": """
import logging
class Spider:
    def __repr__(self): return "<Spider>"
    def __eq__(self, other): raise TypeError("no")
    __hash__ = None
logging.basicConfig(format="%(levelname)s %(message)s %(spider)r")
logging.getLogger("scrapy").warning("crawled", extra={"spider": Spider(), "request": object(), "deep": {1: [Spider()]}})
""",
    "process exception": "def inner():\n    raise ValueError('boom')\ninner()\n",
    "thread exception": """
import threading
def fail(): raise ValueError("boom")
thread = threading.Thread(target=fail, name="worker"); thread.start(); thread.join()
""",
    "pool tracebacks": """
import multiprocessing, sys, traceback
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
def fail(x): raise ValueError(x)
if __name__ == "__main__":
    for kind in (ThreadPoolExecutor, ProcessPoolExecutor):
        with kind(1) as pool:
            try: pool.submit(fail, 1).result()
            except ValueError: traceback.print_exc()
    with multiprocessing.Pool(1) as pool:
        try: pool.apply(fail, (2,))
        except ValueError: traceback.print_exc()
""",
    "never awaited": """
import asyncio, gc
async def work(): pass
async def fail(): raise ValueError("boom")
async def main():
    work()
    task = asyncio.ensure_future(fail())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    gc.collect()
asyncio.run(main())
""",
    "library fails at import": "import flask\n",
    "hard exit": "import os, logging\nlogging.getLogger('a').error('said')\nprint('x', flush=True)\nos._exit(7)\n",
    "bare server": """
import http.server, logging, threading, urllib.request
logging.basicConfig(format="%(levelname)s %(message)s")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        logging.getLogger("shop").warning("asked")
        self.send_response(200); self.end_headers(); self.wfile.write(b"ok")
    def log_date_time_string(self): return "now"
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/a").read())
server.shutdown()
""",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_shows_the_same(name: str, tmp_path: Path, receiver: Receiver) -> None:
    """Standard output, standard error (tracebacks included) and exit status are those of plain Python."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPTS[name])
    environ = {"PYTHONHASHSEED": "0"}
    if name == "library fails at import":
        (tmp_path / "flask.py").write_text("raise RuntimeError('broken library')\n")
    plain = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env={**clean_environment(tmp_path), **environ},
        capture_output=True,
        timeout=120,
        check=False,
    )

    with instrumented([sys.executable, script], receiver=receiver, cwd=tmp_path, environ=environ) as process:
        out, err = process.communicate(timeout=120)

    expected = (_shown(plain.stdout), _shown(plain.stderr), plain.returncode)
    assert expected == (_shown(out), _shown(err), process.returncode)


def _shown(text: bytes) -> str:
    """Return what was printed, without the addresses of objects, which differ from run to run."""
    return re.sub(r"0x[0-9a-f]{6,}", "0x", text.decode())
