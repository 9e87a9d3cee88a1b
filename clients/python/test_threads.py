import uuid

import pytest
from conftest import done
from langgraph_sdk.errors import ConflictError, NotFoundError

pytestmark = pytest.mark.anyio


async def test_a_thread_is_made_changed_and_deleted(client):
    thread = await done(client.threads.create(metadata={"a": 1}))
    assert (thread["status"], thread["values"]) == ("idle", None)
    chosen = str(uuid.uuid4())
    await done(client.threads.create(thread_id=chosen))
    with pytest.raises(ConflictError):
        await done(client.threads.create(thread_id=chosen))
    again = await done(
        client.threads.create(thread_id=chosen, if_exists="do_nothing", metadata={"b": 1})
    )
    assert (again["thread_id"], again["metadata"]) == (chosen, {})
    changed = await done(client.threads.update(thread["thread_id"], metadata={"b": 2}))
    assert changed["metadata"] == {"a": 1, "b": 2}
    assert changed["updated_at"] > thread["updated_at"]
    await done(client.threads.delete(chosen))
    with pytest.raises(NotFoundError):
        await done(client.threads.get(chosen))


async def test_threads_are_searched_and_counted(client):
    mark = str(uuid.uuid4())
    threads = [
        await done(client.threads.create(metadata={"mark": mark, "deep": {"n": number}}))
        for number in range(3)
    ]
    ids = [thread["thread_id"] for thread in threads]
    found = await done(client.threads.search(metadata={"mark": mark}))
    assert [thread["thread_id"] for thread in found] == ids[::-1]
    found = await done(client.threads.search(metadata={"mark": mark, "deep": {"n": 1}}))
    assert [thread["thread_id"] for thread in found] == [ids[1]]
    assert await done(client.threads.count(metadata={"mark": mark})) == 3
    page = await done(
        client.threads.search(
            metadata={"mark": mark}, limit=1, offset=1, sort_by="created_at", sort_order="asc",
            select=["thread_id"],
        )
    )
    assert page == [{"thread_id": ids[1]}]
    assert await done(client.threads.search(metadata={"mark": mark}, status="busy")) == []
    await done(client.runs.wait(ids[0], "noop3", input={"log": ["x"]}))
    found = await done(client.threads.search(metadata={"graph_id": "noop3", "mark": mark}))
    assert found[0]["values"] == {"log": ["x", "a", "b", "c"]}
    found = await done(client.threads.search(values={"log": ["x", "a", "b", "c"]}, ids=ids))
    assert [thread["thread_id"] for thread in found] == [ids[0]]


async def test_state_history_and_time_travel(client):
    thread = (await done(client.threads.create()))["thread_id"]
    await done(client.runs.wait(thread, "noop3", input={"log": []}))
    state = await done(client.threads.get_state(thread))
    assert (state["values"], state["next"]) == ({"log": ["a", "b", "c"]}, [])
    history = await done(client.threads.get_history(thread))
    assert [one["metadata"]["step"] for one in history] == [3, 2, 1, 0, -1]
    assert [one["next"] for one in history] == [[], ["c"], ["b"], ["a"], ["__start__"]]
    before_c = history[1]
    assert before_c["parent_checkpoint"] == history[2]["checkpoint"]
    seen = await done(client.threads.get_state(thread, checkpoint=before_c["checkpoint"]))
    assert seen["values"] == {"log": ["a", "b"]}
    older = await done(client.threads.get_history(thread, before=before_c["checkpoint"], limit=1))
    assert older[0]["checkpoint"] == history[2]["checkpoint"]
    # Again from there, with something else in it.
    forked = await done(
        client.threads.update_state(
            thread, {"log": ["!"]}, as_node="b", checkpoint=before_c["checkpoint"]
        )
    )
    assert forked["checkpoint"]["thread_id"] == thread
    assert (await done(client.threads.get(thread)))["status"] == "interrupted"
    values = await done(client.runs.wait(thread, "noop3", input=None))
    assert values == {"log": ["a", "b", "!", "c"]}
    # The first line of history is still there.
    seen = await done(client.threads.get_state(thread, checkpoint=history[0]["checkpoint"]))
    assert seen["values"] == {"log": ["a", "b", "c"]}


async def test_a_thread_is_copied(client):
    thread = (await done(client.threads.create(metadata={"m": 1})))["thread_id"]
    await done(client.runs.wait(thread, "noop3", input={"log": []}))
    copy = await done(client.threads.copy(thread))
    ours, theirs = [
        [(one["values"], one["next"]) for one in await done(client.threads.get_history(id))]
        for id in (thread, copy["thread_id"])
    ]
    assert ours == theirs
    await done(client.runs.wait(copy["thread_id"], "noop3", input={"log": ["+"]}))
    assert (await done(client.threads.get_state(thread)))["values"] == {"log": ["a", "b", "c"]}


async def test_a_thread_is_made_with_a_past(client):
    supersteps = [
        {"updates": [{"values": {"log": ["x"]}, "as_node": "__input__"}]},
        {"updates": [{"values": {"log": ["x"]}, "as_node": "__start__"}]},
        {"updates": [{"values": {"log": ["made"]}, "as_node": "a"}]},
    ]
    thread = await done(client.threads.create(graph_id="noop3", supersteps=supersteps))
    state = await done(client.threads.get_state(thread["thread_id"]))
    assert (state["values"], state["next"]) == ({"log": ["x", "made"]}, ["b"])
