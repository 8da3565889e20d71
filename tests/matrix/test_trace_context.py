"""W3C Trace Context level 1 works through Clew: what is valid goes on unchanged in meaning, what is not starts anew.

The cases are those of the specification's sections 3.2 and 3.3, on a service that calls another.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from serving import SERVERS, Running, running

from receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator

TRACE_ID = "12345678901234567890123456789012"
PARENT_ID = "1234567890123456"
VALID = ("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-01")
_FORM = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_VALUE = "!\"#$%&'()*+-./:;<>?@[]^_`{|}~"
_MEMBERS_32 = ",".join(f"bar{number:02d}={number:02d}" for number in range(1, 33))

CONTINUES = {
    "sampled": [VALID],
    "not sampled": [("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-00")],
    "name in capitals": [("TRACEPARENT", VALID[1])],
    "name in mixed case": [("TraceParent", VALID[1])],
    "space around the value": [("traceparent", f"  {VALID[1]} \t")],
    "future version": [("traceparent", f"cc-{TRACE_ID}-{PARENT_ID}-01")],
    "future version with more": [("traceparent", f"cc-{TRACE_ID}-{PARENT_ID}-01-what-the-future-will-be-like")],
    "unknown flags": [("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-ff")],
    "beside a correlation header": [VALID, ("x-correlation-id", "order-42")],
}
RESTARTS = {
    "nothing": [],
    "version ff": [("traceparent", f"ff-{TRACE_ID}-{PARENT_ID}-01")],
    "version with illegal characters": [("traceparent", f".0-{TRACE_ID}-{PARENT_ID}-01")],
    "version too long": [("traceparent", f"000-{TRACE_ID}-{PARENT_ID}-01")],
    "version too short": [("traceparent", f"0-{TRACE_ID}-{PARENT_ID}-01")],
    "more after version 00": [("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-01-what")],
    "dash after version 00": [("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-01-")],
    "future version without a dash": [("traceparent", f"cc-{TRACE_ID}-{PARENT_ID}-01.what")],
    "trace ID of zeros": [("traceparent", f"00-{'0' * 32}-{PARENT_ID}-01")],
    "trace ID with illegal characters": [("traceparent", f"00-.{TRACE_ID[1:]}-{PARENT_ID}-01")],
    "trace ID in capitals": [("traceparent", f"00-{'ABCDEF12' * 4}-{PARENT_ID}-01")],
    "trace ID too long": [("traceparent", f"00-{TRACE_ID}3-{PARENT_ID}-01")],
    "trace ID too short": [("traceparent", f"00-{TRACE_ID[1:]}-{PARENT_ID}-01")],
    "parent ID of zeros": [("traceparent", f"00-{TRACE_ID}-{'0' * 16}-01")],
    "parent ID with illegal characters": [("traceparent", f"00-{TRACE_ID}-.{PARENT_ID[1:]}-01")],
    "parent ID too long": [("traceparent", f"00-{TRACE_ID}-{PARENT_ID}7-01")],
    "parent ID too short": [("traceparent", f"00-{TRACE_ID}-{PARENT_ID[1:]}-01")],
    "flags with illegal characters": [("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-.0")],
    "flags too long": [("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-001")],
    "flags too short": [("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-1")],
    "name with an underscore": [("trace_parent", VALID[1])],
    "name with a dash": [("trace-parent", VALID[1])],
}
STATES = {
    "one member": ([("tracestate", "foo=1")], {"foo": "1"}),
    "two members": ([("tracestate", "foo=1,bar=2")], {"foo": "1", "bar": "2"}),
    "two headers": ([("tracestate", "foo=1"), ("tracestate", "bar=2")], {"foo": "1", "bar": "2"}),
    "space between members": ([("tracestate", "foo=1 \t , \t bar=2, \t baz=3")], {"foo": "1", "bar": "2", "baz": "3"}),
    "an empty header": ([("tracestate", "")], {}),
    "an empty header and another": ([("tracestate", ""), ("tracestate", "foo=1")], {"foo": "1"}),
    "a vendor of a tenant": ([("tracestate", "fw529a3039@dt=FfqeTm")], {"fw529a3039@dt": "FfqeTm"}),
    "all characters of a key": ([("tracestate", "a0_-*/=1")], {"a0_-*/": "1"}),
    "all kinds of value": (
        [("tracestate", "foo=!\"#$%&'()*+-./:;<>?@[]^_`{|}~")],
        {"foo": "!\"#$%&'()*+-./:;<>?@[]^_`{|}~"},
    ),
    "32 members": (
        [("tracestate", _MEMBERS_32)],
        {f"bar{number:02d}": f"{number:02d}" for number in range(1, 33)},
    ),
}


@pytest.fixture(scope="module", params=["flask-gunicorn", "asgi-uvicorn"])
def service(
    request: pytest.FixtureRequest, echo_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """Run a service that calls another."""
    folder = tmp_path_factory.mktemp("service")
    with (
        Receiver() as receiver,
        running(
            SERVERS[request.param], receiver, folder, protocol="http/protobuf", environ={"ECHO_URL": echo_url}
        ) as it,
    ):
        yield it


def _parts(traceparent: str) -> tuple[str, str, str]:
    match = _FORM.fullmatch(traceparent)
    assert match is not None, f"no valid traceparent went out: {traceparent!r}"
    return match[1], match[2], match[3]


def _members(tracestate: str) -> dict[str, str]:
    return dict(member.strip().split("=", 1) for member in tracestate.split(",") if member.strip())


def test_continues_the_trace(service: Running) -> None:
    """Each valid header goes on with the same trace and sampling decision under a new parent."""
    calls = {case: _parts(service.call(headers).outbound["traceparent"]) for case, headers in CONTINUES.items()}

    assert {case: (TRACE_ID, case != "not sampled") for case in CONTINUES} == {
        case: (trace_id, bool(int(flags, 16) & 1)) for case, (trace_id, _, flags) in calls.items()
    }
    assert PARENT_ID not in {parent_id for _, parent_id, _ in calls.values()}


def test_starts_a_new_trace(service: Running) -> None:
    """Each invalid header is as if it were not there, and its tracestate is left out too."""
    replies = {case: service.call([*headers, ("tracestate", "foo=1")]) for case, headers in RESTARTS.items()}
    trace_ids = {case: _parts(reply.outbound["traceparent"])[0] for case, reply in replies.items()}

    assert dict.fromkeys(RESTARTS) == {case: reply.outbound.get("tracestate") for case, reply in replies.items()}
    assert [] == [case for case, trace_id in trace_ids.items() if trace_id in {TRACE_ID, "0" * 32}]
    assert len(RESTARTS) == len(set(trace_ids.values()))


@pytest.mark.parametrize("service", ["flask-gunicorn"], indirect=True)
def test_takes_neither_of_two(service: Running) -> None:
    """Two traceparent headers are none, where the server hands both on: upstream takes the first of an ASGI scope."""
    reply = service.call([VALID, ("traceparent", f"00-{TRACE_ID[::-1]}-{PARENT_ID}-01")])

    assert _parts(reply.outbound["traceparent"])[0] not in {TRACE_ID, TRACE_ID[::-1]}


def test_carries_the_state_on(service: Running) -> None:
    """Each valid tracestate goes on with all its members."""
    expected = {case: state for case, (_, state) in STATES.items()}

    assert expected == {
        case: _members(service.call([VALID, *headers]).outbound.get("tracestate", ""))
        for case, (headers, _) in STATES.items()
    }


def test_leaves_out_too_large_a_state(service: Running) -> None:
    """More than 32 members are no valid state; the trace goes on without it."""
    reply = service.call([VALID, ("tracestate", _MEMBERS_32 + ",one=more")])

    assert (TRACE_ID, None) == (_parts(reply.outbound["traceparent"])[0], reply.outbound.get("tracestate"))
