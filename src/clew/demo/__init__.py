"""The three small services that `clew demo` runs."""
