"""Applications for real servers: each logs one line in its handler; `/failing` raises, `/absent` is not found.

Run with a port and `werkzeug` or `django`; gunicorn and uvicorn import `wsgi` and `asgi` from here.
"""

import logging
import os
import sys

log = logging.getLogger("handler")
log.setLevel(logging.INFO)


def make_wsgi():
    from flask import Flask

    app = Flask(__name__)

    @app.get("/ok")
    def ok():
        log.info("handling")
        return "ok"

    @app.get("/failing")
    def failing():
        raise ValueError("failing")

    return app


def make_plain_wsgi():
    from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware

    def app(environ, start_response):
        log.info("handling")
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    return OpenTelemetryMiddleware(app)


def make_asgi():
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    async def app(scope, receive, send):
        if scope["type"] != "http":
            return
        if scope["path"] == "/failing":
            raise ValueError("failing")
        log.info("handling")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    return OpenTelemetryMiddleware(app, exclude_spans=["send", "receive"])


def make_fastapi():
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/ok")
    def ok():
        log.info("handling")
        return "ok"

    @app.get("/failing")
    def failing():
        raise ValueError("failing")

    return app


def serve_werkzeug(port):
    make_wsgi().run(port=port)


def serve_django(port):
    import django
    from django.conf import settings
    from django.core.management import call_command
    from django.http import HttpResponse
    from django.urls import path

    def ok(request):
        log.info("handling")
        return HttpResponse("ok")

    def failing(request):
        raise ValueError("failing")

    def refused(request):
        return HttpResponse("no", status=403)

    sys.modules["serving"] = sys.modules["__main__"]
    globals()["urlpatterns"] = [path("ok", ok), path("failing", failing), path("refused", refused)]
    settings.configure(
        DEBUG=True, ALLOWED_HOSTS=["*"], ROOT_URLCONF="serving", SECRET_KEY="s", MIDDLEWARE=[], INSTALLED_APPS=[]
    )
    django.setup()
    call_command("runserver", f"127.0.0.1:{port}", use_reloader=False, skip_checks=True)


if __name__ == "__main__":
    globals()[f"serve_{sys.argv[1]}"](int(sys.argv[2]))
elif os.environ.get("SERVING_APP"):
    app = globals()[f"make_{os.environ['SERVING_APP']}"]()
