"""Streamed responses of Django: upstream's middleware ends a request before a server asks for its parts."""

from __future__ import annotations

import functools
from typing import Any

from opentelemetry.trace import set_span_in_context

from clew import diagnostics
from clew.importing import when_imported
from clew.servers.streamed import AsyncStreamed, Streamed


def install() -> None:
    """Let the parts be made inside the request's trace, once upstream's middleware is imported."""
    when_imported("opentelemetry.instrumentation.django.middleware.otel_middleware", _hook)


def _hook(module: Any) -> None:
    middleware = getattr(module, "_DjangoMiddleware", None)
    original = getattr(middleware, "process_response", None)
    key = getattr(middleware, "_environ_span_key", None)
    if middleware is None or original is None or key is None:
        return

    @functools.wraps(original)
    def process_response(self: Any, request: Any, response: Any) -> Any:
        span = request.META.get(key)
        answer = original(self, request, response)
        # Of a file the server itself sends what it can.
        if span is not None and getattr(answer, "streaming", False) and not hasattr(answer, "file_to_stream"):
            _keep_inside(answer, span)
        return answer

    middleware.process_response = process_response


def _keep_inside(response: Any, span: Any) -> None:
    try:
        made = AsyncStreamed if response.is_async else Streamed
        response.streaming_content = made(response.streaming_content, set_span_in_context(span))
    except Exception as error:  # noqa: BLE001 - promise: the application's response goes out
        diagnostics.report("django-stream", f"a streamed response is not traced: {type(error).__name__}: {error}")
