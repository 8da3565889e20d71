"""From a log call to a log record."""
