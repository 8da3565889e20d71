"""Flask's requests: what upstream's instrumentation does around each, with a third of the work.

Upstream hands Flask three functions: one round the WSGI application, one before a request, one at its teardown. Here
are three others that tell the same, span for span and metric for metric; a test compares them. They look each thing up
once, set each attribute once, and stand in no traceback. What a response still does while it is streamed, when Flask
has ended the request, belongs to the request's trace. Upstream's own functions are left where the older names of
attributes are asked for, and where a release has other ones.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import partial
from time import perf_counter, time_ns
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from opentelemetry.context import Context
from opentelemetry.instrumentation._semconv import _StabilityMode
from opentelemetry.instrumentation.wsgi import (
    add_response_attributes,
    default_response_propagation_setter,
    get_default_span_name,
)
from opentelemetry.trace import INVALID_SPAN, SpanKind, Status, StatusCode, set_span_in_context

from clew import diagnostics
from clew.bounded import attributes_of
from clew.correlation.command_spans import without_command
from clew.correlation.context import SPAN_KEY
from clew.correlation.responses import ClewResponsePropagator
from clew.current import current_context, make_current
from clew.latency import overhead
from clew.servers.streamed import Streamed
from clew.servers.wsgi_attributes import (
    active_attributes,
    context_of,
    duration_attributes,
    request_attributes,
    tell_response,
)
from clew.tracebacks import seamless

if TYPE_CHECKING:
    from collections.abc import Callable
    from weakref import ReferenceType

    from _typeshed.wsgi import WSGIEnvironment
    from opentelemetry.trace import Span

_KEY: Final = "clew-flask.request"
_COMMENTER_KEY: Final = "SQLCOMMENTER_ORM_TAGS_AND_VALUES"
"""Where upstream's database instrumentations look for what to write into a statement."""

_FACTORIES: Final = ("_rewrapped_app", "_wrapped_before_request", "_wrapped_teardown_request")
_NEEDED: Final = (
    *_FACTORIES,
    *("_ENVIRON_SPAN_KEY", "_ENVIRON_STARTTIME_KEY"),
    *("flask", "flask_version", "get_global_response_propagator"),
)
"""What is used of upstream's module."""


def install(module: Any) -> None:
    """Put these functions in the place of those of `module`, upstream's instrumentation of Flask."""
    if all(hasattr(module, name) for name in _NEEDED) and hasattr(module.flask.globals, "request_ctx"):
        telemetry = _Telemetry(module)
        for name in _FACTORIES:
            setattr(module, name, getattr(telemetry, name.removeprefix("_")))


def _reader(flask_globals: Any) -> Callable[[], Any]:
    """Return what returns Flask's context of the current request, or None outside one."""
    variable = getattr(flask_globals, "_cv_request", None)
    if isinstance(variable, ContextVar):
        return partial(variable.get, None)
    proxy = flask_globals.request_ctx

    def current() -> Any:
        here = proxy._get_current_object() if proxy else None  # noqa: SLF001 - werkzeug's documented way
        return here if getattr(here, "has_request", True) else None

    return current


class _Request:
    """What is known of a request from its beginning to its end."""

    __slots__ = (
        *("active", "attributes", "before", "context", "is_streamed", "is_traced"),
        *("outer", "reference", "route", "span", "started_ns", "started_s"),
    )

    before: Context
    """What was current before its span was."""
    context: Context

    def __init__(self, attributes: dict[str, Any], outer: _Request | None) -> None:
        self.started_ns, self.started_s = time_ns(), perf_counter()
        self.attributes = attributes
        self.active = active_attributes(attributes)
        self.outer = outer
        """The request that this one was made within, of the same environment."""
        self.span: Span | None = None
        self.route: object = None
        self.is_traced = True
        self.is_streamed = False
        self.reference: ReferenceType[Any] | None = None
        """Flask's context of it: copies of that do not end it."""


class _Telemetry:
    """The factories of the three functions."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._upstream = [getattr(module, name) for name in _FACTORIES]
        self._current = _reader(module.flask.globals)

    def rewrapped_app(
        self,
        wsgi_app: Callable[..., Any],
        active_requests_counter: Any,
        duration_histogram_old: Any = None,
        response_hook: Callable[..., object] | None = None,
        excluded_urls: Any = None,
        sem_conv_opt_in_mode: Any = _StabilityMode.DEFAULT,
        duration_histogram_new: Any = None,
    ) -> Callable[..., Any]:
        """Return the WSGI application with its requests counted, timed, and their responses told of."""
        if sem_conv_opt_in_mode is not _StabilityMode.HTTP or duration_histogram_old is not None:
            return seamless(
                self._upstream[0](
                    wsgi_app,
                    active_requests_counter,
                    duration_histogram_old,
                    response_hook,
                    excluded_urls,
                    sem_conv_opt_in_mode,
                    duration_histogram_new,
                )
            )
        instruments = (active_requests_counter, duration_histogram_new)
        measures = _Measures(self._module, self._current, instruments, response_hook, excluded_urls)

        @seamless
        def wrapped_app(environ: WSGIEnvironment, start_response: Callable[..., Any]) -> Any:
            request = measures.begin(environ)
            if request is None:
                return wsgi_app(environ, start_response)

            def respond(status: str, headers: list[tuple[str, str]], *args: Any, **kwargs: Any) -> Any:
                measures.respond(request, status, headers)
                return start_response(status, headers, *args, **kwargs)

            is_answered = False
            try:
                answer = wsgi_app(environ, respond)
                is_answered = True
            finally:
                measures.end(request, environ, is_answered)
            return Streamed(answer, request.context) if _is_left(request, answer) else answer

        return wrapped_app

    def wrapped_before_request(
        self,
        request_hook: Callable[..., object] | None = None,
        tracer: Any = None,
        excluded_urls: Any = None,
        enable_commenter: bool = True,
        commenter_options: Any = None,
        sem_conv_opt_in_mode: Any = _StabilityMode.DEFAULT,
    ) -> Callable[[], None]:
        """Return the function that starts a request's span."""
        if sem_conv_opt_in_mode is not _StabilityMode.HTTP:
            made: Callable[[], None] = self._upstream[1](
                request_hook, tracer, excluded_urls, enable_commenter, commenter_options, sem_conv_opt_in_mode
            )
            return made
        commenter = _Commenter(self._module.flask_version, commenter_options) if enable_commenter else None
        spans, current = _Spans(self._module, tracer, excluded_urls, request_hook, commenter), self._current
        return lambda: spans.begin(current())

    def wrapped_teardown_request(self, excluded_urls: Any = None) -> Callable[[BaseException | None], None]:
        """Return the function that ends a request's span."""
        upstream, current = self._upstream[2](excluded_urls), self._current

        def teardown_request(error: BaseException | None) -> None:
            here = current()
            request = here.request.environ.get(_KEY)
            if not isinstance(request, _Request):
                upstream(error)
            elif request.reference is not None and request.reference() is here:
                _end_span(request, error)

        return teardown_request


def _is_left(request: _Request, answer: object) -> bool:
    """Return whether a response is streamed outside its request: one that keeps Flask's context is inside it."""
    return (
        request.is_streamed
        and request.span is not None
        and request.reference is None
        and type(answer).__name__ == "ClosingIterator"
    )


class _Measures:
    """Counts and times the requests of one application, and tells of their responses. Nothing here raises."""

    def __init__(
        self,
        module: Any,
        current: Callable[[], Any],
        instruments: tuple[Any, Any],
        response_hook: Any,
        excluded_urls: Any,
    ) -> None:
        self._module, self._current = module, current
        self._counter, self._histogram = instruments
        self._response_hook, self._excluded_urls = response_hook, excluded_urls
        self._span_key, self._start_key = module._ENVIRON_SPAN_KEY, module._ENVIRON_STARTTIME_KEY  # noqa: SLF001 - likewise

    @overhead.requests.measure_whole
    def begin(self, environ: WSGIEnvironment) -> _Request | None:
        """Count a request as active; None where it cannot be told of."""
        try:
            request = _Request(request_attributes(environ), environ.get(_KEY))
            environ[_KEY] = request
            environ[self._start_key] = request.started_ns
            self._counter.add(1, request.active)
        except Exception as error:  # noqa: BLE001 - promise: the application's request goes on
            _report(error)
            return None
        return request

    @overhead.requests.measure_whole
    def respond(self, request: _Request, status: str, headers: list[tuple[str, str]]) -> None:
        """Take note of how a response begins, and put the IDs on it."""
        try:
            self._respond(request, status, headers)
        except Exception as error:  # noqa: BLE001 - promise: the application's response goes out
            _report(error)

    def _respond(self, request: _Request, status: str, headers: list[tuple[str, str]]) -> None:
        here = self._current()
        if here is None or (self._excluded_urls is not None and self._excluded_urls.url_disabled(here.request.url)):
            request.is_traced = False
            return
        request.route = here.request.url_rule
        # werkzeug tells the length of whatever it has as a whole.
        request.is_streamed = not any(name.lower() == "content-length" for name, _ in headers)
        span = request.span
        self._add_ids(headers, span)
        if span is not None and not tell_response(span, status, request.attributes):
            add_response_attributes(span, status, headers, request.attributes, _StabilityMode.HTTP)
        if span is not None and span.is_recording() and getattr(span, "kind", None) is SpanKind.SERVER:
            captured = self._module.otel_wsgi.collect_custom_response_headers_attributes(headers)
            if captured:
                span.set_attributes(captured)
        if self._response_hook is not None:
            self._response_hook(span, status, headers)

    def _add_ids(self, headers: list[tuple[str, str]], span: Span | None) -> None:
        propagator = self._module.get_global_response_propagator()
        if type(propagator) is ClewResponsePropagator and propagator.inner is None and span is not None:
            propagator.add_to_wsgi(headers, span)
        elif propagator is not None:
            propagator.inject(headers, setter=default_response_propagation_setter)

    @overhead.requests.measure_whole
    def end(self, request: _Request, environ: WSGIEnvironment, is_answered: bool) -> None:
        """Record how long an answered request took, and count it as active no more."""
        try:
            if request.reference is None:
                # Else its response is streamed within Flask's context, and torn down after that.
                environ[_KEY] = request.outer
            self._counter.add(-1, request.active)
            if not (is_answered and request.is_traced):
                return
            attributes = duration_attributes(request.attributes)
            if request.route:
                attributes["http.route"] = str(request.route)
            took_s = max(perf_counter() - request.started_s, 0.0)
            self._histogram.record(took_s, attributes, self._context_of(request, environ))
        except Exception as error:  # noqa: BLE001 - promise: the application's response goes out
            _report(error)

    def _context_of(self, request: _Request, environ: WSGIEnvironment) -> Context:
        """Return a Context with the request's span, for the exemplar."""
        span = environ.get(self._span_key)
        if span is request.span and span is not None:
            return request.context
        return set_span_in_context(span or INVALID_SPAN)


class _Commenter:
    """What Flask says of a request to the databases, for those that write it into their statements."""

    def __init__(self, version: str, options: Any) -> None:
        wanted = options or {}
        self._fixed = {"framework": f"flask:{version}"} if wanted.get("framework", True) else {}
        self._controller, self._route = wanted.get("controller", True), wanted.get("route", True)

    def told_of(self, rule: Any) -> dict[str, str]:
        """Return it for one request."""
        told = dict(self._fixed)
        if rule is not None:
            if self._controller and rule.endpoint:
                told["controller"] = rule.endpoint
            if self._route and rule.rule:
                told["route"] = rule.rule
        return told


class _Spans:
    """Starts the spans of one application's requests."""

    def __init__(
        self, module: Any, tracer: Any, excluded_urls: Any, request_hook: Any, commenter: _Commenter | None
    ) -> None:
        self._module, self._tracer, self._excluded_urls = module, tracer, excluded_urls
        self._request_hook, self._commenter = request_hook, commenter
        self._span_key = module._ENVIRON_SPAN_KEY  # noqa: SLF001 - see the module's docstring

    @overhead.requests.measure_whole
    def begin(self, here: Any) -> None:
        """Start the span of the request of Flask's context `here`, and make it the current one. Never raises."""
        try:
            if not (self._excluded_urls and self._excluded_urls.url_disabled(here.request.url)):
                self._begin(here, here.request)
        except Exception as error:  # noqa: BLE001 - promise: the application's request goes on
            _report(error)

    def _begin(self, here: Any, current: Any) -> None:
        environ, rule = current.environ, current.url_rule
        request = environ.get(_KEY)
        if not isinstance(request, _Request):
            # Flask's test_request_context runs no WSGI application.
            request = environ[_KEY] = _Request(request_attributes(environ), None)
        attributes = dict(request.attributes)
        if rule:
            attributes["http.route"] = rule.rule
            method = attributes.get("http.request.method", "")
            name = f"{'HTTP' if method == '_OTHER' else method} {rule.rule}"
        else:
            name = get_default_span_name(environ)
        request.before = current_context()
        context, kind = without_command(request.before), SpanKind.INTERNAL
        if context.get(SPAN_KEY, INVALID_SPAN) is INVALID_SPAN:
            context, kind = context_of(environ), SpanKind.SERVER
        span = self._tracer.start_span(name, context, kind, attributes, start_time=request.started_ns)
        if self._request_hook:
            self._request_hook(span, environ)
        if span.is_recording():
            self._tell(span, attributes, environ)
        changed = {**context, SPAN_KEY: span}
        if self._commenter is not None:
            changed[_COMMENTER_KEY] = self._commenter.told_of(rule)
        request.span = environ[self._span_key] = span
        request.reference = ref(here)
        request.context = Context(changed)
        make_current(request.context)

    def _tell(self, span: Any, attributes: dict[str, Any], environ: WSGIEnvironment) -> None:
        """Set the attributes that a sampler has dropped, and those of the headers that the user wants."""
        if next(iter(attributes)) not in attributes_of(span):
            span.set_attributes(attributes)
        if span.kind is SpanKind.SERVER:
            captured = self._module.otel_wsgi.collect_custom_request_headers_attributes(environ)
            if captured:
                span.set_attributes(captured)


@overhead.requests.measure_whole
def _end_span(request: _Request, error: BaseException | None) -> None:
    """End a request's span, with the exception that left it. Never raises."""
    span, request.reference = request.span, None
    try:
        if span is None:
            return
        if isinstance(error, Exception) and span.is_recording():
            span.record_exception(error)
            span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
        span.end()
    except Exception as trouble:  # noqa: BLE001 - promise: the application's request ends as it does without us
        _report(trouble)
    finally:
        # Torn down elsewhere, as a streamed response may be, there is nothing of ours to leave.
        if current_context() is request.context:
            make_current(request.before)


def _report(error: Exception) -> None:
    diagnostics.report("flask-spans", f"a request is not told of: {type(error).__name__}: {error}")
