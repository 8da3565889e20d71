"""Telemetry files of any origin, read into typed records: OTLP JSON lines, plain JSON logs, text logs, compressed or not."""
