"""Logs one message five times and ends."""

import logging

for _ in range(5):
    logging.warning("same")
