"""A client of the native socket (``/ws``) of Genesis Mesh, for asyncio. Needs ``websockets``.

    async with MeshSocket("ws://127.0.0.1:8080/ws") as mesh:
        started = await mesh.start(
            {"assistant_id": "agent", "input": {"messages": []}, "stream_mode": ["updates"]},
            follow={"merge": True},
        )
        async for item in started.events:
            if item["type"] == "event":
                print(item["seq"], item["kind"], item["data"])
                if item["kind"] == "ended" and item["run_id"] == started.run_id:
                    break

- ``start``, ``answer``, ``answers``, ``cancel``, ``update``, ``fork`` and ``ping`` wait while there
  is no connection. What was sent when the connection was lost is sent again if that does nothing
  twice (``start`` and ``answer`` carry a key); ``update`` and ``fork`` fail with the code
  ``connection_lost``.
- ``subscribe`` gives an async iterator over events, snapshots and gaps of one thread. It goes on
  exactly where it was after every cut: its ``cursor`` is the place, and can be kept for another day.
  With ``follow={"early": True}`` text of messages comes as items of the type ``delta`` before it is
  stored.
- ``watch`` gives an async iterator over threads that change.

No event comes twice and none is missed: the cursor moves in the same step in which an event is put
into the iterator's queue, and a number that does not grow ends the connection rather than being
passed on. The queue is bounded: the server sends as many events as there is room for.
"""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

__all__ = ["MeshError", "MeshSocket", "Started", "Subscription"]

PROTOCOL = "genesis-mesh.v1"

#: Events that wait in the queue of one iterator, unless chosen.
QUEUE = 256

#: Seconds that the other side has to say hello, or to answer a ping.
ANSWER_WAIT_S = 10.0

#: Wait before a call is sent again that the server is still carrying out, and how often.
EARLY_WAIT_S = 0.1
EARLY_MAX = 50

#: Seconds between two pings, unless chosen.
PING_EVERY_S = 15.0

#: First and longest wait before connecting again, in seconds.
RETRY_S = 0.25
RETRY_S_MAX = 10.0

#: Codes after which connecting again would end the same way.
HOPELESS = frozenset({"unauthenticated", "invalid_credential", "not_authorized"})

Json = Any
Cursor = tuple[str, int]


class MeshError(Exception):
    """What the server, or this client, refused."""

    def __init__(self, code: str, message: str, pointer: str | None = None, reference: str | None = None):
        super().__init__(message)
        self.code = code
        self.pointer = pointer
        self.reference = reference


class _Lost(Exception):
    """The connection cannot be used any more."""


class _Queue:
    """Items for one reader."""

    def __init__(self, left: Callable[[], None]):
        self._waiting: deque[Json] = deque()
        self._come = asyncio.Event()
        self._over = False
        self._error: BaseException | None = None
        self._left = left

    def _put(self, item: Json) -> None:
        if not self._over:
            self._waiting.append(item)
            self._come.set()

    def _finish(self, error: BaseException | None = None) -> None:
        self._over, self._error = True, error
        self._come.set()

    def _taken(self) -> None:
        """The reader took an item."""

    def close(self) -> None:
        """Ends it."""
        self._waiting.clear()
        self._finish()
        self._left()

    def __aiter__(self) -> AsyncIterator[Json]:
        return self

    async def __anext__(self) -> Json:
        while not self._waiting:
            if self._over:
                error, self._error = self._error, None
                if error:
                    raise error
                raise StopAsyncIteration
            self._come.clear()
            await self._come.wait()
        item = self._waiting.popleft()
        self._taken()
        return item

    async def aclose(self) -> None:
        """Ends it."""
        self.close()


class Subscription(_Queue):
    """The events of one thread; see :meth:`MeshSocket.subscribe`."""

    def __init__(
        self,
        mesh: MeshSocket,
        thread_id: str,
        cursor: Cursor | None,
        snapshot: bool,
        follow: dict[str, Json],
        room: int,
    ):
        super().__init__(lambda: mesh._unfollow(self))
        self.thread_id = thread_id
        #: The log, and the number of the last event that was put into the queue. None before the
        #: server told where it begins.
        self.cursor = cursor
        #: The last event that there was when this began, or was resumed.
        self.last = 0
        self._mesh, self._snapshot, self._follow, self._room = mesh, snapshot, follow, room
        self._free = 0
        self._state: tuple[int, Json] | None = None

    def _begin(self) -> int:
        """Room that the server may fill on a new connection."""
        self._free, self._state = 0, None
        return max(self._room - len(self._waiting), 0)

    def _begins(self, cursor: Cursor, last: int) -> None:
        self.cursor, self.last = cursor, last

    def _take(self, frame: dict[str, Json]) -> None:
        if frame["type"] == "event":
            seq = frame["seq"]
            if self.cursor is None or frame.get("from", seq) <= self.cursor[1]:
                raise _Lost("an event that does not follow")
            frame.setdefault("ns", [])
            if frame["kind"] == "values" and not frame["ns"]:
                if "patch" in frame:
                    base, patch = frame.pop("base"), frame.pop("patch")
                    if self._state is None or self._state[0] != base:
                        raise _Lost("a difference to a state that is not there")
                    frame["data"] = patched(self._state[1], patch)
                if self._follow.get("patch"):
                    self._state = (seq, frame["data"])
            self.cursor = (self.cursor[0], seq)
        elif frame["type"] == "delta" and "after" in frame:
            if self.cursor is None or frame["after"] <= self.cursor[1]:
                raise _Lost("a delta that does not follow")
            self.cursor = (self.cursor[0], frame["after"])
        self._put(frame)

    def _taken(self) -> None:
        self._free += 1
        # Half the queue at a time, so that few calls are needed.
        if self._free * 2 >= self._room:
            self._mesh._credit(self, self._free)
            self._free = 0


@dataclass
class Started:
    """A run that was made."""

    run_id: str
    thread_id: str
    after: int
    log: str
    #: The events of its thread, if they are followed.
    events: Subscription | None = None


@dataclass
class _Call:
    members: dict[str, Json]
    again: bool
    answer: asyncio.Future[Json]
    at_once: Callable[[Json], None] | None
    sent: bool = False
    #: How often the server was still at work on it when it was sent again.
    early: int = 0


class MeshSocket:
    """A connection to a server, and again to it for as long as it is open."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        queue: int = QUEUE,
        ping_every: float = PING_EVERY_S,
        chance: Callable[[], float] = random.random,
    ):
        self.url = url
        #: What the server said first, on the connection that is or was last.
        self.hello: dict[str, Json] | None = None
        #: `connecting`, `live`, `reconnecting`, `refused` or `closed`.
        self.state = "connecting"
        self._token, self._queue, self._ping_every, self._chance = token, queue, ping_every, chance
        self._calls: dict[int, _Call] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._watching: _Queue | None = None
        self._watched_since: str | None = None
        self._last_id = 0
        self._out: asyncio.Queue[str] | None = None
        self._connection: ClientConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._retry_s: float | None = None
        self._pongs = 0

    async def __aenter__(self) -> MeshSocket:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # ---- calls ----

    async def start(
        self,
        run: dict[str, Json],
        *,
        thread_id: str | None = None,
        follow: dict[str, Json] | None = None,
        key: str | None = None,
    ) -> Started:
        """Makes a run. With `follow` also gives the events of its thread, from just before it."""
        return await self._made("start", {"run": run, "thread_id": thread_id}, follow, key)

    async def answer(
        self,
        thread_id: str,
        answer: Json,
        *,
        stream_mode: list[str] | None = None,
        follow: dict[str, Json] | None = None,
        key: str | None = None,
    ) -> Started:
        """Answers the one open question of a thread."""
        members = {"thread_id": thread_id, "answer": answer, "stream_mode": stream_mode}
        return await self._made("answer", members, follow, key)

    async def answers(
        self,
        thread_id: str,
        answers: dict[str, Json],
        *,
        stream_mode: list[str] | None = None,
        follow: dict[str, Json] | None = None,
        key: str | None = None,
    ) -> Started:
        """Answers open questions of a thread by their ids."""
        members = {"thread_id": thread_id, "answers": answers, "stream_mode": stream_mode}
        return await self._made("answer", members, follow, key)

    async def cancel(self, thread_id: str, run_id: str, action: str = "interrupt") -> None:
        """Ends a run."""
        await self._call("cancel", {"thread_id": thread_id, "run_id": run_id, "action": action}, True)

    async def update(self, thread_id: str, values: Json, as_node: str | None = None) -> dict[str, Json]:
        """Changes the newest state of a thread. Gives the checkpoint that it has now."""
        members = {"thread_id": thread_id, "values": values, "as_node": as_node}
        return (await self._call("update", members, False))["checkpoint"]

    async def fork(
        self, thread_id: str, checkpoint_id: str, values: Json = None, as_node: str | None = None
    ) -> dict[str, Json]:
        """Begins a new branch at a checkpoint. Gives the checkpoint that it has now."""
        members = {"thread_id": thread_id, "checkpoint_id": checkpoint_id, "values": values}
        return (await self._call("fork", {**members, "as_node": as_node}, False))["checkpoint"]

    async def ping(self) -> float:
        """Seconds to the server and back."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await self._call("ping", {}, True)
        return loop.time() - begun

    def subscribe(
        self,
        thread_id: str,
        *,
        cursor: Cursor | None = None,
        snapshot: bool = False,
        follow: dict[str, Json] | None = None,
    ) -> Subscription:
        """Follows a thread: after `cursor`, or from a snapshot, or from now on."""
        subscription = self._opened(thread_id, cursor, snapshot, follow or {})
        if self._out:
            self._follow(subscription)
        return subscription

    def watch(self, since: str | None = None) -> AsyncIterator[dict[str, Json]]:
        """Tells of threads that change; with `since` also of those that changed after that time."""
        if self._watching:
            raise RuntimeError("threads are watched already")

        def left() -> None:
            self._watching = None
            self._tell("unwatch", {})

        self._watching, self._watched_since = _Queue(left), since
        if self._out:
            self._look()
        return self._watching

    # ---- the connection ----

    def cut(self) -> None:
        """Gives the connection up, as if it had been cut. For tests."""
        if self._connection:
            self._connection.transport.abort()

    async def close(self) -> None:
        """Ends the connection for good: calls fail, iterators end."""
        task, self._task = self._task, None
        if task:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self.state != "refused":
            self._end("closed", MeshError("closed", "the client was closed"))

    async def _run(self) -> None:
        attempt = 0
        while True:
            refusal: MeshError | None = None
            try:
                async with asyncio.timeout(ANSWER_WAIT_S):
                    headers = {"Authorization": f"Bearer {self._token}"} if self._token else None
                    connection = await connect(
                        self.url, subprotocols=[PROTOCOL], additional_headers=headers, max_size=None
                    )
                self._connection = connection
                try:
                    async with asyncio.timeout(ANSWER_WAIT_S) as patience:
                        async for message in connection:
                            frame = json.loads(message)
                            if frame["type"] == "error" and "id" not in frame:
                                refusal = MeshError(**frame["error"])
                            elif frame["type"] == "hello":
                                patience.reschedule(None)
                                attempt = 0
                                self._live(connection, frame)
                            else:
                                self._hear(frame)
                finally:
                    self._connection = None
                    self._stop()
                    connection.transport.abort()
            except (OSError, WebSocketException, TimeoutError, _Lost):
                pass
            if refusal and refusal.code in HOPELESS:
                self._end("refused", refusal)
                return
            self._lose()
            self.state = "reconnecting"
            attempt += 1
            longest = min(RETRY_S * 2 ** (attempt - 1), RETRY_S_MAX)
            wait = self._retry_s if self._retry_s is not None else longest * (0.5 + self._chance() / 2)
            self._retry_s = None
            await asyncio.sleep(wait)

    def _live(self, connection: ClientConnection, hello: dict[str, Json]) -> None:
        """Everything that was going on goes on."""
        self.hello, self.state = hello, "live"
        self._out = asyncio.Queue()
        waiting = list(self._calls.values())
        for subscription in self._subscriptions.values():
            self._follow(subscription)
        if self._watching:
            self._look()
        for call in waiting:
            self._send(call)
        self._tasks = [
            asyncio.create_task(self._write(connection, self._out)),
            asyncio.create_task(self._ask_for_life(connection)),
        ]

    async def _write(self, connection: ClientConnection, out: asyncio.Queue[str]) -> None:
        try:
            while True:
                await connection.send(await out.get())
        except WebSocketException:
            pass  # heard by the reader, too

    async def _ask_for_life(self, connection: ClientConnection) -> None:
        while self._ping_every > 0:
            await asyncio.sleep(self._ping_every)
            try:
                async with asyncio.timeout(ANSWER_WAIT_S):
                    await self.ping()
            except (TimeoutError, MeshError):
                connection.transport.abort()
                return

    def _stop(self) -> None:
        self._out = None
        for task in getattr(self, "_tasks", []):
            task.cancel()
        self._tasks = []

    def _hear(self, frame: dict[str, Json]) -> None:
        kind = frame["type"]
        if kind in ("ack", "error"):
            call = self._calls.pop(frame["id"], None)
            if call is None:
                return
            if kind == "error":
                early = frame["error"]["code"] == "key_in_use" and call.again
                if early and call.early < EARLY_MAX:
                    # What was sent before a cut is still being carried out.
                    call.early += 1
                    self._calls[frame["id"]] = call
                    asyncio.get_running_loop().call_later(EARLY_WAIT_S, self._send_again, call, self._out)
                elif not call.answer.done():
                    call.answer.set_exception(MeshError(**frame["error"]))
                return
            # In the step in which the answer comes, since events may stand right behind it.
            if call.at_once:
                call.at_once(frame["result"])
            if not call.answer.done():
                call.answer.set_result(frame["result"])
        elif kind in ("event", "delta", "snapshot", "gap", "end"):
            subscription = self._subscriptions.get(frame["thread_id"])
            # What was on its way when it was closed is for nobody.
            if subscription:
                subscription._take(frame)
                if kind == "end":
                    del self._subscriptions[frame["thread_id"]]
                    subscription._finish()
        elif kind == "thread":
            updated_at = (frame["thread"] or {}).get("updated_at")
            if updated_at and (self._watched_since is None or updated_at > self._watched_since):
                self._watched_since = updated_at
            if self._watching:
                self._watching._put(frame)
        elif kind == "resync" and self._watching:
            self._watching._put(frame)
        elif kind == "goaway":
            self._retry_s = frame["retry_ms"] / 1000

    def _opened(
        self, thread_id: str, cursor: Cursor | None, snapshot: bool, follow: dict[str, Json]
    ) -> Subscription:
        if thread_id in self._subscriptions:
            raise RuntimeError(f"thread {thread_id} is followed already")
        subscription = Subscription(self, thread_id, cursor, snapshot, follow, self._queue)
        self._subscriptions[thread_id] = subscription
        return subscription

    def _follow(self, subscription: Subscription) -> None:
        thread_id = subscription.thread_id
        follow = {**subscription._follow, "credit": subscription._begin()}
        members = {"thread_id": thread_id, "snapshot": subscription._snapshot, "follow": follow}
        if subscription.cursor:
            members["log"], members["after"] = subscription.cursor

        def is_current() -> bool:
            return self._subscriptions.get(thread_id) is subscription

        def begins(result: Json) -> None:
            if is_current():
                subscription._begins((result["log"], result["after"]), result["last"])

        def failed(error: MeshError) -> None:
            if error.code != "connection_lost" and is_current():
                del self._subscriptions[thread_id]
                subscription._finish(error)

        self._tell("subscribe", members, begins, failed)

    def _look(self) -> None:
        def begins(result: Json) -> None:
            self._watched_since = self._watched_since or result["since"]

        def failed(error: MeshError) -> None:
            if error.code != "connection_lost" and self._watching:
                watching, self._watching = self._watching, None
                watching._finish(error)

        self._tell("watch", {"since": self._watched_since}, begins, failed)

    def _unfollow(self, subscription: Subscription) -> None:
        if self._subscriptions.get(subscription.thread_id) is subscription:
            del self._subscriptions[subscription.thread_id]
            self._tell("unsubscribe", {"thread_id": subscription.thread_id})

    def _credit(self, subscription: Subscription, add: int) -> None:
        if self._subscriptions.get(subscription.thread_id) is subscription:
            self._tell("credit", {"thread_id": subscription.thread_id, "add": add})

    async def _made(
        self, op: str, members: dict[str, Json], follow: dict[str, Json] | None, key: str | None
    ) -> Started:
        subscribe = None if follow is None else {**follow, "credit": self._queue}
        events: Subscription | None = None

        def at_once(result: Json) -> None:
            nonlocal events
            if follow is None:
                return
            events = self._subscriptions.get(result["thread_id"])
            if events is None:
                events = self._opened(result["thread_id"], None, False, follow)
                events._begin()
                events._begins((result["log"], result["after"]), result["after"])

        key = key or str(uuid.uuid4())
        result = await self._call(op, {**members, "key": key, "subscribe": subscribe}, True, at_once)
        return Started(**result, events=events)

    def _tell(
        self,
        op: str,
        members: dict[str, Json],
        at_once: Callable[[Json], None] | None = None,
        failed: Callable[[MeshError], None] | None = None,
    ) -> None:
        """Calls something of this connection alone."""
        if not self._out:
            return
        call = self._begun(op, members, False, at_once)

        def done(answer: asyncio.Future[Json]) -> None:
            error = answer.exception() if not answer.cancelled() else None
            if isinstance(error, MeshError) and failed:
                failed(error)

        call.answer.add_done_callback(done)

    async def _call(
        self,
        op: str,
        members: dict[str, Json],
        again: bool,
        at_once: Callable[[Json], None] | None = None,
    ) -> Json:
        if self.state in ("closed", "refused"):
            raise MeshError("closed", "the client was closed")
        return await self._begun(op, members, again, at_once).answer

    def _begun(
        self,
        op: str,
        members: dict[str, Json],
        again: bool,
        at_once: Callable[[Json], None] | None,
    ) -> _Call:
        self._last_id += 1
        given = {name: value for name, value in members.items() if value is not None or name in ("answer", "values")}
        call = _Call(
            {"op": op, "id": self._last_id, **given},
            again,
            asyncio.get_running_loop().create_future(),
            at_once,
        )
        self._calls[self._last_id] = call
        if self._out:
            self._send(call)
        return call

    def _send(self, call: _Call) -> None:
        call.sent = True
        if self._out:
            self._out.put_nowait(json.dumps(call.members))

    def _send_again(self, call: _Call, out: asyncio.Queue[str] | None) -> None:
        """Unless another connection did."""
        if self._out is out and call.members["id"] in self._calls:
            self._send(call)

    def _lose(self) -> None:
        """What must not be done twice fails; the rest is sent again."""
        for id, call in list(self._calls.items()):
            if call.sent and not call.again:
                del self._calls[id]
                if not call.answer.done():
                    call.answer.set_exception(MeshError("connection_lost", "the connection was lost"))
            call.sent = False

    def _end(self, state: str, error: MeshError) -> None:
        self.state = state
        calls, self._calls = self._calls, {}
        for call in calls.values():
            if not call.answer.done():
                call.answer.set_exception(error)
                call.answer.exception()  # who waits for it hears it anyway
        over = error if state == "refused" else None
        subscriptions, self._subscriptions = self._subscriptions, {}
        for subscription in subscriptions.values():
            subscription._finish(over)
        watching, self._watching = self._watching, None
        if watching:
            watching._finish(over)


# ---- JSON Patch (RFC 6902), as far as differences of states need it ----


def patched(value: Json, patch: list[dict[str, Json]]) -> Json:
    """A new value; what did not change is shared with the old one."""
    for change in patch:
        steps = [step.replace("~1", "/").replace("~0", "~") for step in change["path"].split("/")[1:]]
        value = _changed(value, steps, change["op"], change.get("value"))
    return value


def _changed(value: Json, steps: list[str], op: str, put: Json) -> Json:
    if not steps:
        return put
    step, below = steps[0], steps[1:]
    if isinstance(value, list):
        copy = list(value)
        index = len(copy) if step == "-" else int(step)
        if below:
            copy[index] = _changed(copy[index], below, op, put)
        elif op == "add":
            copy.insert(index, put)
        elif op == "remove":
            del copy[index]
        else:
            copy[index] = put
        return copy
    members = dict(value or {})
    if below:
        members[step] = _changed(members.get(step), below, op, put)
    elif op == "remove":
        members.pop(step, None)
    else:
        members[step] = put
    return members
