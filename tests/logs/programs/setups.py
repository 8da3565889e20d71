"""Sets up logging in the way that the first argument names, and logs one line of each kind."""

import io
import logging
import logging.config
import logging.handlers
import multiprocessing
import queue
import sys

log = logging.getLogger("app.part")
CONFIG = {
    "version": 1,
    "formatters": {"f": {"format": "%(levelname)s:%(name)s:%(processName)s:%(message)s"}},
    "handlers": {"h": {"class": "logging.StreamHandler", "formatter": "f"}},
    "root": {"level": "INFO", "handlers": ["h"]},
    "disable_existing_loggers": False,
}
INI = """
[loggers]
keys=root
[handlers]
keys=h
[formatters]
keys=f
[logger_root]
level=INFO
handlers=h
[handler_h]
class=StreamHandler
args=(sys.stdout,)
formatter=f
[formatter_f]
format=%(levelname)s|%(message)s
"""


def unconfigured():
    pass


def basic():
    logging.basicConfig(level=logging.INFO)


def forced():
    logging.basicConfig(level=logging.ERROR)
    logging.basicConfig(level=logging.INFO, force=True, format="%(message)s", stream=sys.stdout)


def dict_config():
    logging.config.dictConfig(CONFIG)


def dict_config_twice():
    log.warning("early")
    logging.config.dictConfig(CONFIG)
    logging.config.dictConfig({**CONFIG, "incremental": False})


def configurator():
    logging.config.DictConfigurator(CONFIG).configure()


def file_config():
    logging.config.fileConfig(io.StringIO(INI), disable_existing_loggers=False)


def handlers_given():
    basic()
    logging.root.handlers = [logging.StreamHandler(sys.stdout)]


def cleared():
    basic()
    logging.root.handlers.clear()


def no_propagation():
    basic()
    log.propagate = False
    log.addHandler(logging.StreamHandler(sys.stdout))


def disabled():
    logging.config.dictConfig({**CONFIG, "disable_existing_loggers": True})
    logging.getLogger("new").warning("not disabled")


def queued():
    basic()
    waiting = queue.Queue()
    listener = logging.handlers.QueueListener(waiting, *logging.root.handlers)
    logging.root.handlers = [logging.handlers.QueueHandler(waiting)]
    listener.start()
    return listener.stop


def relistened():
    """The cookbook's listener, which hands what it gets to a logger."""
    basic()
    waiting = queue.Queue()
    shown = logging.root.handlers
    logging.root.handlers = [logging.handlers.QueueHandler(waiting)]

    def listen():
        logging.root.handlers = shown
        while not waiting.empty():
            record = waiting.get()
            logging.getLogger(record.name).handle(record)

    return listen


def _child(waiting):
    logging.root.handlers = [logging.handlers.QueueHandler(waiting)]
    logging.root.setLevel(logging.INFO)
    logging.getLogger("app.child").warning("from the child")


def processes():
    """The cookbook's listener of several processes."""
    basic()
    context = multiprocessing.get_context("spawn")
    waiting = context.Queue()
    child = context.Process(target=_child, args=(waiting,), name="child")
    child.start()
    child.join()

    record = waiting.get()
    print(record.processName, record.getMessage())
    logging.getLogger(record.name).handle(record)


def redispatched():
    """A handler that passes each record on to another logger."""
    basic()

    class PassOn(logging.Handler):
        def emit(self, record):
            logging.getLogger("elsewhere").handle(record)

    log.addHandler(PassOn())
    log.propagate = False


def memory():
    basic()
    logging.root.handlers = [logging.handlers.MemoryHandler(100, target=logging.StreamHandler(sys.stdout))]
    return logging.root.handlers[0].close


def celery():
    from celery import Celery
    from celery.utils.log import get_task_logger

    basic()
    app = Celery("app")
    app.log.setup(loglevel="INFO", colorize=False)
    for handler in logging.root.handlers + logging.getLogger("celery.task").handlers:
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    get_task_logger("app.tasks").warning("from a task logger")


def main(way):
    finish = globals()[way]()
    log.info("info %s", "one")
    log.warning("warning %s", "two")
    logging.getLogger().error("error on root")
    try:
        raise ValueError("three")
    except ValueError:
        log.exception("exception")
    if finish:
        finish()
    if way != "celery":
        print(
            logging.root.handlers,
            logging.root.level,
            logging.lastResort,
            sys.excepthook,
            sys.excepthook is sys.__excepthook__,
        )
        print(sys.unraisablehook, sys.unraisablehook is sys.__unraisablehook__, logging.getLogRecordFactory())
        print(logging.getLoggerClass())


if __name__ == "__main__":
    main(sys.argv[1])
