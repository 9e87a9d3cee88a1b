#!/usr/bin/env python3
"""Holds sockets that read nothing beside a run, and measures what that costs the run and the server.

    faults/stalled.py target/release/genesis-mesh                   # 1,000 native sockets
    faults/stalled.py target/release/genesis-mesh --sockets 100

Runs of the fixture graph `tokens200` are measured on a server of their own. On another one, so many
sockets follow the thread without reading a byte, and the same runs are measured beside them.

Checked: the median time of a run is within 10 % of what it is alone; the server's own memory is at
most 64 MB above what it is alone; the sockets are gone 30 seconds after they stopped taking bytes, and the
server has as many as before. Needs Python and Linux. Exit status 1 when a check
fails.
"""

import argparse
import contextlib
import importlib.util
import os
import resource
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path

from kill import Server

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("replay", HERE.parent / "clients/conversations/replay.py")
replay = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(replay)

#: What is measured: pieces of about a kilobyte, as a model would say them.
RUN = {
    "assistant_id": "tokens200",
    "input": {"messages": [], "n": 2000, "interval_us": 200},
    "stream_mode": ["updates", "messages-tuple"],
}

#: Seconds within which sockets are gone that take nothing, and what measuring them may take.
GONE_WITHIN = 30 + 5


def stall(port: int, thread_id: str) -> socket.socket:
    """Opens a native socket, follows the thread from its beginning, and reads nothing."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.connect(("127.0.0.1", port))
    connection.sendall(
        f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(1)
    call = f'{{"op":"subscribe","id":1,"thread_id":"{thread_id}","after":0}}'
    connection.sendall(replay.Socket.frame(1, call.encode()))
    return connection


class Watched(Server):
    """The server, as the system sees it."""

    def memory_mb(self) -> float:
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.split("RssAnon:")[1].split()[0]) / 1024

    def descriptors(self) -> int:
        """How many sockets it has. Files of the database come and go."""
        count = 0
        for link in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                count += os.readlink(link).startswith("socket:")
        return count

    def run_time(self, thread_id: str) -> float:
        begun = time.monotonic()
        status, _ = self.ask("POST", f"/threads/{thread_id}/runs/wait", RUN)
        assert status == 200, status
        return time.monotonic() - begun


def measure(asked: argparse.Namespace, sockets: int) -> tuple[float, float, float, int]:
    """The median time of a run in milliseconds beside so many sockets, the server's memory at most
    in MB, how many seconds after the last run the sockets were gone, and how many were left."""
    with tempfile.TemporaryDirectory(prefix="genesis-mesh-stalled-") as folder:
        server = Watched(asked.binary.resolve(), Path(folder))
        server.start()
        try:
            return measured(asked, server, sockets)
        finally:
            server.stop()


def measured(
    asked: argparse.Namespace, server: Watched, sockets: int
) -> tuple[float, float, float, int]:
    _, thread = server.ask("POST", "/threads", {})
    thread_id = thread["thread_id"]
    server.run_time(thread_id)
    before = server.descriptors()
    stalled = [stall(server.port, thread_id) for _ in range(sockets)]
    # Until what the system keeps for a connection is full, they are readers like any other.
    for _ in range(3):
        server.run_time(thread_id)
    times, highest = [], 0.0
    for _ in range(asked.runs):
        times.append(server.run_time(thread_id))
        highest = max(highest, server.memory_mb())
    begun = time.monotonic()
    while server.descriptors() > before and time.monotonic() - begun < 2 * GONE_WITHIN:
        highest = max(highest, server.memory_mb())
        time.sleep(0.2)
    gone, left = time.monotonic() - begun, server.descriptors() - before
    for connection in stalled:
        connection.close()
    return 1000 * statistics.median(times), highest, gone, left


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", type=Path)
    parser.add_argument("--sockets", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=9)
    asked = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
    alone_ms, alone_mb, _, _ = measure(asked, 0)
    beside_ms, beside_mb, gone, left = measure(asked, asked.sockets)
    slower, grown = beside_ms / alone_ms, beside_mb - alone_mb
    print(
        f"a run takes {beside_ms:.0f} ms beside {asked.sockets} stalled sockets, "
        f"{alone_ms:.0f} ms alone ({100 * (slower - 1):+.1f} %)"
    )
    print(f"memory at most {beside_mb:.0f} MB, {alone_mb:.0f} MB alone ({grown:+.0f} MB)")
    print(f"sockets gone {gone:.1f} s after the last run; {left} left")
    wrong = []
    if slower > 1.10:
        wrong.append("runs are slower by more than 10 %")
    if grown > 64:
        wrong.append("memory grew by more than 64 MB")
    if gone > GONE_WITHIN or left > 0:
        wrong.append("sockets are still there")
    for text in wrong:
        print(f"WRONG: {text}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
