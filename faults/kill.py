#!/usr/bin/env python3
"""Ends the server again and again while runs go on, and checks that nothing was lost.

    faults/kill.py target/release/genesis-mesh                  # 200 runs, 50 kills
    faults/kill.py target/debug/genesis-mesh --runs 20 --kills 5
    faults/kill.py target/release/genesis-mesh --stop           # 50 times SIGTERM instead

Runs of the fixture graph `steps` are started one after the other, each on a thread of its own; each
step appends its number to a file. Every run is followed from a cursor; when the connection breaks,
the follower waits for the server and goes on after the last frame it has read. Meanwhile the server
is killed with `kill -9` at random moments and started again on the same data directory.

Checked at the end: every run that was acknowledged has ended, with `success` unless it was begun
three times in a row and killed each time before its first step was stored (those are counted; a
longer pause between kills has none); the frames that its
follower read, over all connections, are numbered without gap and without duplicate and are the
frames of a replay from the beginning; no step that a follower had read was executed again; and
`genesis-mesh doctor` finds nothing. With `--stop` the server is told to stop with SIGTERM, as by a
new version that is put in its place: it has to end by itself with status 0 within its time for that,
every run has to succeed, and no step may be executed twice at all. Needs Python only. Exit status 1 when a check fails.
"""

import argparse
import contextlib
import http.client
import json
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

READY_WAIT = 60.0
# Its time for running work, and some seconds to say goodbye.
STOP_WAIT = 15.0
SILENCE = 30.0


class Server:
    """The server, which is somewhere between two kills."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self.binary, self.folder = binary, folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.files = folder / "files"
        self.files.mkdir()
        self.boots = 0
        self.ready_times: list[float] = []
        self.stop_times: list[float] = []
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        command = [str(self.binary), "serve", "--fixtures", "--fixtures-dir", str(self.files)]
        command += ["--port", str(self.port), "--data-dir", str(self.folder / "data")]
        with (self.folder / "server.log").open("a") as log:
            begun = time.monotonic()
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.boots += 1
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.ask("GET", "/ok")[0] == 200:
                    break
            if self.process.poll() is not None or time.monotonic() - begun > READY_WAIT:
                raise SystemExit(f"the server does not start; see {self.folder}/server.log")
            time.sleep(0.005)
        self.ready_times.append(time.monotonic() - begun)

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self.stop_times.append(time.monotonic() - begun)
        return code

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=SILENCE)

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, object]:
        connection = self.connect()
        try:
            text = None if body is None else json.dumps(body)
            headers = {"Content-Type": "application/json"} if text else {}
            connection.request(method, path, text, headers)
            answer = connection.getresponse()
            data = answer.read()
            return answer.status, json.loads(data) if data.strip() else None
        finally:
            connection.close()

    def ask_until_answered(self, method: str, path: str) -> tuple[int, object]:
        until = time.monotonic() + READY_WAIT
        while True:
            try:
                return self.ask(method, path)
            except (OSError, http.client.HTTPException):
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)


class Follower(threading.Thread):
    """Reads a run's frames to the end, over as many connections as it takes."""

    def __init__(self, server: Server, thread: str, run: str, file: str) -> None:
        super().__init__(daemon=True)
        self.server, self.thread, self.run_id, self.file = server, thread, run, file
        self.frames: list[tuple[str, str, str]] = []
        self.connections = 0
        # Step number -> boot in which its update was read.
        self.read_in: dict[int, int] = {}
        self.fault: str | None = None

    @property
    def gave_up(self) -> bool:
        """The server let go of it after three executions that stored nothing."""
        last = self.frames[-1] if self.frames else ("", "", "")
        return last[0] == "error" and "WorkerLost" in last[1]

    @property
    def path(self) -> str:
        return f"/threads/{self.thread}/runs/{self.run_id}/stream"

    def run(self) -> None:
        until = time.monotonic() + 600
        while time.monotonic() < until:
            try:
                if self.read_on():
                    return
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.02)
        self.fault = "did not end within 600 s"

    def read_on(self) -> bool:
        boot = 0
        last = self.frames[-1][2] if self.frames else "-1"
        for frame in frames(self.server, self.path, last):
            if frame is None:
                self.connections += 1
                # Only now it is sure which start of the server this is.
                boot = self.server.boots
                continue
            self.frames.append(frame)
            if frame[0] == "updates":
                for update in json.loads(frame[1]).values():
                    for number in (update or {}).get("log", []):
                        self.read_in.setdefault(number, boot)
        status, run = self.server.ask("GET", f"/threads/{self.thread}/runs/{self.run_id}")
        return status == 200 and run["status"] not in ("pending", "running")


def frames(server: Server, path: str, last: str):
    """None once connected, then `(event, data, id)` of complete frames only."""
    connection = server.connect()
    try:
        connection.request("GET", path, headers={"Last-Event-ID": last})
        answer = connection.getresponse()
        if answer.status != 200:
            raise http.client.HTTPException(f"status {answer.status}")
        yield None
        fields: dict[str, str] = {}
        while True:
            line = answer.readline()
            if not line.endswith(b"\n"):
                # The body's end, or a cut: what is incomplete was never delivered.
                return
            text = line.decode().rstrip("\r\n")
            if not text:
                if "data" in fields:
                    yield fields.get("event", ""), fields["data"], fields.get("id", "")
                fields = {}
            elif not text.startswith(":"):
                name, _, value = text.partition(": ")
                fields[name] = value
    finally:
        connection.close()


def start_runs(server: Server, options: argparse.Namespace, followers: list[Follower]) -> int:
    """Starts runs until enough were acknowledged; says how many requests got no answer."""
    unanswered = 0
    while len(followers) < options.runs:
        number = len(followers) + unanswered
        file = f"run-{number}.txt"
        given = {"n": options.steps, "delay": options.delay, "pad": 0, "file": file}
        body = {"assistant_id": "steps", "input": given, "stream_resumable": True}
        body["stream_mode"] = ["updates"]
        body["config"] = {"recursion_limit": options.steps + 10}
        try:
            status, thread = server.ask("POST", "/threads", {})
            assert status == 200, thread
            path = f"/threads/{thread['thread_id']}/runs"
            status, run = server.ask("POST", path, body)
            assert status == 200, run
        except (OSError, http.client.HTTPException):
            unanswered += 1
            time.sleep(0.01)
            continue
        follower = Follower(server, run["thread_id"], run["run_id"], file)
        follower.start()
        followers.append(follower)
        time.sleep(options.pause)
    return unanswered


def lines(file: Path) -> list[int]:
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def check(server: Server, followers: list[Follower], written: list[dict[str, int]]) -> list[str]:
    """What is wrong. `written` has the length of every file at the end of each boot."""
    wrong = []
    for follower in followers:
        name = f"run {follower.run_id}"
        if follower.fault:
            wrong.append(f"{name}: {follower.fault}")
            continue
        status, run = server.ask_until_answered(
            "GET", f"/threads/{follower.thread}/runs/{follower.run_id}"
        )
        if status != 200 or not (run["status"] == "success" or follower.gave_up):
            wrong.append(f"{name}: {status} {run}")
        ids = [frame[2] for frame in follower.frames]
        if ids != [str(number) for number in range(len(ids))]:
            wrong.append(f"{name}: frames are numbered {ids}")
        replay = [frame for frame in frames(server, follower.path, "-1") if frame is not None]
        if replay != follower.frames:
            wrong.append(f"{name}: {len(follower.frames)} frames read, {len(replay)} in the replay")
        _, state = server.ask_until_answered("GET", f"/threads/{follower.thread}/state")
        log = (state["values"] or {}).get("log", [])
        if log != list(range(len(log))) or sorted(follower.read_in) != log:
            wrong.append(f"{name}: state {log}, updates {sorted(follower.read_in)}")
        numbers = lines(server.files / follower.file)
        begin = 0
        for boot, lengths in enumerate(written, start=1):
            end = lengths.get(follower.file, 0)
            for number in numbers[begin:end]:
                if follower.read_in.get(number, boot) < boot:
                    wrong.append(f"{name}: step {number} was stored, and was executed again")
            begin = end
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("binary", type=Path, help="genesis-mesh")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--steps", type=int, default=60, help="per run")
    parser.add_argument("--delay", type=float, default=0.05, help="seconds per step")
    parser.add_argument("--pause", type=float, default=0.05, help="seconds between two runs")
    parser.add_argument(
        "--between", type=float, nargs=2, default=[0.2, 1.2], metavar=("MIN", "MAX"),
        help="seconds between two kills",
    )
    parser.add_argument("--stop", action="store_true", help="SIGTERM instead of a kill")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(1 << 32)
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="genesis-mesh-kill-") as name:
        folder = Path(name)
        server = Server(options.binary.resolve(), folder)
        server.start()
        followers: list[Follower] = []
        unanswered: list[int] = []
        starter = threading.Thread(
            target=lambda: unanswered.append(start_runs(server, options, followers)), daemon=True
        )
        starter.start()
        begun = time.monotonic()
        written: list[dict[str, int]] = []
        codes: list[int] = []
        for _ in range(options.kills):
            time.sleep(chance.uniform(*options.between))
            if options.stop:
                codes.append(server.stop())
            else:
                server.kill()
            written.append({file.name: len(lines(file)) for file in server.files.iterdir()})
            server.start()
        starter.join()
        for follower in followers:
            follower.join()
        written.append({file.name: len(lines(file)) for file in server.files.iterdir()})
        took = time.monotonic() - begun
        wrong = check(server, followers, written)
        codes.append(server.stop())
        wrong += [f"the server stopped with status {code}" for code in codes if code != 0]
        if max(server.stop_times) > STOP_WAIT:
            wrong.append(f"the server took {max(server.stop_times):.1f} s to stop")
        accepted = folder / "accepted.txt"
        accepted.write_text("".join(f"{follower.run_id}\n" for follower in followers))
        doctor = subprocess.run(
            [str(server.binary), "doctor", "--data-dir", str(folder / "data")]
            + ["--accepted", str(accepted)],
            capture_output=True, text=True, check=False,
        )
        if doctor.returncode != 0:
            wrong.append(f"doctor: {doctor.stdout}{doctor.stderr}")
    gave_up = sum(follower.gave_up for follower in followers)
    stored = sum(len(follower.read_in) for follower in followers)
    repeated = sum(written[-1].get(follower.file, 0) for follower in followers) - stored
    if options.stop and (repeated or gave_up):
        wrong.append(f"{repeated} steps were executed again, {gave_up} runs were given up")
    ends = "stops" if options.stop else "kills"
    print(
        f"seed {seed}: {len(followers)} runs of {options.steps} steps, {options.kills} {ends} in "
        f"{took:.0f} s, {sum(f.connections for f in followers)} connections, "
        f"{unanswered[0]} requests without an answer, {repeated} steps executed again that were "
        f"under way then, {gave_up} runs given up; stopped within {max(server.stop_times):.1f} s, "
        f"ready again after {max(server.ready_times) * 1000:.0f} ms at most"
    )
    for fault in wrong[:20]:
        print(f"WRONG {fault}")
    print(f"{len(wrong)} faults" if wrong else "nothing was lost")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
