"""Server spans and response headers where no framework's instrumentation makes them."""
