"""A format string can name the record fields; a program that names none sees none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("style", ["%", "{", "$"])
def test_format_strings_of_all_styles(run_program: Callable[..., Any], style: str) -> None:
    """Each field holds the IDs of the call, also behind a queue; outside a span it is empty, and never an error."""
    run = run_program("naming.py", style, clew=True, OTEL_SERVICE_NAME="svc")
    by_hand, outside, inside, queued, ids = run.stdout.decode().splitlines()
    trace_id, span_id = ids.split()
    given = f"{trace_id}|{span_id}"

    assert by_hand.startswith("by hand|||||0|0|False|")
    assert outside == "outside|||||0|0|False|svc"
    assert inside.replace("|03|", "|01|") == f"inside|{given}|01|{trace_id}|{given}|True|svc"
    assert queued == inside.replace("inside", "queued")
    assert run.stderr == b""
    assert all(record["attributes"] == {} for record in run.records)


@pytest.mark.parametrize("way", ["fallback", "dumping"])
def test_programs_with_fields_of_their_own_stay_as_they_are(run_program: Callable[..., Any], way: str) -> None:
    """A filter that fills a missing field, an extra of that name, and a formatter that dumps a record print as ever."""
    assert run_program("naming.py", way, clew=False).shown == run_program("naming.py", way, clew=True).shown


def test_own_extra_is_exported(run_program: Callable[..., Any]) -> None:
    """A field's name in `extra` is the program's own attribute."""
    records = run_program("naming.py", "fallback", clew=True).records

    assert [{"correlation_id": "mine"}, {"correlation_id": "extra"}] == [record["attributes"] for record in records]


def test_always_and_never(run_program: Callable[..., Any]) -> None:
    """`CLEW_LOG_FIELDS` puts the fields into every record, or into none and leaves no trace of them."""
    always = run_program("naming.py", "dumping", clew=True, CLEW_LOG_FIELDS="always").stdout.split()
    never = run_program("naming.py", "%", clew=True, CLEW_LOG_FIELDS="never")

    assert {b"trace_id", b"span_id", b"trace_flags", b"correlation_id", b"otelTraceID"} <= {*always}
    assert b"Formatting field not found in record: 'trace_id'" in never.stderr
