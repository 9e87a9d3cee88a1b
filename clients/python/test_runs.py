import uuid

import httpx
import pytest
from conftest import done, ended, listed
from langgraph_sdk.errors import ConflictError, NotFoundError

pytestmark = pytest.mark.anyio


@pytest.fixture
async def thread(client):
    return (await done(client.threads.create()))["thread_id"]


# More steps than a run may have by default.
LONG = {"recursion_limit": 10_000}


def names(parts):
    return [part.event for part in parts]


async def test_a_run_is_waited_for(client, thread):
    assert await done(client.runs.wait(thread, "noop3", input={"log": []})) == {"log": list("abc")}
    # Without a thread, and with any input at all.
    given = {"deep": [1, {"x": None}], "text": "ü\u2028\U0001f600"}
    assert await done(client.runs.wait(None, "echo", input=given)) == given


async def test_a_run_in_the_background_is_joined(client, thread):
    run = await done(client.runs.create(thread, "steps", input={"n": 3, "delay": 0.02}))
    assert run["status"] == "pending"
    assert run["kwargs"]["input"] == {"n": 3, "delay": 0.02}
    assert (await done(client.runs.join(thread, run["run_id"])))["log"] == [0, 1, 2]
    assert (await ended(client, run))["status"] == "success"
    assert [one["run_id"] for one in await done(client.runs.list(thread))] == [run["run_id"]]
    assert await done(client.runs.list(thread, status="error")) == []
    await done(client.runs.delete(thread, run["run_id"]))
    with pytest.raises(NotFoundError):
        await done(client.runs.get(thread, run["run_id"]))


async def test_several_modes_stream_in_their_order(client, thread):
    parts = await listed(
        client.runs.stream(thread, "noop3", input={"log": []}, stream_mode=["values", "updates"])
    )
    assert names(parts) == ["metadata", "values"] + ["updates", "values"] * 3
    assert parts[1].data == {"log": []}
    assert parts[2].data == {"a": {"log": ["a"]}}
    assert parts[-1].data == {"log": ["a", "b", "c"]}


async def test_tasks_checkpoints_and_debug(client, thread):
    modes = ["tasks", "checkpoints", "debug"]
    parts = await listed(client.runs.stream(thread, "noop3", input={"log": []}, stream_mode=modes))
    assert set(names(parts)) == {"metadata", *modes}
    started = [part.data["name"] for part in parts if part.event == "tasks" and "input" in part.data]
    assert started == ["a", "b", "c"]
    steps = [part.data["metadata"]["step"] for part in parts if part.event == "checkpoints"]
    assert steps == [-1, 0, 1, 2, 3]
    history = await done(client.threads.get_history(thread))
    told = [
        part.data["payload"]["checkpoint"]["checkpoint_id"]
        for part in parts
        if part.event == "debug" and part.data["type"] == "checkpoint"
    ]
    assert told == [one["checkpoint"]["checkpoint_id"] for one in reversed(history)]


async def test_messages_come_as_pieces_and_as_a_whole(client, thread):
    given = {"messages": [{"role": "human", "content": "go"}], "n": 20}
    parts = await listed(
        client.runs.stream(thread, "tokens200", input=given, stream_mode="messages-tuple")
    )
    assert names(parts) == ["metadata"] + ["messages"] * (len(parts) - 1)
    pieces = [part.data[0] for part in parts[1:]]
    assert {piece["type"] for piece in pieces} == {"AIMessageChunk"}
    assert parts[1].data[1]["langgraph_node"] == "writer"
    text = "".join(piece["content"] for piece in pieces)
    assert len(text.split()) == 20
    state = await done(client.threads.get_state(thread))
    assert state["values"]["messages"][-1]["content"] == text
    parts = await listed(
        client.runs.stream(thread, "tokens200", input=given, stream_mode="messages")
    )
    assert set(names(parts)) == {
        "metadata", "messages/metadata", "messages/partial", "messages/complete",
    }
    assert names(parts)[-1] == "messages/complete"
    partial = [part.data[0]["content"] for part in parts if part.event == "messages/partial"]
    assert all(later.startswith(earlier) for earlier, later in zip(partial, partial[1:]))
    assert parts[-1].data[0]["content"] == partial[-1]


async def test_subgraphs_stream_under_their_namespace(client, thread):
    parts = await listed(
        client.runs.stream(
            thread, "nested", input={"messages": ["hi"]}, stream_mode="updates",
            stream_subgraphs=True,
        )
    )
    depths = {part.event.count("|") for part in parts}
    assert depths == {0, 1, 2}
    assert any(part.event.startswith("updates|gp_two:") for part in parts)


async def test_a_stream_is_joined_from_its_beginning_and_from_a_frame(client, thread):
    run = await done(
        client.runs.create(
            thread, "steps", input={"n": 4, "delay": 0.02}, stream_mode=["updates", "values"],
            stream_resumable=True,
        )
    )
    live = await listed(client.runs.join_stream(thread, run["run_id"], last_event_id="-1"))
    replay = await listed(client.runs.join_stream(thread, run["run_id"], last_event_id="-1"))
    assert [(part.event, part.data) for part in live] == [
        (part.event, part.data) for part in replay
    ]
    assert names(live)[0] == "metadata"
    rest = await listed(client.runs.join_stream(thread, run["run_id"], last_event_id="3"))
    assert [part.data for part in rest] == [part.data for part in live[4:]]
    assert await listed(client.runs.join_stream(thread, run["run_id"])) == []


async def test_a_question_is_answered(client, thread):
    given = {"messages": [], "value": "init", "items": []}
    parts = await listed(
        client.runs.stream(thread, "agent", input=given, stream_mode=["values", "updates"])
    )
    asked = [part.data for part in parts if "__interrupt__" in part.data]
    assert [one["__interrupt__"][0]["value"] for one in asked] == ["Are we good?"] * 2
    state = await done(client.threads.get_state(thread))
    assert state["next"] == ["ask_human"]
    assert state["interrupts"][0]["value"] == "Are we good?"
    seen = await done(client.threads.get(thread))
    assert seen["status"] == "interrupted"
    assert [list(one) for one in seen["interrupts"].values()] == [state["interrupts"]]
    values = await done(client.runs.wait(thread, "agent", command={"resume": "yes"}))
    assert values["items"] == ["streamed", "tool", "asked", "sub"]
    assert (await done(client.threads.get(thread)))["status"] == "idle"


async def test_a_run_stops_at_a_node_and_goes_on(client, thread):
    values = await done(
        client.runs.wait(thread, "noop3", input={"log": []}, interrupt_before=["b"])
    )
    assert values == {"log": ["a"]}
    assert (await done(client.threads.get_state(thread)))["next"] == ["b"]
    assert await done(client.runs.wait(thread, "noop3", input=None)) == {"log": ["a", "b", "c"]}


async def test_a_failure_is_told(client, thread):
    parts = await listed(client.runs.stream(thread, "error", input={"messages": []}))
    assert parts[-1].event == "error"
    assert parts[-1].data == {"error": "CustomError", "message": "Boo!"}
    seen = await done(client.threads.get(thread))
    assert (seen["status"], seen["error"]["message"]) == ("error", "Boo!")
    with pytest.raises(Exception, match="Boo!"):
        await done(client.runs.wait(thread, "error", input={"messages": []}))
    quiet = await done(
        client.runs.wait(thread, "error", input={"messages": []}, raise_error=False)
    )
    assert quiet["__error__"]["error"] == "CustomError"


async def test_a_running_run_is_cancelled(client, thread):
    run = await done(client.runs.create(thread, "steps", input={"n": 1000, "delay": 0.01}, config=LONG))
    await done(client.runs.cancel(thread, run["run_id"], wait=True))
    assert (await ended(client, run))["status"] == "interrupted"
    assert (await done(client.threads.get(thread)))["status"] in ("interrupted", "idle")
    run = await done(client.runs.create(thread, "steps", input={"n": 1000, "delay": 0.01}, config=LONG))
    await done(client.runs.cancel(thread, run["run_id"], wait=True, action="rollback"))
    with pytest.raises(NotFoundError):
        await done(client.runs.get(thread, run["run_id"]))


async def test_double_texting(client, thread):
    slow, quick = {"n": 1000, "delay": 0.01}, {"n": 1, "delay": 0}
    first = await done(client.runs.create(thread, "steps", input=slow, config=LONG))
    with pytest.raises(ConflictError):
        await done(client.runs.create(thread, "steps", input=quick, multitask_strategy="reject"))
    second = await done(
        client.runs.create(thread, "steps", input=quick, multitask_strategy="interrupt")
    )
    assert (await ended(client, first))["status"] == "interrupted"
    assert (await ended(client, second))["status"] == "success"
    third = await done(client.runs.create(thread, "steps", input=slow, config=LONG))
    fourth = await done(
        client.runs.create(thread, "steps", input=quick, multitask_strategy="rollback")
    )
    assert (await ended(client, fourth))["status"] == "success"
    with pytest.raises(NotFoundError):
        await done(client.runs.get(thread, third["run_id"]))
    queued = [
        await done(client.runs.create(thread, "steps", input=quick))
        for _ in range(3)
    ]
    assert [(await ended(client, run))["status"] for run in queued] == ["success"] * 3


async def test_several_runs_at_once_without_threads(client):
    payload = {"assistant_id": "noop3", "input": {"log": []}, "on_completion": "keep"}
    runs = await done(client.runs.create_batch([payload, payload]))
    assert len({run["thread_id"] for run in runs}) == 2
    for run in runs:
        assert (await ended(client, run))["status"] == "success"


async def test_the_server_says_who_it_does_not_know(client, thread):
    with pytest.raises(NotFoundError, match="No assistant found for"):
        await done(client.runs.create(thread, "nobody", input={}))
    with pytest.raises(NotFoundError):
        await done(client.runs.create(str(uuid.uuid4()), "noop3", input={}))
    made = str(uuid.uuid4())
    run = await done(
        client.runs.create(made, "noop3", input={"log": []}, if_not_exists="create")
    )
    assert (await ended(client, run))["thread_id"] == made


async def test_a_thread_made_by_a_request_that_comes_twice_is_one(url):
    key = {"Idempotency-Key": str(uuid.uuid4())}
    first, second = [httpx.post(f"{url}/threads", json={}, headers=key).json() for _ in range(2)]
    assert first["thread_id"] == second["thread_id"]
