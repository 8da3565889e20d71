"""An error page of Tornado's begins the response anew; the request's IDs are on it all the same."""

from __future__ import annotations

import http.client
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from serving import SERVERS, running

from clew.correlation.ids import derive_trace_id, trace_id_hex

if TYPE_CHECKING:
    from pathlib import Path

    from receiver import Receiver


@pytest.mark.parametrize(
    ("path", "status", "loggers"),
    [("/fail", 500, {"shop.access", "tornado.application"}), ("/absent", 404, {"shop.access"})],
)
def test_error_page_has_the_ids(path: str, status: int, loggers: set[str], receiver: Receiver, tmp_path: Path) -> None:
    """The response has the correlation ID, and what the server logs after the span has ended is in its trace."""
    with running(SERVERS["tornado"], receiver, tmp_path, protocol="http/protobuf", environ={}) as started:
        connection = http.client.HTTPConnection("127.0.0.1", started.port, timeout=30)
        with closing(connection):
            connection.request("GET", path, headers={"X-Request-ID": "order-42"})
            response = connection.getresponse()
            response.read()

    trace_id = trace_id_hex(derive_trace_id("order-42", None))
    assert (status, "order-42") == (response.status, response.headers["X-Correlation-ID"])
    assert trace_id == response.headers["traceresponse"].split("-")[1]
    assert dict.fromkeys(loggers, trace_id) == {record.scope: record.trace_id for record in receiver.logs}
