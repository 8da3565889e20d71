"""Ask a server at a fixed rate or as fast as it answers, in a process of its own; prints one JSON object.

At a fixed rate a request's latency counts from the moment at which it was due, so a server that stalls is charged for
all that waited meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time

_REQUEST = b"GET /orders/17 HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench/1\r\nAccept: */*\r\n\r\n"


class Connection:
    """One connection kept alive, opened again if the server closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self) -> bool:
        """Send one request and read its answer; return whether it was 200."""
        try:
            return await self._ask()
        except (ConnectionError, asyncio.IncompleteReadError):
            self._writer = None
            return await self._ask()

    async def _ask(self) -> bool:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(_REQUEST)
        head = await self._reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        await self._reader.readexactly(size)
        if b"connection: close" in head.lower():
            self._writer.close()
            self._writer = None
        return head.split(b" ", 2)[1] == b"200"


async def ask_all(port: int, requests: int, connections: int) -> dict[str, float]:
    """Send so many requests over so many connections, each as soon as the one before is answered."""
    numbers = iter(range(requests))
    failed = 0

    async def work() -> None:
        nonlocal failed
        connection = Connection(port)
        for _ in numbers:
            failed += not await connection.ask()

    started_s = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(connections)))
    return {"requests": requests, "failed": failed, "seconds": time.perf_counter() - started_s}


async def ask_at_rate(port: int, rate: float, seconds: float, connections: int) -> dict[str, float]:
    """Send requests at a fixed rate; return percentiles of their latency in microseconds."""
    idle: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(connections):
        idle.put_nowait(Connection(port))
    latencies_us: list[float] = []
    failed = 0

    async def work(due_s: float) -> None:
        nonlocal failed
        connection = await idle.get()
        failed += not await connection.ask()
        latencies_us.append((time.perf_counter() - due_s) * 1e6)
        idle.put_nowait(connection)

    tasks = []
    started_s = time.perf_counter() + 0.1
    for index in range(int(rate * seconds)):
        due_s = started_s + index / rate
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        tasks.append(asyncio.create_task(work(due_s)))
    await asyncio.gather(*tasks)
    latencies_us.sort()
    return {
        "requests": len(latencies_us),
        "failed": failed,
        "p50_us": latencies_us[len(latencies_us) // 2],
        "p99_us": latencies_us[int(len(latencies_us) * 0.99)],
    }


def main() -> None:
    """Parse the command line and ask."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--requests", type=int, default=0)
    parser.add_argument("--rate", type=float, default=300)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--cpu", type=int, default=-1)
    args = parser.parse_args()
    if args.cpu >= 0:
        os.sched_setaffinity(0, {args.cpu})
    if args.requests:
        print(json.dumps(asyncio.run(ask_all(args.port, args.requests, args.connections))))
    else:
        print(json.dumps(asyncio.run(ask_at_rate(args.port, args.rate, args.seconds, args.connections))))


if __name__ == "__main__":
    main()
