"""A gRPC server: `/Shop/Call` logs a line and returns, as JSON, the headers that a second server saw."""

from __future__ import annotations

import logging
import os
import signal
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import grpc

logging.basicConfig(level=logging.INFO)


def call(request: bytes, context: grpc.ServicerContext) -> bytes:
    """Call the second server."""
    del request, context
    logging.getLogger("shop").info("calling")
    with urllib.request.urlopen(os.environ["ECHO_URL"], timeout=5) as response:
        return response.read()


if __name__ == "__main__":
    server = grpc.server(ThreadPoolExecutor(4))
    methods = {"Call": grpc.unary_unary_rpc_method_handler(call)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Shop", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stderr.write(f"listening on 127.0.0.1:{port}\n")
    signal.signal(signal.SIGTERM, lambda *_: server.stop(1))
    server.wait_for_termination()
