"""A set of packages that do not fit is named in one line."""

from __future__ import annotations

import pytest

from clew import versions


@pytest.mark.parametrize(
    "found",
    [
        {"opentelemetry-api": "1.45.1", "opentelemetry-sdk": "1.45.2"},
        {"opentelemetry-instrumentation": "0.66b1", "opentelemetry-semantic-conventions": "0.66b2"},
        {"opentelemetry-sdk": "1.45.1"},
        {},
    ],
)
def test_one_release_line_fits(found: dict[str, str]) -> None:
    """Packages of one release line run, whatever the last number; a missing one is told when it fails."""
    assert versions.mismatch(found) is None


def test_two_release_lines_do_not_fit() -> None:
    """The line names both packages, their versions and the cure."""
    line = versions.mismatch({"opentelemetry-api": "1.27.0", "opentelemetry-sdk": "1.45.2"})

    expected = (
        "telemetry is off: opentelemetry-api 1.27.0 does not fit opentelemetry-sdk 1.45.2; "
        "install one set: pip install -U clew-opentelemetry opentelemetry-sdk (or run: pip check)"
    )
    assert expected == line


def test_this_environment_fits() -> None:
    """The packages that the tests run with fit each other, by the quick look and by their own requirements."""
    assert versions.mismatch(versions.core_versions()) is None
    assert [] == versions.broken_requirements()


def test_other_errors_speak_for_themselves() -> None:
    """An error that no package explains is told by its type and text."""
    assert versions.explain(RuntimeError("no exporter 'x'")) == "telemetry is off: RuntimeError: no exporter 'x'"
