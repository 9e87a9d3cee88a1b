#!/usr/bin/env python3
"""Cuts native sockets again and again while runs go on, and checks that nothing was lost.

    faults/cuts.py target/release/genesis-mesh                      # 5,000 cuts, 20 kills
    faults/cuts.py target/debug/genesis-mesh --cuts 500 --kills 2

Each reader follows a thread of its own through a proxy that resets connections after a random
number of bytes and holds some bytes back for a while. Runs of the fixture graph `tokens200` are
made on the threads meanwhile, and the server is killed with `kill -9` and started again on the same
data directory. A reader that was cut off subscribes again behind the last number that it has.

Checked at the end: what every reader read, over all its connections, is the log of its thread, as
one more connection reads it from the beginning; its numbers are 1, 2, 3 and so on; and
`genesis-mesh doctor` finds nothing. Needs Python only. Exit status 1 when a check fails.
"""

import argparse
import contextlib
import http.client
import importlib.util
import random
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from kill import Server

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("replay", HERE.parent / "clients/conversations/replay.py")
replay = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(replay)

#: What ends a connection on the reader's side.
BROKEN = (OSError, replay.Wrong, struct.error, ValueError)


class Proxy:
    """Passes bytes on between readers and the server, and resets connections."""

    def __init__(self, target: int, chance: random.Random) -> None:
        self.target, self.chance = target, chance
        self.is_calm = False
        self.resets = 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.carry, args=(client,), daemon=True).start()

    def carry(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self.target), 5)
        except OSError:
            self.reset(client)
            return
        left = 10**12 if self.is_calm else int(self.chance.expovariate(1 / 20_000)) + 1
        threading.Thread(target=self.pump, args=(client, server, 10**12), daemon=True).start()
        self.pump(server, client, left)

    def pump(self, source: socket.socket, sink: socket.socket, left: int) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(min(65536, left)):
                if self.chance.random() < 0.01:
                    time.sleep(self.chance.random() * 0.02)
                sink.sendall(data)
                left -= len(data)
                if left <= 0:
                    self.resets += 1
                    break
        self.reset(source)
        self.reset(sink)

    @staticmethod
    def reset(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()


class Reader(threading.Thread):
    """Follows one thread over as many connections as it takes."""

    def __init__(self, server: Server, proxy: Proxy, chance: random.Random) -> None:
        super().__init__(daemon=True)
        self.server, self.proxy, self.chance = server, proxy, chance
        self.thread_id = server.ask_until_answered_with("POST", "/threads", {})["thread_id"]
        self.events: list[dict] = []
        self.log: str | None = None
        self.cuts = 0
        self.until: int | None = None
        self.fault: str | None = None

    @property
    def last(self) -> int:
        return self.events[-1]["seq"] if self.events else 0

    def run(self) -> None:
        while self.fault is None and (self.until is None or self.last < self.until):
            try:
                self.read_on(self.proxy.port)
            except BROKEN:
                self.cuts += 1
                time.sleep(self.chance.random() * 0.01)

    def read_on(self, port: int) -> None:
        ws = replay.Socket("127.0.0.1", port, "json", None)
        try:
            # A reader notices after a while that it has all that there is.
            ws.connection.settimeout(1.0)
            call = {"op": "subscribe", "id": 1, "thread_id": self.thread_id, "after": self.last}
            ws.send(ws.call({**call, **({"log": self.log} if self.log else {})}))
            # Some leave by themselves.
            left = self.chance.randrange(1, 400)
            while left > 0 and (self.until is None or self.last < self.until):
                frame = ws.next()
                if isinstance(frame, tuple):
                    raise OSError("closed")
                if frame["type"] == "ack":
                    self.log = frame["result"]["log"]
                elif frame["type"] == "event":
                    if frame["seq"] != self.last + 1:
                        self.fault = f"event {frame['seq']} after {self.last}"
                        return
                    self.events.append(frame)
                    left -= 1
                elif frame["type"] not in ("hello", "goaway"):
                    self.fault = f"came: {frame}"
                    return
        finally:
            ws.drop()
        if self.until is None:
            self.cuts += 1


class Killed(Server):
    """The server, asked until it answers."""

    def ask_until_answered_with(self, method: str, path: str, body: object) -> object:
        until = time.monotonic() + 60
        while True:
            try:
                status, answer = self.ask(method, path, body)
                if status == 200:
                    return answer
            except (OSError, http.client.HTTPException, ValueError):
                pass
            if time.monotonic() > until:
                raise SystemExit(f"{method} {path}: no answer")
            time.sleep(0.02)


def log_of(port: int, thread_id: str, until: int) -> list[dict]:
    """The log of a thread, read by one connection."""
    ws = replay.Socket("127.0.0.1", port, "json", None)
    ws.send(ws.call({"op": "subscribe", "id": 1, "thread_id": thread_id, "after": 0}))
    events: list[dict] = []
    while not events or events[-1]["seq"] < until:
        frame = ws.next()
        if frame["type"] == "event":
            events.append(frame)
    ws.drop()
    return events


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", type=Path)
    parser.add_argument("--cuts", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--readers", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="genesis-mesh-cuts-") as folder:
        return test(asked, Path(folder))


def test(asked: argparse.Namespace, folder: Path) -> int:
    server = Killed(asked.binary.resolve(), folder)
    server.start()
    proxy = Proxy(server.port, random.Random(asked.seed))
    readers = [Reader(server, proxy, random.Random(asked.seed + n)) for n in range(asked.readers)]
    for reader in readers:
        reader.start()
    begun, kills = time.monotonic(), 0
    runs: dict[str, list[str]] = {reader.thread_id: [] for reader in readers}

    def cuts() -> int:
        return sum(reader.cuts for reader in readers)

    while cuts() < asked.cuts and not any(reader.fault for reader in readers):
        for reader in readers:
            body = {
                "assistant_id": "tokens200",
                "input": {"messages": [], "n": 400, "interval_us": 1000},
                "stream_mode": ["updates", "messages-tuple", "tasks"],
            }
            path = f"/threads/{reader.thread_id}/runs"
            with contextlib.suppress(OSError, http.client.HTTPException):
                status, run = server.ask("POST", path, body)
                if status == 200:
                    runs[reader.thread_id].append(run["run_id"])
        time.sleep(0.5)
        if kills < asked.kills and cuts() * asked.kills >= kills * asked.cuts:
            server.kill()
            server.start()
            kills += 1
    # Every run ends, and the readers read up to there.
    for thread_id, made in runs.items():
        for run_id in made:
            while server.ask_until_answered("GET", f"/threads/{thread_id}/runs/{run_id}")[1][
                "status"
            ] in ("pending", "running"):
                time.sleep(0.05)
    proxy.is_calm = True
    faults = []
    for reader in readers:
        ws = replay.Socket("127.0.0.1", server.port, "json", None)
        ws.send(ws.call({"op": "subscribe", "id": 1, "thread_id": reader.thread_id}))
        ws.next()
        reader.until = ws.next()["result"]["last"]
        ws.drop()
        reader.join(60)
        if reader.fault:
            faults.append(reader.fault)
            continue
        log = log_of(server.port, reader.thread_id, reader.until)
        if [event["seq"] for event in log] != list(range(1, len(log) + 1)):
            faults.append(f"{reader.thread_id}: the log has gaps")
        if log != reader.events:
            faults.append(f"{reader.thread_id}: read {len(reader.events)} of {len(log)} events")
    events = sum(len(reader.events) for reader in readers)
    took = time.monotonic() - begun
    print(
        f"{cuts()} cuts ({proxy.resets} of them by the proxy) and {kills} kills while "
        f"{sum(map(len, runs.values()))} runs told {events} events; {took:.0f} s"
    )
    server.stop()
    doctor = [str(server.binary), "doctor", "--data-dir", str(folder / "data")]
    found = subprocess.run(doctor, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        faults.append(found.stdout + found.stderr)
    for fault in faults:
        print(f"WRONG: {fault}")
    if not faults:
        print("what was read is the log")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
