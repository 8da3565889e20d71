"""What a forked child inherits of the SDK's metrics, reached through their private names in this one module.

The SDK keeps a parent's sums in the child, which then reports them a second time under its own name, and a lock that
another thread of the parent may hold. Where a release has moved what is used here, the child keeps the SDK's own
behaviour.
"""

from __future__ import annotations

import threading
from typing import Any


def reset(provider: object) -> None:
    """Give a child storages and locks of its own; what it measures from now on starts at nothing."""
    consumer: Any = getattr(provider, "_measurement_consumer", None)
    storages = getattr(consumer, "_reader_storages", None)
    if consumer is None or not isinstance(storages, dict):
        return
    try:
        fresh = {
            reader: type(storage)(
                consumer._sdk_config,  # noqa: SLF001 - this module's purpose, so below
                storage._instrument_class_temporality,  # noqa: SLF001
                storage._instrument_class_aggregation,  # noqa: SLF001
            )
            for reader, storage in storages.items()
        }
    except (AttributeError, TypeError):
        return
    consumer._lock = threading.Lock()  # noqa: SLF001
    consumer._reader_storages = fresh  # noqa: SLF001
    for reader in fresh:
        if hasattr(reader, "_export_lock"):
            reader._export_lock = threading.Lock()  # noqa: SLF001


def has_measurements(provider: object) -> bool:
    """Return whether the process has measured anything that a last collection would deliver."""
    storages = getattr(getattr(provider, "_measurement_consumer", None), "_reader_storages", None)
    if not isinstance(storages, dict):
        return False
    return any(getattr(storage, "_instrument_view_instrument_matches", ()) for storage in storages.values())
