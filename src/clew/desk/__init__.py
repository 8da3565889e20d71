"""What a person asks, answered from files."""
