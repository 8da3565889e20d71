"""Formats records by strings that name the record fields, inside a span and outside; the argument is the style."""

import logging
import logging.handlers
import queue
import sys

from opentelemetry import trace

FORMATS = {
    "%": "%(message)s|%(trace_id)s|%(span_id)s|%(trace_flags)s|%(correlation_id)s|%(otelTraceID)s|%(otelSpanID)s|%(otelTraceSampled)s|%(otelServiceName)s",
    "{": "{message}|{trace_id}|{span_id}|{trace_flags}|{correlation_id}|{otelTraceID}|{otelSpanID}|{otelTraceSampled}|{otelServiceName}",
    "$": "$message|$trace_id|${span_id}|$trace_flags|$correlation_id|$otelTraceID|$otelSpanID|$otelTraceSampled|$otelServiceName",
}


def fallback():
    """A program that fills the field itself where it is missing."""

    class Fill(logging.Filter):
        def filter(self, record):
            if not hasattr(record, "correlation_id"):
                record.correlation_id = "mine"
            return True

    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(Fill())
    handler.setFormatter(logging.Formatter("%(message)s %(correlation_id)s"))
    logging.getLogger().addHandler(handler)
    logging.warning("filled")
    logging.warning("given", extra={"correlation_id": "extra"})


def dumping():
    """A formatter that prints all that a record has."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.format = lambda record: " ".join(sorted(vars(record)))
    logging.getLogger().addHandler(handler)
    logging.warning("dumped")


def styled(style):
    formatter = logging.Formatter(FORMATS[style], style=style)
    direct = logging.StreamHandler(sys.stdout)
    direct.setFormatter(formatter)
    waiting = queue.Queue()
    listener = logging.handlers.QueueListener(waiting, direct)
    logging.getLogger().addHandler(direct)
    print(formatter.format(logging.LogRecord("n", 20, "p", 1, "by hand", (), None)))
    logging.warning("outside")
    with trace.get_tracer("t").start_as_current_span("s") as span:
        context = span.get_span_context()
        logging.warning("inside")
        logging.getLogger().handlers = [logging.handlers.QueueHandler(waiting)]
        logging.warning("queued")
    listener.start()
    listener.stop()
    print(f"{context.trace_id:032x} {context.span_id:016x}")


{"fallback": fallback, "dumping": dumping}.get(sys.argv[1], lambda: styled(sys.argv[1]))()
