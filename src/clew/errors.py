"""The errors of the desk half: what failed, the value, where, the cure, in one line.

    ClewError
    ├── SettingsError(ValueError)   a variable or an option holds what cannot be used
    ├── NoDataError                 a folder or a file has nothing to answer from
    ├── FormatError                 a file is not what its name or its use says
    ├── DeliveryError               an endpoint did not take what was sent
    ├── StartError                  a program that a command runs did not start
    └── MissingExtraError           a command needs a package that is not installed

Each carries a slug; docs/reference/errors.md explains it under that heading. Only `clew.desk.cli` turns an error into
an exit status. The runtime half raises none of these into the application.
"""

from __future__ import annotations


class ClewError(Exception):
    """Anything that Clew's commands report instead of a result."""

    slug = "error"


class SettingsError(ClewError, ValueError):
    """A variable or an option holds a value that cannot be used."""

    slug = "bad-setting"


class OptionError(SettingsError):
    """A value on the command line that means nothing; the command was called in a wrong way."""


class NoDataError(ClewError):
    """There is nothing to read where the command was told to look."""

    slug = "no-data"


class FormatError(ClewError):
    """A file is not in the form that its name or its use says."""

    slug = "bad-format"


class DeliveryError(ClewError):
    """An endpoint did not take what was sent."""

    slug = "not-delivered"


class MissingExtraError(ClewError):
    """The command needs a package that an extra of Clew brings."""

    slug = "missing-extra"


class StartError(ClewError):
    """A program that the command runs did not start, or ended too early."""

    slug = "not-started"
