"""Choose Clew where several distributions are installed: imported by `opentelemetry-instrument` in its own process.

Upstream takes whichever distribution its package metadata lists first. The command imports the modules of the entry
point group `opentelemetry_environment_variables` before it starts the program, which is the only moment to make the
choice firm. It must stay free of imports: it runs in every start.
"""

from __future__ import annotations

from clew import settings as _settings

NAME = "clew"
"""The name of our entry points, and the value of `OTEL_PYTHON_DISTRO` and `OTEL_PYTHON_CONFIGURATOR` that means us."""


def select() -> None:
    """Make Clew the distribution and the configurator of the program about to start, unless the user chose others."""
    environ = _settings.process_environment()
    if environ.setdefault("OTEL_PYTHON_DISTRO", NAME) == NAME:
        environ.setdefault("OTEL_PYTHON_CONFIGURATOR", NAME)


select()
