"""What a response does while the server sends it, after its framework has ended the request: inside its Context still.

A generator that makes a response in parts logs, queries and calls others while it is sent. Its own `with` blocks may
leave something current between two parts; that stays out of the server's Context.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clew.current import current_context, make_current
from clew.tracebacks import seamless

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from opentelemetry.context import Context


class Streamed:
    """The parts of a response, each made where the Context of its request is current."""

    def __init__(self, parts: Any, context: Context) -> None:
        """Take over an iterator, and its `close` if it has one."""
        self._parts, self._context = parts, context

    def __iter__(self) -> Streamed:
        return self

    @seamless
    def __next__(self) -> Any:
        before = current_context()
        make_current(self._context)
        try:
            return next(self._parts)
        finally:
            make_current(before)

    @seamless
    def close(self) -> None:
        """Close the iterator, in the same Context."""
        before = current_context()
        make_current(self._context)
        try:
            getattr(self._parts, "close", tuple)()
        finally:
            make_current(before)


class AsyncStreamed:
    """The same of an asynchronous iterator."""

    def __init__(self, parts: Any, context: Context) -> None:
        """Take over an iterator, and its `aclose` if it has one."""
        self._parts, self._context = parts, context

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    @seamless
    async def __anext__(self) -> Any:
        before = current_context()
        make_current(self._context)
        try:
            return await anext(self._parts)
        finally:
            make_current(before)

    @seamless
    async def aclose(self) -> None:
        """Close the iterator, in the same Context."""
        before = current_context()
        make_current(self._context)
        try:
            close = getattr(self._parts, "aclose", None)
            if close is not None:
                await close()
        finally:
            make_current(before)
