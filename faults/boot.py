#!/usr/bin/env python3
"""Measures how long the server takes to be ready after a kill, with many runs in its database.

    faults/boot.py target/release/genesis-mesh                      # 100,000 runs, 5 kills
    faults/boot.py target/debug/genesis-mesh --runs 2000 --limit 5

Runs of the fixture graph `noop3` are made and executed, each on a thread of its own that is kept;
then some that are not due for an hour, and some that are being executed when the server is killed
with `kill -9`. It is started again on the same data directory: `/ok` has to answer within the
limit, and the database has to have all that was acknowledged. Needs Python only. Exit status 1 when
a check fails.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

from kill import Server

BATCH = 200


def batch(server: Server, runs: list[dict]) -> None:
    status, answer = server.ask("POST", "/runs/batch", runs)
    if status != 200 or len(answer) != len(runs):
        raise SystemExit(f"runs were refused: {status} {answer}")


def seed(server: Server, graph: str, count: int, **more: object) -> None:
    """Makes runs, a few requests at a time, each on a thread of its own."""
    sizes = [min(BATCH, count - begin) for begin in range(0, count, BATCH)]
    refused: list[BaseException] = []

    def make() -> None:
        try:
            while sizes and not refused:
                run = {"assistant_id": graph, "on_completion": "keep", **more}
                batch(server, [run] * sizes.pop())
        except BaseException as error:
            refused.append(error)

    makers = [threading.Thread(target=make) for _ in range(4)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    if refused:
        raise refused[0]


def count(server: Server, status: str) -> int:
    code, found = server.ask("POST", "/threads/count", {"status": status})
    if code != 200:
        raise SystemExit(f"threads are not counted: {code} {found}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", type=Path)
    parser.add_argument("--runs", type=int, default=100_000, help="finished runs")
    parser.add_argument("--waiting", type=int, default=1000, help="runs that are not due")
    parser.add_argument("--running", type=int, default=50, help="runs that the kill meets")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--limit", type=float, default=1.0, help="seconds until it is ready")
    arguments = parser.parse_args()
    # They are asked for faster than they are executed, all by one caller.
    os.environ["GENESIS_MESH_PENDING_RUNS_MAX"] = "1000000"
    with tempfile.TemporaryDirectory(prefix="genesis-mesh-boot-") as folder:
        server = Server(arguments.binary.resolve(), Path(folder))
        server.start()
        begun = time.monotonic()
        seed(server, "noop3", arguments.runs, input={"log": []})
        while count(server, "busy") > 0:
            time.sleep(0.5)
        took = time.monotonic() - begun
        seed(server, "noop3", arguments.waiting, input={"log": []}, after_seconds=3600)
        long = {"n": 1000, "delay": 1}
        seed(server, "steps", arguments.running, input=long)
        expected = arguments.waiting + arguments.running
        times = []
        for _ in range(arguments.kills):
            time.sleep(2)
            server.kill()
            server.start()
            times.append(server.ready_times[-1])
        size = sum(file.stat().st_size for file in (Path(folder) / "data").rglob("*.db"))
        busy, idle = count(server, "busy"), count(server, "idle")
        server.stop()
    print(f"seeded in {took:.1f} s; the database has {size / 1e6:.0f} MB")
    print(f"ready after kill: {', '.join(f'{seconds:.3f}' for seconds in times)} s")
    faults = []
    if max(times) > arguments.limit:
        faults.append(f"not ready within {arguments.limit} s")
    if (idle, busy) != (arguments.runs, expected):
        faults.append(f"{idle} threads are idle and {busy} busy, not {arguments.runs} and {expected}")
    for fault in faults:
        print(f"FAULT: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
