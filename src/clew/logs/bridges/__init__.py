"""Logging libraries beside the standard one: each of their events is captured once, bridged to `logging` or not."""
