"""Runs the Python client of the handbook against a server that nobody configured.

The first Python block of `docs/src/getting-started.md` is run as it stands, apart from the port.
It has to print a post of at least three sections, and the same bytes when it is run again.
Then the server has to answer its two small endpoints and to stop on SIGTERM.

Usage: handbook_client.py PATH-OF-THE-BINARY
"""

import ast
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

READY_S_MAX = 20  # a debug build on a busy machine
CLIENT_S_MAX = 120
STOP_S_MAX = 20
SECTIONS_MIN = 3
OURS = re.compile(r"^(GENESIS_MESH|BLOGGER|OPENAI|SEARXNG)_")


def main(binary: str) -> None:
    page = pathlib.Path("docs/src/getting-started.md").read_text(encoding="utf-8")
    block = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    if block is None:
        sys.exit("docs/src/getting-started.md has no Python block")
    port = free_port()
    client = block[1].replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    # Nothing of the machine's own configuration may reach the server.
    env = {name: value for name, value in os.environ.items() if not OURS.match(name)}

    with tempfile.TemporaryDirectory() as folder:
        command = [os.path.abspath(binary), "--port", str(port), "--data-dir", f"{folder}/data"]
        server = subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.DEVNULL)
        try:
            wait_until_ready(server, port)
            first, second = (last_frame(client) for _ in range(2))
            post = first["compile_final_blog"]["final_blog"]
            sections = len(re.findall(r"^## ", post, re.MULTILINE))
            check(sections >= SECTIONS_MIN, f"a post of {sections} sections, expected {SECTIONS_MIN}:\n{post}")
            check(first == second, "the same topic gave two different posts")
            info = json.loads(get(port, "/info"))
            check("version" in info, f"/info names no version: {info}")
            get(port, "/ok")
            print(f"a post of {sections} sections and {len(post)} characters, twice the same")
        finally:
            stop(server)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return answer.read()


def wait_until_ready(server: subprocess.Popen, port: int) -> None:
    deadline = time.monotonic() + READY_S_MAX
    while True:
        check(server.poll() is None, f"the server ended with {server.returncode}")
        try:
            get(port, "/ok")
            return
        except (urllib.error.URLError, ConnectionError):
            check(time.monotonic() < deadline, f"/ok did not answer within {READY_S_MAX} s")
            time.sleep(0.05)


def last_frame(client: str) -> dict:
    """Runs the client and gives back the last object that it printed."""
    done = subprocess.run(
        [sys.executable, "-c", client], capture_output=True, text=True, timeout=CLIENT_S_MAX
    )
    check(done.returncode == 0, f"the client failed:\n{done.stderr}")
    frames = [ast.literal_eval(line) for line in done.stdout.splitlines()]
    check(bool(frames), "the client printed nothing")
    check("compile_final_blog" in frames[-1], f"the last frame is no post: {frames[-1]}")
    return frames[-1]


def stop(server: subprocess.Popen) -> None:
    if server.poll() is not None:
        return
    server.send_signal(signal.SIGTERM)
    try:
        code = server.wait(STOP_S_MAX)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
        sys.exit(f"the server did not stop within {STOP_S_MAX} s of SIGTERM")
    check(code == 0, f"the server ended with {code} after SIGTERM")


def check(holds: bool, message: str) -> None:
    if not holds:
        sys.exit(message)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
