#!/usr/bin/env python3
"""Treats the server as no client should, and checks that it is still there and as small as before.

    faults/peers.py target/release/genesis-mesh                     # everything, about three minutes
    faults/peers.py target/release/genesis-mesh --only pings frames

`pings` floods sockets with pings, on some without reading an answer. `unread` has sockets that call
all the time and read nothing. `reconnects` opens 5,000 sockets
and leaves them in every way: well, by a reset, in the middle of the handshake, beside a run. `silent`
has peers of whom nothing more is heard: before a request, within its head, within a frame, with their
half of the connection closed, and with an open socket that answers no ping. `frames` sends messages of
2 MB, whole, in parts, and only announced; one of exactly the limit is taken.

After each, and beside it: the server answers, a run ends well, its sockets are as many as at the
start, and its own memory is at most 48 MB above what it was then. Needs Python and Linux. Exit
status 1 when a check fails.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import random
import resource
import select
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from stalled import Watched, replay

#: Megabytes that the server may have more after a fault than before, and while it lasts. What is
#: remembered of threads has up to 32, and the allocator gives back late.
MORE_AFTER, MORE_BESIDE = 48, 64

#: Seconds until a peer is given up that sends no head, answers no ping, or takes no byte.
HEAD_WITHIN, PONG_WITHIN, STALLED_WITHIN = 10 + 5, 60 + 25, 30 + 15

LIMIT = 1 << 20

RUN = {"assistant_id": "tokens200", "input": {"messages": [], "n": 200, "interval_us": 100}}


class Wrong(Exception):
    """The server did something else than it should."""


def opened(port: int, path: str = "/ws", small: bool = False) -> socket.socket:
    """A connection after its handshake, with nothing read beyond that."""
    connection = socket.socket()
    connection.settimeout(20)
    if small:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.connect(("127.0.0.1", port))
    connection.sendall(handshake(port, path))
    head = b""
    while b"\r\n\r\n" not in head:
        byte = connection.recv(1)
        if not byte:
            raise Wrong(f"no socket: {head!r}")
        head += byte
    return connection


def handshake(port: int, path: str = "/ws") -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    ).encode()


def head_of(opcode: int, length: int, last: bool = True) -> bytes:
    """The header of a client's frame of 64 KB or more, with the mask 0."""
    return bytes([(0x80 if last else 0) | opcode, 0x80 | 127]) + struct.pack(">QI", length, 0)


def frames(connection: socket.socket) -> Iterator[tuple[int, bytes]]:
    """What the server sends until it ends the connection."""
    waiting = b""

    def take(count: int) -> bytes:
        nonlocal waiting
        while len(waiting) < count:
            data = connection.recv(65536)
            if not data:
                raise EOFError
            waiting += data
        taken, waiting = waiting[:count], waiting[count:]
        return taken

    with contextlib.suppress(EOFError):
        while True:
            first, length = take(2)
            if length == 126:
                length = struct.unpack(">H", take(2))[0]
            elif length == 127:
                length = struct.unpack(">Q", take(8))[0]
            yield first & 15, take(length)


def is_gone(connection: socket.socket) -> bool:
    """Whether the server has ended the connection, whatever it said before."""
    try:
        while select.select([connection], [], [], 0)[0]:
            if not connection.recv(65536):
                return True
    except OSError:
        return True
    return False


# ---- the faults ----


def pings(server: Watched, scale: float) -> str:
    """Floods sockets with pings for some seconds. Answers may be left out, but those that come are
    in order, and the last ping is answered."""
    until = time.monotonic() + 6 * scale
    piece = b"".join(replay.Socket.frame(9, b"%0100d" % n) for n in range(256))
    sent = answered = 0
    fault: list[str] = []
    lock = threading.Lock()

    def flood(reads: bool) -> None:
        nonlocal sent, answered
        connection = opened(server.port, small=not reads)
        if not reads:
            connection.setblocking(False)
            left = memoryview(piece)
            while time.monotonic() < until:
                if select.select([], [connection], [], 0.2)[1]:
                    with contextlib.suppress(BlockingIOError):
                        count = connection.send(left)
                        left = left[count:] or memoryview(piece)
                        with lock:
                            sent += count // 106
            connection.close()
            return
        count = pongs = 0
        came = frames(connection)
        while time.monotonic() < until:
            connection.sendall(piece)
            count += 256
            # Some in the middle need not be answered; the last one is.
            last = -1
            while last < 255:
                opcode, payload = next(came)
                if opcode == 10:
                    if int(payload) <= last:
                        fault.append(f"pong {int(payload)} after {last}")
                    last, pongs = int(payload), pongs + 1
        connection.close()
        with lock:
            sent += count
            answered += pongs

    def reading() -> None:
        try:
            flood(True)
        except (OSError, StopIteration, ValueError) as error:
            fault.append(f"a socket that reads its pongs: {error!r}")

    threads = [threading.Thread(target=reading) for _ in range(4)]
    threads += [threading.Thread(target=flood, args=(False,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if fault:
        raise Wrong(fault[0])
    return f"{sent} pings, {answered} of them answered on the sockets that read"


def reconnects(server: Watched, scale: float) -> str:
    """Opens sockets and leaves them, in every way."""
    count = int(5000 * scale)
    _, thread = server.ask("POST", "/threads", {})
    thread_id = thread["thread_id"]
    ways = ["well", "reset", "handshake", "head", "run", "call"]
    left = {way: 0 for way in ways}
    lock = threading.Lock()
    todo = iter(range(count))
    fault: list[str] = []

    def once(way: str) -> None:
        if way in ("handshake", "head"):
            connection = socket.create_connection(("127.0.0.1", server.port), 20)
            text = handshake(server.port)
            connection.sendall(text if way == "handshake" else text[: len(text) // 2])
            connection.close()
            return
        path = "/ws/tokens200?stream_mode=messages" if way == "run" else "/ws"
        connection = opened(server.port, path)
        if way == "run":
            call = json.dumps({"n": 100_000, "interval_us": 1000}).encode()
            connection.sendall(replay.Socket.frame(1, call))
            connection.recv(1)
        if way == "call":
            call = {"op": "subscribe", "id": 1, "thread_id": thread_id, "after": 0}
            connection.sendall(replay.Socket.frame(1, json.dumps(call).encode()))
        if way == "well":
            connection.sendall(replay.Socket.frame(8, struct.pack(">H", 1000)))
            *_, (opcode, payload) = frames(connection)
            if opcode != 8 or payload[:2] != struct.pack(">H", 1000):
                raise Wrong(f"closed by {opcode} {payload!r}")
        else:
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.close()

    def work(seed: int) -> None:
        chance = random.Random(seed)
        while not fault:
            with lock:
                if next(todo, None) is None:
                    return
            # Runs are dear; one in fifty is enough.
            way = chance.choice(ways[:4]) if chance.random() < 0.9 else chance.choice(ways)
            try:
                once(way)
            except (OSError, ValueError, Wrong) as error:
                fault.append(f"{way}: {error!r}")
            with lock:
                left[way] += 1

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(16)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if fault:
        raise Wrong(fault[0])
    ways_text = ", ".join(f"{number} {way}" for way, number in left.items())
    return f"{count} connections in {time.monotonic() - begun:.1f} s: {ways_text}"


def silent(server: Watched, scale: float) -> str:
    """Peers of whom nothing more is heard are given up, each within its time."""
    each = max(1, int(50 * scale))
    port = server.port
    text = handshake(port)
    peers: dict[str, list[socket.socket]] = {}

    def plain(sends: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", port), 20)
        connection.sendall(sends)
        return connection

    def within(sends: bytes) -> socket.socket:
        connection = opened(port)
        connection.sendall(sends)
        return connection

    peers["a request whose head never ends"] = [plain(text[:-2]) for _ in range(each)]
    peers["half of the connection closed"] = [opened(port) for _ in range(each)]
    for connection in peers["half of the connection closed"]:
        connection.shutdown(socket.SHUT_WR)
    peers["a socket that answers no ping"] = [opened(port) for _ in range(each)]
    peers["a frame that never ends"] = [within(head_of(1, 70_000) + b"{") for _ in range(each)]
    limits = {"half of the connection closed": 5.0, "a request whose head never ends": HEAD_WITHIN}
    begun = time.monotonic()
    took: dict[str, float] = {}
    while len(took) < len(peers):
        for name, connections in peers.items():
            connections[:] = [one for one in connections if not is_gone(one)]
            passed = time.monotonic() - begun
            if not connections:
                took.setdefault(name, passed)
            elif passed > limits.get(name, PONG_WITHIN):
                raise Wrong(f"{name}: {len(connections)} are still there after {passed:.0f} s")
        time.sleep(0.1)
    return f"{each} each of " + ", ".join(f"{name}: {s:.1f} s" for name, s in took.items())


def large(server: Watched, scale: float) -> str:
    """Messages above the limit end their socket with 1009, however they come."""
    half = b"x" * LIMIT
    kinds: dict[str, Callable[[], list[bytes]]] = {
        "whole": lambda: [head_of(1, 2 * LIMIT), half, half],
        "in parts": lambda: [head_of(1, LIMIT, False) + half, head_of(0, LIMIT) + half],
        "announced": lambda: [head_of(1, 2 * LIMIT)],
        "of 2^62 bytes": lambda: [head_of(1, 1 << 62)],
    }
    count = max(1, int(10 * scale))
    for name, pieces in kinds.items():
        connections = [opened(server.port) for _ in range(count)]
        for connection in connections:
            # The server may have ended the connection before all of it was sent.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for piece in pieces():
                    connection.sendall(piece)
        for connection in connections:
            came = list(frames(connection))
            codes = [struct.unpack(">H", payload[:2])[0] for opcode, payload in came if opcode == 8]
            told = [json.loads(payload) for opcode, payload in came if opcode == 1]
            if codes != [1009] or told[-1]["error"]["code"] != "too_big":
                raise Wrong(f"{name}: closed by {codes}, {told[-1:]}")
            connection.close()
    connection = opened(server.port)
    call = b'{"op":"ping","id":1}'
    connection.sendall(head_of(1, LIMIT) + call + b" " * (LIMIT - len(call)))
    came = frames(connection)
    next(came)
    answer = json.loads(next(came)[1])
    if answer["type"] != "ack":
        raise Wrong(f"a message of the limit: {answer}")
    connection.close()
    return f"{count} each {', '.join(kinds)}: all 1009; one of {LIMIT} bytes is answered"


@dataclasses.dataclass
class Unread:
    """A socket that calls and does not read, and when a byte of it was taken last."""

    path: str
    connection: socket.socket
    left: memoryview
    moved: float = dataclasses.field(default_factory=time.monotonic)


def unread(server: Watched, scale: float) -> str:
    """Sockets that call and never read an answer are not read from, either, and then ended."""
    _, thread = server.ask("POST", "/threads", {})
    events = f"/threads/{thread['thread_id']}/stream/events"
    # Both are refused, in more words than they have.
    calls = {"/ws": {"op": "x", "id": "x" * 64}, events: {"id": 1, "method": "x" * 500}}
    taken = dict.fromkeys(calls, 0)
    peers = []
    for path, call in calls.items():
        piece = replay.Socket.frame(1, json.dumps(call).encode()) * 500
        for _ in range(max(1, int(20 * scale))):
            connection = opened(server.port, path, small=True)
            connection.setblocking(False)
            peers.append(Unread(path, connection, memoryview(piece)))
    begun = time.monotonic()
    longest = 0.0
    while peers:
        select.select([], [peer.connection for peer in peers], [], 0.2)
        for peer in list(peers):
            waited = time.monotonic() - peer.moved
            try:
                count = peer.connection.send(peer.left)
            except BlockingIOError:
                if waited > STALLED_WITHIN:
                    raise Wrong(f"{peer.path}: still there after {waited:.0f} s") from None
                continue
            except OSError:
                longest = max(longest, waited)
                peer.connection.close()
                peers.remove(peer)
                continue
            taken[peer.path] += count
            peer.left = peer.left[count:] or memoryview(peer.left.obj)
            peer.moved = time.monotonic()
            # What the system keeps for a connection is full long before.
            if peer.moved - begun > 4 * STALLED_WITHIN:
                raise Wrong(f"{peer.path}: its calls are taken without end")
    texts = [f"{count / 1e6:.0f} MB on {path.rsplit('/', 1)[1]}" for path, count in taken.items()]
    return f"gone at most {longest:.1f} s after their last byte; taken were {', '.join(texts)}"


FAULTS = {"pings": pings, "unread": unread, "reconnects": reconnects, "silent": silent, "frames": large}


class Beside(threading.Thread):
    """Asks the server for runs, and looks at its memory, while something goes on."""

    def __init__(self, server: Watched) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.stopped = threading.Event()
        self.highest, self.longest, self.runs = 0.0, 0.0, 0
        self.fault: str | None = None

    def run(self) -> None:
        while not self.stopped.wait(0.1):
            begun = time.monotonic()
            try:
                status, _ = self.server.ask("POST", "/runs/wait", RUN)
            except (OSError, ValueError) as error:
                self.fault = f"a run beside it: {error!r}"
                return
            self.longest = max(self.longest, time.monotonic() - begun)
            self.highest = max(self.highest, self.server.memory_mb())
            self.runs += 1
            if status != 200:
                self.fault = f"a run beside it: {status}"
                return


def settled(server: Watched, sockets: int, memory: float) -> int:
    """How many sockets too many there are, once they and their memory have had some time to go."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if server.descriptors() <= sockets and server.memory_mb() <= memory + MORE_AFTER:
            break
        # Memory goes back while something is done.
        server.ask("POST", "/runs/wait", RUN)
        time.sleep(0.1)
    return server.descriptors() - sockets


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(FAULTS), default=list(FAULTS))
    parser.add_argument("--scale", type=float, default=1.0, help="how much of everything")
    asked = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.environ["GENESIS_MESH_LOG"] = "warn"
    with tempfile.TemporaryDirectory(prefix="genesis-mesh-peers-") as folder:
        server = Watched(asked.binary.resolve(), Path(folder))
        server.start()
        try:
            return test(asked, server)
        finally:
            server.stop()


def test(asked: argparse.Namespace, server: Watched) -> int:
    # What a server that has worked for a while has in memory, such as the last events of threads.
    for _ in range(200):
        server.ask("POST", "/runs/wait", RUN)
    wrong = []
    sockets = server.descriptors()
    for name in asked.only:
        before = server.memory_mb()
        beside = Beside(server)
        beside.start()
        try:
            print(f"{name}: {FAULTS[name](server, asked.scale)}")
        except (Wrong, OSError, ValueError) as error:
            wrong.append(f"{name}: {error}")
        beside.stopped.set()
        beside.join()
        more = settled(server, sockets, before)
        after = server.memory_mb()
        print(
            f"  {beside.runs} runs beside it, the longest {1000 * beside.longest:.0f} ms; memory "
            f"{before:.0f} MB before, {max(beside.highest, after):.0f} at most, {after:.0f} after; "
            f"{more:+} sockets"
        )
        if beside.fault:
            wrong.append(f"{name}: {beside.fault}")
        if more > 0:
            wrong.append(f"{name}: {more} sockets are still there")
        if after - before > MORE_AFTER or beside.highest - before > MORE_BESIDE:
            wrong.append(f"{name}: memory grew")
    if server.process.poll() is not None:
        wrong.append("the server ended")
    for text in wrong:
        print(f"WRONG: {text}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
