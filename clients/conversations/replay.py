#!/usr/bin/env python3
"""Replays conversations with the native socket against a running server.

    replay.py http://127.0.0.1:8080 [--token TOKEN --reader TOKEN] [--pid PID] [FILE ...]

Each `.txt` beside this file is one conversation: what a client sends, and what it has to get. The
server has to be one with the fixture graphs (`genesis-mesh serve --fixtures`). Needs nothing but
Python 3.10. Ends with 0 if all went as they should, else with 1.

A conversation is lines of text:

    # words                 for people
    needs: auth stop trim   what the server has to be: one that asks who is there (`--token` and
                            `--reader`, a key for everything and a key of somebody else with the
                            scope `threads:read`), one that may be stopped (`--pid`), one whose logs
                            can be trimmed (only where the server is part of the test)
    needs: rest             nothing else may go on at the server: such files come first
    = open [PROTOCOL]       opens a socket, with the credential if there is one; `json` by default,
                            else `msgpack`, `none` (no subprotocol), `stranger` (no credential) or
                            `reader`
    = cut                   drops the connection
    = close CODE REASON     the server closes it like this
    = text WORDS            sends these words as a text frame
    = big N                 sends a text frame of N bytes
    = bytes HEX             sends a binary frame
    = frame HEX             sends these bytes as they are, as part of the connection
    = http METHOD PATH JSON a request beside the socket, which has to succeed; `=> JSON` after it is
                            what it gives
    = stop, = trim          see `needs`
    > JSON                  sends a call
    >> N JSON               sends N of them in one piece, `$i` counting from 1
    < JSON                  the next frame
    << N JSON               the next N frames, each of them like this
    | JSON                  after `<`: or a frame like this
    ~ JSON                  one of the next frames: lines of `~` that follow each other come in any
                            order

In what is expected, `"$name"` stands for any value, the same one every time; `"$_"` for any. In an
object, `"...": 0` lets further members be. In what is sent, `$name` is replaced.
"""

import argparse
import base64
import http.client
import json
import os
import re
import signal
import socket
import struct
import sys
from pathlib import Path
from urllib.parse import urlsplit

PATIENCE_S = 20.0
PROTOCOLS = {"json": "genesis-mesh.v1", "msgpack": "genesis-mesh.v1.msgpack"}


class Wrong(Exception):
    """The conversation did not go as it should."""


# ---- MessagePack, as far as JSON needs it ----


def pack(value) -> bytes:
    """A value of JSON as MessagePack."""
    if value is None:
        return b"\xc0"
    if value is True:
        return b"\xc3"
    if value is False:
        return b"\xc2"
    if isinstance(value, int):
        if 0 <= value < 128:
            return bytes([value])
        return b"\xd3" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        text = value.encode()
        return b"\xdb" + struct.pack(">I", len(text)) + text
    if isinstance(value, list):
        return b"\xdd" + struct.pack(">I", len(value)) + b"".join(map(pack, value))
    members = b"".join(pack(key) + pack(member) for key, member in value.items())
    return b"\xdf" + struct.pack(">I", len(value)) + members


def unpack(data: bytes):
    """MessagePack as a value of JSON."""
    value, end = _unpack(data, 0)
    if end != len(data):
        raise Wrong("bytes after the value")
    return value


def _unpack(data: bytes, at: int):
    kind = data[at]
    at += 1

    def number(form):
        size = struct.calcsize(form)
        return struct.unpack(form, data[at : at + size])[0], at + size

    def text(length, at):
        return data[at : at + length].decode(), at + length

    def several(count, at):
        values = []
        for _ in range(count):
            value, at = _unpack(data, at)
            values.append(value)
        return values, at

    def members(count, at):
        flat, at = several(2 * count, at)
        return dict(zip(flat[::2], flat[1::2])), at

    if kind < 0x80:
        return kind, at
    if kind >= 0xE0:
        return kind - 256, at
    if 0x80 <= kind <= 0x8F:
        return members(kind & 15, at)
    if 0x90 <= kind <= 0x9F:
        return several(kind & 15, at)
    if 0xA0 <= kind <= 0xBF:
        return text(kind & 31, at)
    if kind in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[kind], at
    numbers = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"}
    numbers |= {0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
    if kind in numbers:
        return number(numbers[kind])
    lengths = {0xD9: (text, ">B"), 0xDA: (text, ">H"), 0xDB: (text, ">I"), 0xDC: (several, ">H")}
    lengths |= {0xDD: (several, ">I"), 0xDE: (members, ">H"), 0xDF: (members, ">I")}
    if kind in lengths:
        read, form = lengths[kind]
        length, at = number(form)
        return read(length, at)
    raise Wrong(f"a MessagePack byte that is not of JSON: {kind:#x}")


# ---- WebSocket ----


class Socket:
    """One connection."""

    def __init__(self, host: str, port: int, protocol: str | None, token: str | None):
        self.packs = protocol == "msgpack"
        self.connection = socket.create_connection((host, port), PATIENCE_S)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            "GET /ws HTTP/1.1",
            f"Host: {host}:{port}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
        ]
        name = PROTOCOLS.get(protocol or "")
        if name:
            lines.append(f"Sec-WebSocket-Protocol: {name}")
        if token:
            lines.append(f"Authorization: Bearer {token}")
        self.connection.sendall("\r\n".join([*lines, "", ""]).encode())
        self.waiting = b""
        while b"\r\n\r\n" not in self.waiting:
            self._more()
        head, self.waiting = self.waiting.split(b"\r\n\r\n", 1)
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise Wrong(f"no socket: {head.decode()}")
        agreed = re.search(rb"(?im)^sec-websocket-protocol: *(\S+)", head)
        if (agreed and agreed[1].decode()) != name:
            raise Wrong(f"another subprotocol than {name}: {head.decode()}")

    def _more(self) -> None:
        data = self.connection.recv(65536)
        if not data:
            raise Wrong("the connection ended without a close frame")
        self.waiting += data

    def _take(self, count: int) -> bytes:
        while len(self.waiting) < count:
            self._more()
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        return taken

    @staticmethod
    def frame(opcode: int, payload: bytes) -> bytes:
        """A frame of a client, with the mask 0."""
        length = len(payload)
        if length < 126:
            head = bytes([0x80 | opcode, 0x80 | length])
        elif length < 1 << 16:
            head = bytes([0x80 | opcode, 0x80 | 126]) + struct.pack(">H", length)
        else:
            head = bytes([0x80 | opcode, 0x80 | 127]) + struct.pack(">Q", length)
        return head + b"\0\0\0\0" + payload

    def call(self, members) -> bytes:
        """The frame of a call."""
        if self.packs:
            return self.frame(2, pack(members))
        return self.frame(1, json.dumps(members).encode())

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def next(self):
        """The next frame: a value, or the code and reason with which the server closes."""
        whole = b""
        while True:
            first, second = self._take(2)
            length = second & 127
            if length == 126:
                length = struct.unpack(">H", self._take(2))[0]
            elif length == 127:
                length = struct.unpack(">Q", self._take(8))[0]
            payload = self._take(length)
            opcode = first & 15
            if opcode == 9:
                self.send(self.frame(10, payload))
            elif opcode == 8:
                self.send(self.frame(8, payload[:2]))
                code = struct.unpack(">H", payload[:2])[0] if payload else 1005
                return (code, payload[2:].decode())
            elif opcode != 10:
                whole += payload
                if first & 0x80:
                    return unpack(whole) if self.packs else json.loads(whole)

    def drop(self) -> None:
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()


# ---- conversations ----


def matches(wanted, found, names: dict) -> bool:
    """Whether `found` is as wanted; notes what names stand for."""
    if isinstance(wanted, str) and wanted.startswith("$"):
        if wanted == "$_":
            return True
        if wanted in names:
            return names[wanted] == found
        names[wanted] = found
        return True
    if isinstance(wanted, dict):
        if not isinstance(found, dict):
            return False
        named = {names.get(key, key): value for key, value in wanted.items() if key != "..."}
        if "..." not in wanted and set(found) != set(named):
            return False
        return all(key in found and matches(value, found[key], names) for key, value in named.items())
    if isinstance(wanted, list):
        if not isinstance(found, list) or len(found) != len(wanted):
            return False
        return all(matches(one, other, names) for one, other in zip(wanted, found))
    return type(wanted) is type(found) and wanted == found


def filled(text: str, names: dict) -> str:
    """Text of JSON with names replaced by what they stand for."""

    def value(match):
        name, quoted = match[2], bool(match[1])
        if name not in names:
            return match[0]
        found = names[name]
        return json.dumps(found) if quoted or not isinstance(found, str) else found

    return re.sub(r'(")?(\$[a-z_0-9]+)(?(1)")', value, text)


class Conversation:
    """One file against one server."""

    def __init__(self, base: str, token: str | None, reader: str | None, pid: int | None):
        parts = urlsplit(base)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self.token, self.reader, self.pid = token, reader, pid
        self.names: dict = {"$token": token} if token else {}
        self.socket: Socket | None = None
        self.given = None

    def run(self, text: str) -> None:
        either: list = []
        any_order: list = []
        lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
        for number, line in [*lines, (0, "#")]:
            try:
                if not line.startswith("|") and either:
                    self.one_of(either, self.socket.next())
                    either = []
                if not line.startswith("~") and any_order:
                    self.in_any_order(any_order)
                    any_order = []
                if line.startswith(("< ", "|")):
                    either.append(json.loads(line[1:]))
                elif line.startswith("~"):
                    any_order.append(json.loads(line[1:]))
                elif not line.startswith(("#", "needs:")):
                    self.line(*line.split(" ", 1))
            except (Wrong, OSError, ValueError) as error:
                raise Wrong(f"line {number}: {line}\n  {error}") from error

    def in_any_order(self, wanted: list) -> None:
        while wanted:
            del wanted[self.one_of(wanted, self.socket.next())]

    def one_of(self, wanted: list, found) -> int:
        """Which one it is of what is wanted."""
        for index, one in enumerate(wanted):
            names = dict(self.names)
            if matches(one, found, names):
                self.names = names
                return index
        raise Wrong(f"came: {json.dumps(found)}\n  none of: {json.dumps(wanted)}")

    def line(self, mark: str, rest: str = "") -> None:
        if mark == ">":
            self.socket.send(self.socket.call(json.loads(filled(rest, self.names))))
        elif mark == ">>":
            count, call = rest.split(" ", 1)
            calls = []
            for index in range(1, int(count) + 1):
                calls.append(json.loads(filled(call, {**self.names, "$i": index})))
            self.socket.send(b"".join(map(self.socket.call, calls)))
        elif mark == "<<":
            count, wanted = rest.split(" ", 1)
            for _ in range(int(count)):
                self.one_of([json.loads(wanted)], self.socket.next())
        elif mark == "=>":
            self.one_of([json.loads(rest)], self.given)
        else:
            word, _, more = rest.partition(" ")
            self.do(word, more)

    def do(self, word: str, more: str) -> None:
        if word == "open":
            protocol = more or "json"
            token = {"stranger": None, "reader": self.reader}.get(protocol, self.token)
            protocol = "json" if protocol in ("stranger", "reader") else protocol
            self.socket = Socket(self.host, self.port, protocol, token)
        elif word == "cut":
            self.socket.drop()
        elif word == "close":
            code, _, reason = more.partition(" ")
            self.one_of([[int(code), reason]], list(self.socket.next()))
        elif word == "text":
            self.socket.send(Socket.frame(1, filled(more, self.names).encode()))
        elif word == "big":
            self.socket.send(Socket.frame(1, b"x" * int(more)))
        elif word == "bytes":
            self.socket.send(Socket.frame(2, bytes.fromhex(more)))
        elif word == "frame":
            self.socket.send(bytes.fromhex(more))
        elif word == "http":
            self.http(filled(more, self.names))
        elif word == "stop":
            os.kill(self.pid, signal.SIGTERM)
        else:
            raise Wrong("nobody knows this word")

    def http(self, request: str) -> None:
        method, path, *body = request.split(" ", 2)
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE_S)
        connection.request(method, path, body[0] if body else None, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise Wrong(f"{answer.status}: {text.decode()}")
        self.given = json.loads(text) if text else None


def main() -> int:
    parser = argparse.ArgumentParser(description="Replays conversations with the native socket.")
    parser.add_argument("base", help="address of the server, such as http://127.0.0.1:8080")
    parser.add_argument("files", nargs="*", type=Path, help="all beside this file without")
    parser.add_argument("--token", help="a credential, for a server that asks for one")
    parser.add_argument("--reader", help="a credential of somebody else, who may only read threads")
    parser.add_argument("--pid", type=int, help="process of the server, which may be stopped")
    asked = parser.parse_intermixed_args()
    has = {"auth": bool(asked.token and asked.reader), "stop": asked.pid is not None, "rest": True}
    files = asked.files or sorted(Path(__file__).parent.glob("*.txt"))
    texts = {file: file.read_text() for file in files}
    needs = {file: " ".join(re.findall(r"(?m)^needs:(.*)$", texts[file])).split() for file in files}
    # What has to be alone with the server comes first, and what stops it last.
    files.sort(key=lambda file: ("stop" in needs[file], "rest" not in needs[file]))
    failed = 0
    for file in files:
        missing = [need for need in needs[file] if not has.get(need)]
        if missing or (asked.token and "auth" not in needs[file]):
            print(f"skip  {file.name}: {', '.join(missing) or 'the server asks who is there'}")
            continue
        try:
            Conversation(asked.base, asked.token, asked.reader, asked.pid).run(texts[file])
            print(f"ok    {file.name}")
        except Wrong as wrong:
            failed += 1
            print(f"WRONG {file.name}, {wrong}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
