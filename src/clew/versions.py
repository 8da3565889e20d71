"""Which OpenTelemetry packages are installed, and whether they fit each other.

Upstream pins its packages to each other exactly; an index that lacks one, or a `--no-deps`, leaves a set that fails
when it is imported, or later inside a request. Told here in one line, with the packages and the cure.
"""

from __future__ import annotations

import re
from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PINNED = (
    ("opentelemetry-api", "opentelemetry-sdk"),
    ("opentelemetry-instrumentation", "opentelemetry-semantic-conventions"),
)
"""Pairs that upstream releases together under one version."""

_CURE = "install one set: pip install -U clew-opentelemetry opentelemetry-sdk"


def mismatch(versions: Mapping[str, str]) -> str | None:
    """Return a line that names the packages of `versions` that do not fit, or None.

    A difference in the last number only is left alone: those sets run.
    """
    for one, other in _PINNED:
        if one in versions and other in versions and _line(versions[one]) != _line(versions[other]):
            return (
                f"telemetry is off: {one} {versions[one]} does not fit {other} {versions[other]}; "
                f"{_CURE} (or run: pip check)"
            )
    return None


def _line(version: str) -> tuple[str, ...]:
    """Return the release line of a version: `1.45.2` is of 1.45, `0.66b1` of 0.66."""
    return tuple(re.findall(r"\d+", version)[:2])


def core_versions() -> dict[str, str]:
    """Return the installed versions of the packages that must fit; one that is missing is left out."""
    return dict(_installed(name for pair in _PINNED for name in pair))


def _installed(names: Iterable[str]) -> Iterable[tuple[str, str]]:
    for name in names:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:  # noqa: PERF203 - four packages, once
            continue


def broken_requirements() -> list[str]:
    """Return one phrase for each OpenTelemetry package whose requirement of another is not met.

    Reads the metadata of all packages, which takes tens of milliseconds: for when something has failed already.
    """
    from packaging.requirements import Requirement  # noqa: PLC0415 - only needed once something failed

    installed = {_normal(item.metadata["Name"]): item for item in metadata.distributions() if item.metadata["Name"]}
    found = []
    for name, item in sorted(installed.items()):
        if not name.startswith(("opentelemetry-", "clew-")):
            continue
        for text in item.requires or ():
            requirement = Requirement(text)
            other = _normal(requirement.name)
            if requirement.marker or not other.startswith("opentelemetry-"):
                continue
            version = installed[other].version if other in installed else None
            if version is None or not requirement.specifier.contains(version, prereleases=True):
                found.append(f"{name} {item.version} needs {other}{requirement.specifier}, found {version or 'none'}")
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def explain(error: BaseException) -> str:
    """Return one line on why the boot failed with `error`: packages that do not fit, else the error itself."""
    found = broken_requirements() if isinstance(error, (ImportError, AttributeError, TypeError)) else []
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        return f"telemetry is off: {found[0]}{more}; {_CURE}"
    return f"telemetry is off: {type(error).__name__}: {error}"
