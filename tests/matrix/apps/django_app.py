"""A Django site in one file: `/call` logs a line and returns the headers that a second server saw."""

from __future__ import annotations

import logging
import os
import sys

import requests
from django.http import HttpRequest, JsonResponse
from django.urls import path

DEBUG = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "django_app"
SECRET_KEY = "none"
USE_TZ = True


def call(request: HttpRequest) -> JsonResponse:
    """Call the second server."""
    del request
    logging.getLogger("shop").warning("calling")
    return JsonResponse(requests.get(os.environ["ECHO_URL"], timeout=5).json())


urlpatterns = [path("call", call)]

if __name__ == "__main__":
    # As in `manage.py`: the settings are chosen by the program, not by the environment it starts in.
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_app")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
