"""Logs by handlers of many kinds; the console's are JSON under CLEW_LOG_FORMAT=json."""

import io
import logging
import logging.handlers
import queue
import sys

log = logging.getLogger("shapes")
log.setLevel(logging.INFO)
log.propagate = False
memory = io.StringIO()
to_file = logging.FileHandler("plain.log")
to_file.setFormatter(logging.Formatter("%(levelname)s|%(message)s"))
to_memory = logging.StreamHandler(memory)
to_stdout = logging.StreamHandler(sys.stdout)
to_stdout.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
to_bare = logging.StreamHandler(sys.__stderr__)
to_bare.terminator = ""
waiting = queue.Queue()
listener = logging.handlers.QueueListener(waiting, logging.StreamHandler(sys.stdout))
listener.start()
for handler in (to_file, to_memory, to_stdout, to_bare, logging.handlers.QueueHandler(waiting)):
    log.addHandler(handler)
log.info("two\nlines %s", "é", extra={"nested": {"a": [1, None, 2.5, float("nan"), b"\xff"]}, "password": "hunter2"})
try:
    raise ValueError("broken")
except ValueError:
    log.exception("failed with %s", "bob")
listener.stop()
alone = logging.getLogger("console.alone")
alone.addHandler(to_bare)
alone.warning("misses %d", "bob")
alone.removeHandler(to_bare)
logging.getLogger("unconfigured").warning("by last resort")
assert memory.getvalue().startswith("two\nlines é\n")
