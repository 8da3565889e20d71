"""Is everything wired, and does a probe arrive: what `clew doctor` looks at, and what cures what it finds."""
