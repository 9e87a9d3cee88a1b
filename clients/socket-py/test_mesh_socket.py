"""The Python client of the native socket against a running server with the fixture graphs:
``GENESIS_MESH_URL``."""

import asyncio
import os

import pytest

from mesh_socket import MeshError, MeshSocket, patched

URL = os.environ["GENESIS_MESH_URL"].replace("http", "ws", 1) + "/ws"


@pytest.fixture
def anyio_backend():
    return "asyncio"


pytestmark = pytest.mark.anyio


def client(**options) -> MeshSocket:
    """A client whose cuts are over at once."""
    return MeshSocket(URL, chance=lambda: -1, ping_every=0, **options)


async def read(events, run_id):
    items = []
    async for item in events:
        items.append(item)
        if item.get("kind") == "ended" and item["run_id"] == run_id:
            break
    return items


NOOP = {"assistant_id": "noop3", "input": {}, "stream_mode": ["updates"], "on_completion": "keep"}


async def test_a_run_is_started_and_read_to_its_end():
    async with client() as mesh:
        assert await mesh.ping() < 5
        assert mesh.state == "live" and mesh.hello["protocol"] == "genesis-mesh.v1"
        started = await mesh.start(NOOP, follow={})
        items = await read(started.events, started.run_id)
        assert [(item["seq"], item["kind"], item["node"]) for item in items] == [
            (1, "begun", "noop3"),
            (2, "updates", "a"),
            (3, "updates", "b"),
            (4, "updates", "c"),
            (5, "ended", "noop3"),
        ]
        started.events.close()
        late = mesh.subscribe(started.thread_id, snapshot=True)
        snapshot = await anext(late)
        assert snapshot["thread"]["values"] == {"log": ["a", "b", "c"]}


async def test_what_was_read_over_cuts_is_the_log():
    run = {
        "assistant_id": "tokens200",
        "input": {"messages": [], "n": 1500, "interval_us": 400},
        "stream_mode": ["values", "updates", "messages-tuple"],
        "on_completion": "keep",
    }
    async with client(queue=16) as mesh, client() as other:
        started = await mesh.start(run, follow={"patch": True})
        cuts = 0

        async def cut():
            nonlocal cuts
            # Not for ever: a machine that is busy may need longer for a connection.
            while cuts < 60:
                await asyncio.sleep(0.015)
                mesh.cut()
                cuts += 1

        cutting = asyncio.create_task(cut())
        over_cuts = await read(started.events, started.run_id)
        cutting.cancel()
        whole = other.subscribe(started.thread_id, cursor=(started.log, 0))
        assert over_cuts == await read(whole, started.run_id)
        assert [item["seq"] for item in over_cuts] == list(range(1, len(over_cuts) + 1))
        assert cuts > 5


async def test_a_call_that_was_cut_off_is_carried_out_once():
    async with client() as mesh:
        await mesh.ping()
        starting = asyncio.create_task(mesh.start(NOOP, follow={"modes": []}))
        await asyncio.sleep(0)
        mesh.cut()
        started = await starting
        items = await read(started.events, started.run_id)
        assert [item["kind"] for item in items] == ["begun", "ended"]


async def test_a_question_is_answered_once():
    async with client() as mesh:
        run = {"assistant_id": "agent", "input": {"messages": []}, "on_completion": "keep"}
        started = await mesh.start({**run, "stream_mode": ["updates"]}, follow={"modes": []})
        await read(started.events, started.run_id)
        started.events.close()
        answered = await mesh.answer(started.thread_id, "yes", follow={})
        items = await read(answered.events, answered.run_id)
        said = next(item for item in items if item.get("node") == "ask_human")
        assert said["data"]["ask_human"]["messages"][0]["content"] == "Human said: yes"
        with pytest.raises(MeshError) as refused:
            await mesh.answer(started.thread_id, "again")
        assert (refused.value.code, refused.value.pointer) == ("no_question", "/answer")


async def test_threads_that_change_are_told_also_after_a_cut():
    async with client() as mesh, client() as other:
        changes = mesh.watch()
        await mesh.ping()
        await other.start(NOOP)
        assert (await anext(changes))["type"] == "thread"
        mesh.cut()
        second = await other.start(NOOP)
        async for change in changes:
            if change["thread_id"] == second.thread_id:
                break


async def test_a_thread_that_is_not_there_ends_its_iterator_with_the_error():
    async with client() as mesh:
        nobody = mesh.subscribe("00000000-0000-4000-8000-000000000000")
        with pytest.raises(MeshError) as refused:
            await anext(nobody)
        assert refused.value.code == "thread_not_found"


def test_states_are_put_together_from_differences():
    old = {"a": [1, 2, {"b": 1}], "c/d": 1, "e": {"f": 1}}
    now = patched(
        old,
        [
            {"op": "replace", "path": "/a/2/b", "value": 2},
            {"op": "add", "path": "/a/1", "value": 9},
            {"op": "remove", "path": "/a/0"},
            {"op": "add", "path": "/c~1d", "value": 3},
            {"op": "remove", "path": "/e/f"},
            {"op": "add", "path": "/a/-", "value": "last"},
        ],
    )
    assert now == {"a": [9, 2, {"b": 2}, "last"], "c/d": 3, "e": {}}
    assert old == {"a": [1, 2, {"b": 1}], "c/d": 1, "e": {"f": 1}}
