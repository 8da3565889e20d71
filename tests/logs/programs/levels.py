"""Logs at all levels by loggers whose own level is WARNING."""

import logging
import sys

logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")
log = logging.getLogger("quiet")


class Shout(logging.Filter):
    def filter(self, record):
        print("filtered", record.levelname)
        return True


log.addFilter(Shout())
logging.setLogRecordFactory(lambda *args, **kwargs: print("made") or logging.LogRecord(*args, **kwargs))
adapter = logging.LoggerAdapter(log, {"adapted": True})
print(log.isEnabledFor(logging.DEBUG), log.getEffectiveLevel())
log.debug("debug %d", 1, extra={"k": "v"})
log.info("info", extra={"name": "refused by logging where it logs"})
log.warning("warning")
log.log(15, "fifteen")
adapter.info("adapted")
logging.info("root")
log.debug("bad %d", "bob")
try:
    raise ValueError("x")
except ValueError:
    log.debug("with exception", exc_info=True)


def helper():
    log.info("by a helper", stacklevel=2)


helper()
log.disabled = True
log.debug("disabled")
log.disabled = False
logging.disable(logging.INFO)
log.info("switched off")
