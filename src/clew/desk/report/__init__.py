"""What a folder of telemetry says, as one HTML page that opens offline: contents, then charts, then the page."""
