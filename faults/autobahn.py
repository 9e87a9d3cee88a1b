#!/usr/bin/env python3
"""Holds the server's WebSocket protocol against the Autobahn|Testsuite.

    faults/autobahn.py                        # builds, then all cases
    faults/autobahn.py --binary PATH          # a binary that is there already
    faults/autobahn.py --cases '6.*' '7.*'

The suite needs Python 2.7, found as `python2.7` or given with --python2, and comes from PyPI into a
virtual environment below `target/`. It talks to the echo that `serve --fixtures` has at
`/internal/echo`. Cases 1 to 7 and 10 have to pass strictly, 9 is about large messages, and 12 and 13
are about compression, which this server does not offer. Exit code 1 when a case does not pass.
"""

import argparse
import collections
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
VENV = TARGET / "autobahn"
SUITE = "autobahntestsuite==25.10.1"
# The last that make environments for Python 2.7.
VIRTUALENV = "virtualenv==20.15.1"
CASES = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*", "12.*", "13.*"]
GOOD = {"OK", "INFORMATIONAL"}
READY_WAIT = 60.0


def prepare(python2: str) -> None:
    note = VENV / "installed.txt"
    if note.exists() and note.read_text() == SUITE:
        return
    shutil.rmtree(VENV, ignore_errors=True)
    tools = VENV / "tools"
    pip = [python2, "-m", "pip", "install", "--quiet", "--target", str(tools), VIRTUALENV]
    subprocess.run(pip, check=True)
    environment = {**os.environ, "PYTHONPATH": str(tools)}
    make = [python2, "-m", "virtualenv", "--quiet", str(VENV / "venv")]
    subprocess.run(make, check=True, env=environment)
    subprocess.run([str(VENV / "venv/bin/pip"), "install", "--quiet", SUITE], check=True)
    note.write_text(SUITE)


@contextlib.contextmanager
def serving(binary: Path, folder: str):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(binary), "serve", "--fixtures", "--port", str(port), "--data-dir", folder]
    with (Path(folder) / "server.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until = time.monotonic() + READY_WAIT
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ok", timeout=1).read()
                break
            if server.poll() is not None or time.monotonic() > until:
                raise SystemExit("the server does not answer")
            time.sleep(0.05)
        yield f"ws://127.0.0.1:{port}/internal/echo"
        if server.poll() is not None:
            raise SystemExit("the server did not survive")
    finally:
        server.terminate()
        server.wait(30)


def run(url: str, cases: list[str], folder: str) -> dict[str, str]:
    reports = Path(folder) / "reports"
    wanted = {
        "outdir": str(reports),
        "servers": [{"agent": "mesh", "url": url, "options": {"version": 18}}],
        "cases": cases,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    spec = Path(folder) / "fuzzingclient.json"
    spec.write_text(json.dumps(wanted))
    command = [str(VENV / "venv/bin/wstest"), "-m", "fuzzingclient", "-s", str(spec)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)
    index = json.loads((reports / "index.json").read_text())["mesh"]
    found = {}
    for case, result in index.items():
        # The worse of how it behaved and how it closed.
        worst = [result[kind] for kind in ("behavior", "behaviorClose") if result[kind] not in GOOD]
        found[case] = worst[0] if worst else result["behavior"]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--binary", type=Path, help="the server; built without this")
    parser.add_argument("--python2", default=shutil.which("python2.7"), help="a Python 2.7")
    parser.add_argument("--cases", nargs="+", default=CASES)
    options = parser.parse_args()
    if not options.python2:
        raise SystemExit("no Python 2.7: give one with --python2")
    if options.binary is None:
        subprocess.run(["cargo", "build", "--release", "-p", "genesis-mesh"], cwd=ROOT, check=True)
        options.binary = TARGET / "release" / "genesis-mesh"
    prepare(options.python2)
    with tempfile.TemporaryDirectory() as folder, serving(options.binary, folder) as url:
        found = run(url, options.cases, folder)
    groups: dict[int, collections.Counter] = collections.defaultdict(collections.Counter)
    for case, verdict in found.items():
        groups[int(case.split(".")[0])][verdict] += 1
    for group, verdicts in sorted(groups.items()):
        print(f"{group:3}  " + ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()))
    # What is not offered is not used, and the suite says so.
    bad = [case for case, verdict in found.items() if verdict not in GOOD | {"UNIMPLEMENTED"}]
    for case in bad:
        print(f"{case}: {found[case]}")
    print(f"{len(found)} cases, {len(bad)} that do not pass")
    return 1 if bad or not found else 0


if __name__ == "__main__":
    sys.exit(main())
