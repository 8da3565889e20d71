"""Stand in for pip on executed pages: `requirements.py install NAME[EXTRA]...` fails for what is not installed."""

from __future__ import annotations

import re
import sys
from importlib.metadata import metadata


def main(arguments: list[str]) -> None:
    """Look each requirement up among the installed packages, and its extras in the package's metadata.

    Raises:
        ValueError: If it is no requirement, or the package has no such extra.
        PackageNotFoundError: If the package is not installed.
    """
    for requirement in [argument for argument in arguments if argument != "install" and not argument.startswith("-")]:
        match = re.fullmatch(r"(?P<name>[\w-]+|\.)(\[(?P<extras>[\w,-]+)\])?", requirement)
        if match is None:
            raise ValueError(f"no requirement: {requirement!r}")
        name = "clew-opentelemetry" if match["name"] == "." else match["name"]
        known = metadata(name).get_all("Provides-Extra") or []
        unknown = set(filter(None, (match["extras"] or "").split(","))) - set(known)
        if unknown:
            raise ValueError(f"{name} has no extra {sorted(unknown)}")


if __name__ == "__main__":
    main(sys.argv[1:])
