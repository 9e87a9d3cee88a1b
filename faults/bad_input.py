#!/usr/bin/env python3
"""Asks the server for what nobody should ask for, and checks that each answer is a documented one.

    faults/bad_input.py target/release/genesis-mesh
    faults/bad_input.py target/debug/genesis-mesh --only store

Every request goes over a socket of its own, byte by byte as it is written here, because a client's
library would repair or refuse most of them. Each names the statuses it may be answered with. An
answer of 400 or more has to be the error of `/openapi.json`: `detail`, `code` and `request_id`, and
a `pointer` that is one. Besides, the server has to be as before in the end: nothing panicked, it
answers, a thread that was made before is still there, and its memory has not grown by more than
`MEMORY_GROWTH_MAX`. Needs Python only. Exit status 1 when a check fails.
"""

import argparse
import contextlib
import dataclasses
import gzip
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

READY_WAIT = 60.0
ANSWER_WAIT = 20.0
# What the allocator keeps after bodies of 25 MB; a leak of one of them per request is far more.
MEMORY_GROWTH_MAX = 256 << 20
BODY_MAX = 25 << 20
ABSENT = "6f2c1d1e-0000-4000-8000-000000000000"
POINTER = re.compile(r"(/([^~/]|~0|~1)*)*")

OK, REFUSED = {200, 204}, {400, 404, 405, 409, 413, 415, 422, 431}
EITHER = OK | REFUSED


@dataclasses.dataclass
class Case:
    """A request, and the statuses that it may be answered with."""

    group: str
    name: str
    method: str
    path: str
    statuses: set[int]
    body: bytes | None = None
    headers: tuple[str, ...] = ("Content-Type: application/json",)
    pointer: str | None = None

    def bytes(self) -> bytes:
        head = [f"{self.method} {self.path} HTTP/1.1", "Host: localhost", "Connection: close"]
        if self.body is not None:
            head += [*self.headers, f"Content-Length: {len(self.body)}"]
        elif self.headers != ("Content-Type: application/json",):
            head += self.headers
        return "\r\n".join([*head, "", ""]).encode("utf-8", "surrogatepass") + (self.body or b"")


@dataclasses.dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool


def ask(port: int, request: bytes) -> Answer:
    """Sends bytes and reads to the end; a stream that stays open is read until its head is there."""
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_WAIT) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request)
        answer, whole = b"", False
        while True:
            try:
                chunk = connection.recv(1 << 16)
            except ConnectionResetError:
                break
            if not chunk:
                whole = True
                break
            answer += chunk
            head, end, _ = answer.partition(b"\r\n\r\n")
            if end and b"text/event-stream" in head.lower() and b"200 OK" in head:
                # Endless for a thread, and long for a run.
                break
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    status = int(first.split(" ")[1]) if first.startswith("HTTP/1.1 ") else 0
    if headers.get("transfer-encoding") == "chunked":
        body = unchunked(body)
    return Answer(status, headers, body, whole)


def unchunked(body: bytes) -> bytes:
    """The body that came in chunks, as far as it came."""
    whole = b""
    while body:
        length, _, rest = body.partition(b"\r\n")
        count = int(length or b"0", 16)
        whole, body = whole + rest[:count], rest[count + 2 :]
    return whole


def dumps(value: object) -> bytes:
    return json.dumps(value).encode()


def nested(levels: int) -> bytes:
    """Metadata that makes a body of so many levels; the body itself is the first."""
    return b'{"metadata":' + b'{"a":' * (levels - 1) + b"1" + b"}" * levels


def bodies() -> list[Case]:
    """Bodies that are no JSON, not of UTF-8, too deep, too long or of another type."""
    cases = []
    add = cases.append
    nul, half = b'{"metadata":{"a":"\\u0000"}}', b'{"metadata":{"a":"\\ud800"}}'
    for path in (
        "/threads", "/threads/search", "/threads/count", "/assistants/search", "/assistants/count",
        "/assistants", "/runs/wait", "/runs/stream", "/runs", "/runs/crons", "/runs/crons/search",
        f"/threads/{ABSENT}/state", f"/threads/{ABSENT}/history", f"/threads/{ABSENT}/runs",
        f"/threads/{ABSENT}/runs/wait", f"/threads/{ABSENT}/state/checkpoint", "/store/namespaces",
        "/store/items/search", "/runs/cancel", "/threads/prune",
        f"/assistants/{ABSENT}/versions", f"/assistants/{ABSENT}/latest", "/runs/batch",
    ):
        for name, body in [
            ("NUL in a string", nul), ("half a pair", half), ("half a pair, low", b'{"a":"\\udc00"}'),
            ("NUL in a key", b'{"a\\u0000":1}'), ("no JSON", b"{"), ("nothing", b""),
            ("not UTF-8", b'{"metadata":{"a":"\xff\xfe"}}'), ("a surrogate in UTF-8", b'{"a":"\xed\xa0\x80"}'),
            ("two values", b"{} {}"), ("101 levels", nested(101)), ("200 levels", nested(200)),
            ("100,000 levels", b"[" * 100_000), ("a number", b"7"), ("text", b'"a"'), ("NaN", b"NaN"),
            ("a raw NUL", b'{"a":"\x00"}'), ("byte order mark", b"\xef\xbb\xbf{}"),
            ("a number of 400 digits", b"9" * 400), ("1e999", b"1e999"),
        ]:
            add(Case("bodies", f"{name} at {path}", "POST", path, {422}, body))
        add(Case("bodies", f"null at {path}", "POST", path, EITHER, b"null"))
        add(Case("bodies", f"a list at {path}", "POST", path, EITHER, b"[]"))
        add(Case("bodies", f"a list of lists at {path}", "POST", path, {422}, b"[[]]"))
    for path in ("/threads", "/threads/search", "/assistants/search", "/threads/count"):
        for levels, statuses in [(99, {200}), (100, {200}), (101, {422})]:
            add(Case("bodies", f"{levels} levels at {path}", "POST", path, statuses, nested(levels)))
    for kind in ("text/html", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a",
                 "application/octet-stream", "application/jsonx", "a/b/c", "\"", "json", ""):
        head = (f"Content-Type: {kind}",)
        add(Case("bodies", f"type {kind!r}", "POST", "/threads", {415}, b"{}", head))
        add(Case("bodies", f"type {kind!r}", "PUT", "/store/items", {415}, b"{}", head))
    add(Case("bodies", "no type", "POST", "/threads", {415}, b"{}", ()))
    for kind in ("application/json; charset=utf-8", "APPLICATION/JSON", "application/merge-patch+json"):
        add(Case("bodies", f"type {kind!r}", "POST", "/threads", {200}, b"{}", (f"Content-Type: {kind}",)))
    for coding in ("gzip", "deflate", "br", "identity, gzip", "nothing"):
        head = ("Content-Type: application/json", f"Content-Encoding: {coding}")
        add(Case("bodies", f"coding {coding}", "POST", "/threads", {415}, gzip.compress(b"{}"), head))
    bomb = gzip.compress(b" " * (200 << 20))
    head = ("Content-Type: application/json", "Content-Encoding: gzip")
    add(Case("bodies", "200 MB packed", "POST", "/threads", {415}, bomb, head))
    long = b'{"metadata":{"a":"' + b"x" * BODY_MAX + b'"}}'
    add(Case("bodies", "a body over the limit", "POST", "/threads", {413}, long))
    add(Case("bodies", "a body over the limit", "PUT", "/store/items", {413}, long))
    for length in ("-1", "abc", str(2**64), str(2**63), "1, 2", "+2"):
        head = f"POST /threads HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
        add(Raw("bodies", f"length {length}", f"{head}Content-Length: {length}\r\n\r\n{{}}".encode(), {400, 413, 0}))
    chunked = (b"POST /threads HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
               b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    add(Raw("bodies", "chunks over the limit", chunked + (b"100000\r\n" + b" " * (1 << 20) + b"\r\n") * 26 + b"0\r\n\r\n", {413}))
    add(Raw("bodies", "a chunk of no length", chunked + b"zz\r\n{}\r\n0\r\n\r\n", {400, 422}))
    add(Raw("bodies", "both lengths", chunked[:-2] + b"Content-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n", {200, 400}))
    return cases


@dataclasses.dataclass
class Raw:
    """Bytes that are no request of HTTP, perhaps."""

    group: str
    name: str
    raw: bytes
    statuses: set[int]
    pointer: None = None

    def bytes(self) -> bytes:
        return self.raw


def paths() -> list[Case]:
    """Ids that are none, and addresses that lead elsewhere."""
    cases = []
    bad = ["..%2f..%2fetc%2fpasswd", "%2e%2e", "%2e%2e%2f%2e%2e", "..%5c..", "%00", "a%00b", "%ff%fe",
           "%ed%a0%80", "'%20OR%20'1'='1", "1;DROP%20TABLE%20threads", "a" * 5_000, "%F0%9F%92%A5", "%",
           "%zz", "null", "undefined", "-1", "0", "{thread_id}", ABSENT + "0", ABSENT[:-1], "*",
           "%20" + ABSENT, ABSENT + "%00", "__proto__", "%0d%0aX-A:%20b"]
    for text in bad:
        for method, path in [
            ("GET", "/threads/{}"), ("PATCH", "/threads/{}"), ("DELETE", "/threads/{}"),
            ("POST", "/threads/{}/copy"), ("GET", "/threads/{}/state"), ("POST", "/threads/{}/state"),
            ("GET", "/threads/{}/history"), ("POST", "/threads/{}/history"), ("GET", "/threads/{}/runs"),
            ("POST", "/threads/{}/runs"), ("POST", "/threads/{}/runs/wait"),
            ("POST", "/threads/{}/runs/stream"), ("GET", "/threads/{}/stream"),
            ("GET", "/threads/{}/storage"), ("GET", f"/threads/{ABSENT}/runs/{{}}"),
            ("DELETE", f"/threads/{ABSENT}/runs/{{}}"), ("GET", f"/threads/{ABSENT}/runs/{{}}/join"),
            ("POST", f"/threads/{ABSENT}/runs/{{}}/cancel"), ("GET", f"/threads/{ABSENT}/state/{{}}"),
            ("GET", "/assistants/{}"), ("PATCH", "/assistants/{}"), ("DELETE", "/assistants/{}"),
            ("GET", "/assistants/{}/graph"), ("GET", "/assistants/{}/schemas"),
            ("GET", "/assistants/{}/subgraphs"), ("GET", "/assistants/echo/subgraphs/{}"),
            ("POST", "/assistants/{}/versions"), ("POST", "/assistants/{}/latest"),
            ("GET", "/runs/crons/{}"), ("PATCH", "/runs/crons/{}"), ("DELETE", "/runs/crons/{}"),
            ("POST", "/threads/{}/runs/crons"), ("GET", "/ws/{}"), ("GET", "/{}"),
        ]:
            body = b"{}" if method in ("POST", "PATCH", "PUT") else None
            statuses = {400, 404, 405, 422} if path != "/assistants/echo/subgraphs/{}" else EITHER
            cases.append(Case("paths", f"{method} {path} with {text[:40]!r}", method, path.format(text), statuses, body))
        for path in ("/runs/{}/stream", f"/threads/{ABSENT}/runs/{{}}/stream"):
            cases.append(Case("paths", f"{path} with {text[:40]!r}", "GET", path.format(text), {200, 400, 404, 422}))
    for path in ("/threads/../threads", "/threads/%2e%2e/info", "//threads", "/threads/", "/THREADS/search",
                 "/%74hreads/search", "/.", "/..", "/../../etc/passwd", "/docs/../../etc/passwd", "/?%00", "/ok/", "/ok;a"):
        # The root leads to the Studio.
        root = {307} if path.startswith("/?") else set()
        cases.append(Case("paths", path, "GET", path, {200, 400, 404, 405, 422} | root))
    cases.append(Raw("paths", "an address of 100,000 letters", b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", {414, 431}))
    cases.append(Raw("paths", "an address of raw bytes", b"GET /threads/\xff\xfe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", {400, 404, 422}))
    cases.append(Raw("paths", "an address with NUL", b"GET /threads/\x00 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", {400}))
    return cases


INJECTIONS = ["' OR '1'='1", "a' OR 1=1 --", "a\"; DROP TABLE threads; --", "$.a", "a.b.c", "a[0]", "$", "",
              "a\\", "json_extract(value, '$')", "%' --", "a' UNION SELECT key FROM api_keys --", "💥" * 50,
              "\\'", "x" * 10_000, "a/b", "~", "*", "__proto__"]
OPERATORS = ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$where", "$or", "$regex", "$expr", "OR 1=1", "$", "$$eq"]


def searches(thread: str) -> list[Case]:
    """Filters made for SQL injection, and windows that are none."""
    cases = []
    add = cases.append
    doors = {"/threads/search": ("metadata", "values"), "/threads/count": ("metadata", "values"),
             "/assistants/search": ("metadata",), "/assistants/count": ("metadata",),
             "/runs/crons/search": ("metadata",), "/runs/crons/count": ("metadata",)}
    values = [1, None, True, [], {}, [[]], "' OR 1=1", 1e308, -1, 2**63, 2**64, -(2**63) - 1, 0.1, {"$gt": {"$gt": 1}}]
    for path, members in doors.items():
        for member in members:
            for key in INJECTIONS:
                for value in values:
                    add(Case("search", f"{member} {key[:30]!r} {value!r:.30} at {path}", "POST", path, {200, 422}, dumps({member: {key: value}})))
            for value in (1, "a", [], None, True, [{}]):
                add(Case("search", f"{member} {value!r} at {path}", "POST", path, {200, 422}, dumps({member: value})))
        for member in ("sort_by", "sort_order", "status", "select", "limit", "offset", "ids", "graph_id", "name", "assistant_id", "thread_id", "extract"):
            for value in INJECTIONS[:14] + values + [["metadata; DROP"], ["thread_id", "nothing"], {"a": "values' OR 1"}, {"a": "values.x[999999999999999999999]"}, {"' OR": "values.a"}]:
                add(Case("search", f"{member} {value!r:.30} at {path}", "POST", path, {200, 404, 422}, dumps({member: value})))
    for key in INJECTIONS:
        for operator in OPERATORS:
            for value in values:
                add(Case("store", f"filter {key[:30]!r} {operator} {value!r:.30}", "POST", "/store/items/search", {200, 400, 422}, dumps({"namespace_prefix": ["a"], "filter": {key: {operator: value}}})))
        for value in values:
            add(Case("store", f"filter {key[:30]!r} {value!r:.30}", "POST", "/store/items/search", {200, 400, 422}, dumps({"namespace_prefix": [], "filter": {key: value}})))
        add(Case("store", f"prefix {key[:30]!r}", "POST", "/store/items/search", {200, 400, 422}, dumps({"namespace_prefix": [key, "b"]})))
        add(Case("store", f"namespace {key[:30]!r}", "PUT", "/store/items", {204, 400, 422}, dumps({"namespace": [key], "key": key, "value": {key: key}})))
        add(Case("store", f"remove {key[:30]!r}", "DELETE", "/store/items", {204, 400, 422}, dumps({"namespace": [key], "key": key})))
        for member in ("prefix", "suffix", "max_depth", "limit", "offset"):
            for value in ([key], key, [[key]], -1, 1.5, 2**70, None, ["*", key]):
                add(Case("store", f"namespaces {member} {value!r:.30}", "POST", "/store/namespaces", {200, 400, 422}, dumps({member: value})))
    for namespace in ("", ".", "..", "a.", ".a", "%00", "a%00", "%ff", "*", "a" * 5000, "[]", "a,b", ".".join("a" * 500)):
        for key in ("", "%00", "%ff", "a" * 5000, "'", "../a"):
            add(Case("store", f"get {namespace[:20]!r} {key[:20]!r}", "GET", f"/store/items?namespace={namespace}&key={key}", {200, 400, 404, 422}))
    add(Case("store", "get without anything", "GET", "/store/items", {400, 422}))
    for value in (b"null", b"1", b'"a"', b"[]", b"1e400", b'{"a":1e400}', b'{"a":' + b"9" * 400 + b"}"):
        add(Case("store", f"value {value[:20]!r}", "PUT", "/store/items", {204, 400, 422}, b'{"namespace":["n"],"key":"k","value":' + value + b"}"))
    for ttl in (-1, 0, 1e308, 1e-9, "a", 2**70, True, None):
        add(Case("store", f"ttl {ttl!r}", "PUT", "/store/items", {204, 400, 422}, dumps({"namespace": ["n"], "key": "k", "value": {}, "ttl": ttl})))
    numbers = [b"-1", b"0", b"1.5", b"1e3", b"1e400", b"4294967296", b"9223372036854775808", b"18446744073709551616", b'"5"', b"true", b"null", b"[]", b"1001", b"4294967295", b"-0", b"10.0"]
    for number in numbers:
        for member in (b"limit", b"offset"):
            for path in [*(path for path in doors if path.endswith("search")), "/store/items/search", "/store/namespaces", f"/threads/{thread}/history", "/assistants/echo/versions"]:
                rest = b',"namespace_prefix":[]' if path == "/store/items/search" else b""
                add(Case("windows", f"{member.decode()} {number.decode()} at {path}", "POST", path, {200, 400, 404, 422}, b'{"' + member + b'":' + number + rest + b"}"))
    for number in ("-1", "0", "1.5", "1e3", "abc", str(2**32), str(2**63), str(2**64), "", "%00", "1%002", "NaN", "1,2", "1&limit=2", "%EF%BC%95", "+5", " 5", "0x10"):
        for path in (f"/threads/{thread}/history?limit=", f"/threads/{thread}/runs?limit=", f"/threads/{thread}/runs?offset=", f"/threads/{thread}/history?before=", f"/threads/{thread}/runs?status=",
                     f"/threads/{thread}/state?subgraphs=", "/assistants/echo/graph?xray=", "/assistants/echo/subgraphs?recurse=", f"/threads/{thread}?include=", "/metrics?format=", "/ok?check_db="):
            add(Case("windows", path + number, "GET", path + number.replace(" ", "%20"), {200, 400, 404, 422}))
    words = ["nothing", "values,nothing", "%5B%22values%22%5D", "%5B%22nothing%22%5D", "%5B1%5D", "%5B", "%00", "%ff", "", ",", "%5B%5D", "values&stream_mode=nothing", "VALUES", "%5B%5B%22values%22%5D%5D", "messages-tuple", "a" * 5000]
    for word in words:
        for path in (f"/threads/{thread}/runs?select=", f"/threads/{thread}/runs/{ABSENT}/stream?stream_mode=", f"/runs/{ABSENT}/stream?stream_mode=", f"/threads/{thread}/stream?stream_modes=", "/ws/echo?stream_mode="):
            add(Case("words", path[:60] + word[:30], "GET", path + word, {200, 400, 404, 422, 426}))
    for mode in ("nothing", ["nothing"], ["values", "nothing"], [], 1, [1], None, {}, [["values"]], "", ["values"] * 1000, "'; --"):
        add(Case("words", f"stream_mode {mode!r:.30}", "POST", "/runs/wait", {200, 422}, dumps({"assistant_id": "noop3", "input": {}, "stream_mode": mode})))
        add(Case("words", f"stream_mode {mode!r:.30}", "POST", "/runs/stream", {200, 422}, dumps({"assistant_id": "noop3", "input": {}, "stream_mode": mode})))
        for member in ("select",):
            for path in doors:
                add(Case("words", f"{member} {mode!r:.30} at {path}", "POST", path, {200, 422}, dumps({member: mode})))
    return cases


def runs(thread: str) -> list[Case]:
    """Runs that cannot be made, and cursors that are none."""
    cases = []
    add = cases.append
    odd = [None, 1, -1, 1.5, True, "", "a", "' OR 1=1 --", [], {}, [[]], {"a": {}}, 2**70, "x" * 10_000, ABSENT, ["*"], [None]]
    for member in ("assistant_id", "input", "command", "config", "context", "metadata", "checkpoint", "checkpoint_id", "multitask_strategy", "interrupt_before", "interrupt_after", "webhook",
                   "on_completion", "on_disconnect", "after_seconds", "if_not_exists", "durability", "stream_subgraphs", "stream_resumable", "feedback_keys", "langsmith_tracer", "nothing"):
        for value in odd:
            body = dumps({"assistant_id": "noop3", "input": {}, member: value})
            for path in ("/runs/wait", "/runs/stream", f"/threads/{ABSENT}/runs/wait", f"/threads/{thread}/runs/wait", f"/threads/{thread}/runs"):
                # Graphs may fail over their input, which is told in the body of an answer 200.
                add(Case("runs", f"{member} {value!r:.30} at {path}", "POST", path, {200, 400, 404, 409, 422}, body))
            body = dumps({"assistant_id": "noop3", "input": {}, "schedule": "0 0 1 1 *", member: value})
            add(Case("runs", f"cron with {member} {value!r:.30}", "POST", "/runs/crons", {200, 400, 404, 422}, body))
    for config in ({"recursion_limit": -1}, {"recursion_limit": 0}, {"recursion_limit": 2**63}, {"recursion_limit": 1.5}, {"recursion_limit": "a"}, {"configurable": 1}, {"configurable": {"thread_id": "../"}},
                   {"configurable": {"checkpoint_id": "' OR"}}, {"configurable": {"__pregel_x": 1}}, {"tags": 1}, {"tags": [1]}, {"metadata": 1}, {"max_concurrency": -1}, {"configurable": {"checkpoint_ns": "x" * 9999}}):
        add(Case("runs", f"config {config!r:.50}", "POST", "/runs/wait", {200, 400, 404, 422}, dumps({"assistant_id": "noop3", "input": {}, "config": config})))
    for command in ({"goto": "nothing"}, {"goto": {"node": "nothing", "input": 1}}, {"goto": [1]}, {"update": 1}, {"update": {"nothing": 1}}, {"update": [["nothing", 1]]}, {"resume": None}, {"resume": {"a": 1}}, {"goto": "__end__"}, {"goto": []}, {"graph": "__parent__"}, {"nothing": 1}):
        for path in (f"/threads/{thread}/runs/wait", "/runs/wait"):
            add(Case("runs", f"command {command!r} at {path}", "POST", path, {200, 400, 404, 409, 422}, dumps({"assistant_id": "noop3", "command": command})))
    for schedule in ("", "a", "* * * *", "99 * * * *", "*/0 * * * *", "0 0 31 2 *", "* * * * * *", "0-99999999999 * * * *", "' OR", 1, None, [], "@reboot", "1-0 * * * *", "0 0 30 2 *", "x" * 10_000, "1," * 5_000 + "1 * * * *"):
        for more in ({}, {"timezone": "Nowhere/Land"}, {"timezone": "../etc/passwd"}, {"end_time": "a"}, {"end_time": "9999-12-31T23:59:59Z"}, {"end_time": "-262143-01-01T00:00:00Z"}):
            add(Case("runs", f"schedule {schedule!r:.20} {more}", "POST", "/runs/crons", {200, 400, 404, 422}, dumps({"assistant_id": "noop3", "input": {}, "schedule": schedule, **more})))
    for values in (1, "a", [], None, {"nothing": 1}, {"log": 1}, [{}], [None], {"log": {"a": []}}):
        for more in ({}, {"as_node": "nothing"}, {"as_node": 1}, {"as_node": ""}, {"checkpoint": {"checkpoint_id": "a"}}, {"checkpoint_id": "'"}, {"checkpoint": 1}):
            add(Case("runs", f"state {values!r} {more}", "POST", f"/threads/{thread}/state", {200, 400, 404, 409, 422}, dumps({"values": values, **more})))
    for checkpoint in ({}, {"checkpoint_id": "a"}, {"checkpoint_id": 1}, {"checkpoint_ns": "a|b|"}, {"thread_id": ABSENT}, 1, None, "a", {"checkpoint_id": ABSENT, "checkpoint_map": {"": "a"}}):
        add(Case("runs", f"checkpoint {checkpoint!r}", "POST", f"/threads/{thread}/state/checkpoint", {200, 400, 404, 422}, dumps({"checkpoint": checkpoint})))
        add(Case("runs", f"before {checkpoint!r}", "POST", f"/threads/{thread}/history", {200, 400, 404, 422}, dumps({"before": checkpoint, "limit": 1})))
        add(Case("runs", f"from {checkpoint!r}", "POST", f"/threads/{thread}/runs/wait", {200, 400, 404, 409, 422}, dumps({"assistant_id": "noop3", "input": {}, "checkpoint": checkpoint})))
    for cursor in ("-5", "-1", "0", "-", "abc", str(2**70), str(2**64), str(2**63), "", " ", "1.5", "1e3", "1-0", "1-", "-1-1", "9" * 5000, "%00", "ÿ", "*", "$", "1784,2", ABSENT):
        head = (f"Last-Event-ID: {cursor}",)
        for path in (f"/threads/{thread}/stream", f"/threads/{thread}/runs/{ABSENT}/stream", f"/runs/{ABSENT}/stream", f"/threads/{thread}/runs/{{run}}/stream", "/runs/{run}/stream"):
            add(Case("cursors", f"{cursor[:20]!r} at {path}", "GET", path, {200, 400, 404, 422}, None, head))
    return cases


def heads() -> list[Case]:
    """Heads that are too long or are none, and methods that nobody has."""
    cases = []
    host = b"Host: localhost\r\nConnection: close\r\n"
    for method in ("PROPFIND", "TRACE", "CONNECT", "FOO", "get", "PATCHY", "A" * 1000, "OPTIONS", "HEAD"):
        for path in ("/threads", "/threads/search", f"/threads/{ABSENT}", "/ok", "/store/items", "/nothing"):
            cases.append(Case("heads", f"{method[:10]} {path}", method, path, EITHER | {501}, None, ()))
    for name, head, statuses in [
        ("a long header", b"GET /ok HTTP/1.1\r\n" + host + b"X: " + b"x" * 200_000 + b"\r\n\r\n", {431}),
        ("many headers", b"GET /ok HTTP/1.1\r\n" + host + b"".join(b"X-%d: a\r\n" % n for n in range(500)) + b"\r\n", {431}),
        ("NUL in a header", b"GET /ok HTTP/1.1\r\n" + host + b"X: a\x00b\r\n\r\n", {400}),
        ("a header without name", b"GET /ok HTTP/1.1\r\n" + host + b": a\r\n\r\n", {400}),
        ("no host", b"GET /ok HTTP/1.1\r\nConnection: close\r\n\r\n", {400}),
        ("two hosts", b"GET /ok HTTP/1.1\r\n" + host + b"Host: a\r\n\r\n", {400, 403}),
        ("a foreign host", b"GET /ok HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", {403}),
        ("version 9", b"GET /ok HTTP/9.9\r\n" + host + b"\r\n", {400, 505, 0}),
        ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100 + b"\r\n\r\n", {400, 0}),
        ("a bare word", b"hello\r\n\r\n", {400, 0}),
        ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 505, 0}),
        ("a foreign origin", b"POST /threads HTTP/1.1\r\n" + host + b"Origin: http://evil.example\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", {403}),
        ("an expectation", b"POST /threads HTTP/1.1\r\n" + host + b"Expect: nothing\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", {200, 417}),
        ("a request id with a line", b"GET /ok HTTP/1.1\r\n" + host + b"X-Request-Id: \xff\xfe\r\n\r\n", {200, 400}),
        ("a credential of bytes", b"GET /ok HTTP/1.1\r\n" + host + b"Authorization: Bearer \xff\xfe\r\n\r\n", {200, 400, 401}),
    ]:
        cases.append(Raw("heads", name, head, statuses))
    return cases


class Check:
    """What is wrong."""

    def __init__(self, port: int) -> None:
        self.port, self.asked, self.wrong = port, 0, 0
        self.statuses: dict[int, int] = {}

    def fail(self, text: str) -> None:
        self.wrong += 1
        print(f"WRONG  {text}", flush=True)

    def case(self, case: Case | Raw) -> None:
        self.asked += 1
        try:
            answer = ask(self.port, case.bytes())
        except OSError as error:
            return self.fail(f"{case.group}: {case.name}: {error}")
        self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
        told = f"{case.group}: {case.name}: {answer.status} {answer.body[:300]!r}"
        if answer.status not in case.statuses:
            return self.fail(f"{told}, expected one of {sorted(case.statuses)}")
        if answer.status < 400 or getattr(case, "method", "") == "HEAD":
            return None
        if answer.status in (400, 414, 431, 505, 413) and not answer.body:
            # Refused before it was a request: the parser of HTTP has no words.
            if isinstance(case, Raw):
                return None
        if answer.headers.get("content-type") != "application/json":
            return self.fail(f"{told}: type {answer.headers.get('content-type')}")
        try:
            error = json.loads(answer.body)
        except ValueError:
            return self.fail(f"{told}: no JSON")
        for member in ("detail", "code", "request_id"):
            if not isinstance(error.get(member), str) or not error[member]:
                self.fail(f"{told}: without {member}")
        if not set(error) <= {"detail", "code", "request_id", "pointer"}:
            self.fail(f"{told}: unknown members")
        if "pointer" in error and not POINTER.fullmatch(error["pointer"]):
            self.fail(f"{told}: no pointer")
        return None


class Server:
    """The server under test."""

    def __init__(self, binary: Path, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = folder / "server.log"
        command = [str(binary), "serve", "--fixtures", "--port", str(self.port)]
        command += ["--data-dir", str(folder / "data")]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        begun = time.monotonic()
        while True:
            with contextlib.suppress(OSError):
                if self.ask("GET", "/ok")[0] == 200:
                    return
            if self.process.poll() is not None or time.monotonic() - begun > READY_WAIT:
                raise SystemExit(f"the server does not start: {self.log.read_text()}")
            time.sleep(0.02)

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, object]:
        sent = None if body is None else dumps(body)
        answer = ask(self.port, Case("", "", method, path, set(), sent).bytes())
        return answer.status, json.loads(answer.body) if answer.body else None

    def memory(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) << 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("binary", type=Path)
    parser.add_argument("--only", help="a group of cases", default="")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        server = Server(arguments.binary.resolve(), Path(name))
        try:
            return check(server, arguments.only)
        finally:
            server.process.terminate()
            server.process.wait(60)


def check(server: Server, only: str) -> int:
    thread = server.ask("POST", "/threads", {"metadata": {"kept": True}})[1]["thread_id"]
    run = {"assistant_id": "noop3", "input": {}}
    server.ask("POST", f"/threads/{thread}/runs/wait", run)
    made = server.ask("POST", f"/threads/{thread}/runs", {**run, "stream_resumable": True})[1]["run_id"]
    kept = server.ask("GET", f"/threads/{thread}")[1]["metadata"]
    cases = [*bodies(), *paths(), *searches(thread), *runs(thread), *heads()]
    result = Check(server.port)
    before = None
    for case in cases:
        if only and case.group != only:
            continue
        if isinstance(case, Case):
            case.path = case.path.replace("{run}", made)
        result.case(case)
        if result.asked == 500:
            before = server.memory()
    status, after = server.ask("GET", f"/threads/{thread}")
    if status != 200 or after["metadata"] != kept:
        result.fail(f"the thread from before is not as it was: {status} {after}")
    status, done = server.ask("POST", "/runs/wait", run)
    if status != 200:
        result.fail(f"a run cannot be made any more: {status} {done}")
    grown = server.memory() - (before or server.memory())
    if grown > MEMORY_GROWTH_MAX:
        result.fail(f"memory grew by {grown >> 20} MB")
    log = server.log.read_text(errors="replace")
    for line in log.splitlines():
        if "panicked" in line:
            result.fail(f"in the log: {line}")
    print(f"asked {result.asked}, wrong {result.wrong}, memory {server.memory() >> 20} MB "
          f"({grown / (1 << 20):+.1f} MB), statuses {dict(sorted(result.statuses.items()))}")
    return 1 if result.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
