"""Sphinx's settings: MyST Markdown, the furo theme, warnings are errors (see the Makefile)."""

from __future__ import annotations

from importlib.metadata import version as _version

project = "Clew"
author = "The Clew authors"
version = release = _version("clew-opentelemetry")
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
html_theme = "furo"
exclude_patterns = ["_build"]
