"""Telemetry files of any origin to typed records: OTLP JSON lines, JSON logs, text logs, compressed or not."""
