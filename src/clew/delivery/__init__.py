"""A batch reaches the Collector or the disk."""
