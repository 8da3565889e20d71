"""Applications that answer in parts and log while they do: a Flask one, a Django one for each kind of server."""

import asyncio
import logging
import sys

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import StreamingHttpResponse
from django.urls import path
from flask import Flask, Response

logger = logging.getLogger("parts")
logger.setLevel(logging.INFO)
settings.configure(
    ALLOWED_HOSTS=["*"], ROOT_URLCONF="streaming", SECRET_KEY="s", MIDDLEWARE=[], INSTALLED_APPS=[], DEBUG=False
)
sys.modules.setdefault("streaming", sys.modules[__name__])


def parts():
    for number in range(3):
        logger.info("part %d", number)
        yield f"part {number}\n"


async def async_parts():
    for part in parts():
        await asyncio.sleep(0)
        yield part


urlpatterns = [
    path("parts", lambda _: StreamingHttpResponse(parts())),
    path("async-parts", lambda _: StreamingHttpResponse(async_parts())),
]
flask_app = Flask(__name__)
flask_app.get("/parts")(lambda: Response(parts()))
wsgi_app = get_wsgi_application()
asgi_app = get_asgi_application()
