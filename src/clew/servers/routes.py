"""The route of a Starlette or FastAPI request, before the application has found it.

Upstream asks each route whether it matches, as the application does again afterwards. Ordinary routes are asked by
their pattern and methods alone here, which is what their own answer comes from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from starlette.routing import Match, Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from clew.servers.asgi_attributes import Scope

    Details = Callable[[Scope], tuple[str, dict[str, Any]]]

try:
    from starlette._utils import get_route_path
except ImportError:  # no public name for it; an older or newer one keeps it elsewhere
    get_route_path = None  # type: ignore[assignment]  # an absent function

_METHODS: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})


def details_by(upstream: Details, *ordinary: type) -> Details:
    """Return what names a request as `upstream` does, quicker where all routes are `Route` or one of `ordinary`."""
    kinds = frozenset({Route, *ordinary})
    if get_route_path is None:
        return upstream

    def details(scope: Scope) -> tuple[str, dict[str, Any]]:
        method = scope.get("method")
        if scope["type"] != "http" or method not in _METHODS:
            return upstream(scope)
        found = _route(scope, method, kinds)
        return (f"{method} {found}", {"http.route": found}) if found else (method, {})

    return details


def _route(scope: Scope, method: str, kinds: frozenset[type]) -> str | None:
    """Return the path of the first route that takes the request, else of the last that takes its path."""
    path, partial = get_route_path(scope), None
    for route in scope["app"].routes:
        if type(route) not in kinds:
            found, is_full = _asked(route, scope)
        elif route.path_regex.match(path):
            found, is_full = route.path, not route.methods or method in route.methods
        else:
            continue
        if is_full:
            return found
        partial = found or partial
    return partial


def _asked(route: Any, scope: Scope) -> tuple[str | None, bool]:
    """Return the path of `route`, or of one inside it, and whether it takes the request, by its own word.

    FastAPI keeps the routes of an included router inside one of the application's.
    """
    partial = None
    contexts = getattr(route, "effective_route_contexts", None)
    for candidate in contexts() if contexts is not None else (route,):
        match, _ = candidate.matches(scope)
        if match is Match.NONE:
            continue
        # One that is chosen by its host has no path, and the request's own is no route.
        found = getattr(getattr(candidate, "starlette_route", None) or candidate, "path", None)
        if match is Match.FULL:
            return found, True
        partial = found
    return partial, False
