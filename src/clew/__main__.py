"""`python -m clew` and the `clew` command."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from clew.desk.cli import run  # noqa: PLC0415 - keeps `import clew.__main__` free of the command line

    run()


if __name__ == "__main__":
    main()
