"""Let secrets slip into logs and spans in every way that users know."""

import logging
import sys

from opentelemetry import trace

SECRET = sys.argv[1]
logging.basicConfig(stream=sys.stdout)
logger = logging.getLogger("shop")
logger.setLevel(logging.INFO)
tracer = trace.get_tracer("shop")


class LoginError(Exception):
    pass


def log_in(password):
    raise LoginError(f"no user with password={password}")


with tracer.start_as_current_span(f"GET /login?token={SECRET}", attributes={"db.password": SECRET}) as span:
    span.set_attribute("url.full", f"https://bob:{SECRET}@shop.example/cart?api_key={SECRET}&id=7")
    span.set_attribute("http.request.header.authorization", [f"Bearer {SECRET}"])
    span.set_attribute("process.command_args", ["mysql", "--password", SECRET])
    span.add_event("retry", {"client_secret": SECRET, "note": f"password: {SECRET}"})
    span.add_link(span.get_span_context(), {"session_id": SECRET})
    logger.info("connecting to postgresql://u:%s@db/shop", SECRET)
    logger.info('{"user": "bob", "password": "%s"}', SECRET)
    logger.warning({"password": SECRET, "list": [("cookie", SECRET)]})
    logger.info("called", extra={"token": SECRET, "request": {"headers": [{"X-Api-Key": SECRET}], "n": 1}})
    logger.info(b"Authorization: Basic " + SECRET.encode())
    logger.error("durable password=%s", SECRET)
    span.set_status(trace.StatusCode.ERROR, f"secret={SECRET}")
    try:
        log_in(SECRET)
    except LoginError:
        logger.exception("login failed")
    with tracer.start_as_current_span("inner", record_exception=True):
        log_in(SECRET)
