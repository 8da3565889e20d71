"""One ID per request."""
