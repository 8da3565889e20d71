"""The meeting place of the two halves: telemetry files."""
