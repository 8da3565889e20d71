"""Logs by structlog or loguru, set up in the way that the first argument names."""

import logging
import sys

logging.basicConfig(stream=sys.stderr, format="%(levelname)s:%(name)s:%(message)s", level=logging.INFO)


def drive_structlog():
    import structlog

    log = structlog.get_logger("lib").bind(bound="b")
    log.info("event one", user=7, nested={"a": [1, None]})
    log.debug("too low")
    try:
        raise ValueError("broken")
    except ValueError:
        log.exception("event two", password="x")


def structlog_native():
    import structlog

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(sort_keys=True),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    structlog.contextvars.bind_contextvars(ctx="c")
    drive_structlog()


def structlog_unconfigured():
    import structlog

    log = structlog.get_logger()
    structlog.configure(processors=[structlog.processors.JSONRenderer()], cache_logger_on_first_use=True)
    log.info("event one", user=7)
    log.info("event two", bound="b")


def structlog_dropped():
    import structlog

    def drop(logger, name, event):
        if event["event"] == "dropped":
            raise structlog.DropEvent
        return event

    structlog.configure(
        processors=[drop, structlog.processors.JSONRenderer()], logger_factory=structlog.WriteLoggerFactory()
    )
    log = structlog.get_logger()
    log.info("dropped")
    log.info("event one", user=7)
    with structlog.testing.capture_logs() as captured:
        log.info("only captured")
    print(captured)


def structlog_fails():
    import structlog

    def fail(logger, name, event):
        raise RuntimeError("processor")

    structlog.configure(processors=[fail, structlog.processors.JSONRenderer()])
    structlog.get_logger().info("never logged")


def structlog_stdlib():
    import structlog

    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_log_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    drive_structlog()


def structlog_kwargs():
    import structlog

    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_kwargs],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    drive_structlog()


def structlog_formatter():
    import structlog

    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_log_level,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    logging.root.handlers[0].setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.KeyValueRenderer(sort_keys=True),
            ],
            foreign_pre_chain=[structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder()],
        )
    )
    drive_structlog()
    logging.getLogger("foreign").warning("foreign", extra={"x": 1})


def drive_loguru():
    from loguru import logger

    log = logger.bind(bound="b")
    log.info("event {}", "one", user=7, nested={"a": [1, None]})
    log.debug("too low")
    try:
        raise ValueError("broken")
    except ValueError:
        log.exception("event two")


FORMAT = "{level}|{message}|{extra}"


def loguru_native():
    from loguru import logger

    logger.remove()
    logger.add(sys.stdout, format=FORMAT, level="INFO", backtrace=False, diagnose=False)
    logger.add(sys.stderr, format=FORMAT, level="INFO", backtrace=False, diagnose=False)
    print(len(logger._core.handlers), logger)
    drive_loguru()


def loguru_without_sinks():
    from loguru import logger

    logger.remove()
    drive_loguru()


class Intercept(logging.Handler):
    def emit(self, record):
        from loguru import logger

        logger.opt(depth=6, exception=record.exc_info).log(record.levelname, record.getMessage())


def loguru_intercept():
    from loguru import logger

    logger.remove()
    logger.add(sys.stdout, format="{level}|{message}", level="INFO", backtrace=False, diagnose=False)
    logging.basicConfig(handlers=[Intercept()], level=0, force=True)
    logging.getLogger("lib").info("event %s", "one", extra={"user": 7, "bound": "b"})
    logging.getLogger("lib").warning("event two", extra={"user": 8})


class Propagate(logging.Handler):
    def emit(self, record):
        logging.getLogger(record.name).handle(record)


def loguru_propagate():
    from loguru import logger

    logger.remove()
    logger.add(Propagate(), format="{message}", level="INFO", backtrace=False, diagnose=False)
    drive_loguru()


def loguru_propagate_enqueued():
    from loguru import logger

    logger.remove()
    logger.add(Propagate(), format="{message}", level="INFO", enqueue=True, backtrace=False, diagnose=False)
    drive_loguru()
    logger.complete()


def loguru_propagate_by_function():
    from loguru import logger

    logger.remove()
    logger.add(
        lambda message: logging.getLogger(message.record["name"]).log(message.record["level"].no, message.strip()),
        format="{message}",
        level="INFO",
        backtrace=False,
        diagnose=False,
    )
    drive_loguru()


globals()[sys.argv[1]]()
logging.getLogger("stdlib").warning("event of logging")
