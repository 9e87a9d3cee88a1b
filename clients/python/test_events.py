"""The event protocol, over streams and over sockets: `threads.stream` and `RemoteGraph`."""

import uuid
from typing import Any

import pytest
from langgraph.pregel.remote import RemoteGraph
from langgraph.types import Command
from langgraph_sdk import get_client, get_sync_client

INPUT = {"messages": [], "value": "init", "items": []}
ITEMS = ["streamed", "tool", "asked", "sub"]
transports = pytest.mark.parametrize("transport", ["sse", "websocket"])


@transports
@pytest.mark.anyio
async def test_a_run_asks_is_answered_and_ends(url: str, transport: Any) -> None:
    async with get_client(url=url, api_key=None) as client:
        opened = client.threads.stream(assistant_id="agent", transport=transport)
        async with opened as thread:
            await thread.run.start(input=INPUT)
            states = [state async for state in thread.values]
            assert states[-1]["items"] == ["streamed", "tool"]
            assert thread.interrupted
            assert len(thread.interrupts) == 1
            await thread.run.respond("yes")
            assert (await thread.output)["items"] == ITEMS
            tree = await thread.agent.get_tree()
            assert "ask_human" in {node["id"] for node in tree["nodes"]}


@transports
def test_the_same_without_awaiting(url: str, transport: Any) -> None:
    with get_sync_client(url=url, api_key=None) as client:
        with client.threads.stream(assistant_id="agent", transport=transport) as thread:
            thread.run.start(input=INPUT)
            assert ["".join(message.text) for message in thread.messages] == ["Hello, world!"]
            assert thread.interrupted
            thread.run.respond("yes")
            assert thread.output["items"] == ITEMS


@transports
@pytest.mark.anyio
async def test_projections_see_all_that_was_told_before_a_pause(url: str, transport: Any) -> None:
    async with get_client(url=url, api_key=None) as client:
        opened = client.threads.stream(assistant_id="agent", transport=transport)
        async with opened as thread:
            await thread.run.start(input=INPUT)
            steps = [event["step"] async for event in thread.extensions["progress"]]
            assert steps == ["stream_message"] * 2 + ["call_tool"] * 2 + ["ask_human"]


@transports
@pytest.mark.anyio
async def test_tools_and_sub_agents(url: str, transport: Any) -> None:
    message = {"messages": [{"role": "user", "content": "search for v3"}]}
    async with get_client(url=url, api_key=None) as client:
        opened = client.threads.stream(assistant_id="tools_agent", transport=transport)
        async with opened as thread:
            await thread.run.start(input=message)
            calls = [call async for call in thread.tool_calls]
            assert "search" in {call.name for call in calls}
            assert (await calls[0].output)["status"] == "success"
        opened = client.threads.stream(assistant_id="deep_agent", transport=transport)
        async with opened as thread:
            await thread.run.start(input=message)
            below = [handle async for handle in thread.subgraphs]
            assert [handle.graph_name for handle in below] == ["tools"]


@pytest.mark.anyio
async def test_who_comes_later_reads_the_same_events(url: str) -> None:
    async with get_client(url=url, api_key=None) as client:
        thread_id = str(uuid.uuid4())
        told: list[list[dict[str, Any]]] = [[], []]
        for events in told:
            opened = client.threads.stream(thread_id, assistant_id="tools_agent")
            async with opened as thread:
                if events is told[0]:
                    await thread.run.start(input={"messages": []})
                async for event in thread.events:
                    events.append(event)
                    data = event["params"]["data"]
                    at_root = not event["params"]["namespace"]
                    if event["method"] == "lifecycle" and at_root and data["event"] != "running":
                        break
        assert told[0] == told[1]
        numbers = [event["seq"] for event in told[0]]
        assert numbers == sorted(set(numbers))


@pytest.mark.anyio
async def test_a_remote_graph_is_answered_in_another_session(url: str) -> None:
    remote = RemoteGraph("agent", client=get_client(url=url), sync_client=get_sync_client(url=url))
    config = {"configurable": {"thread_id": str(uuid.uuid4())}}
    async with await remote.astream_events(INPUT, config=config, version="v3") as stream:
        async for _ in stream.values:
            if await stream.interrupted():
                break
        assert await stream.interrupted()
    answer = Command(resume="yes")
    async with await remote.astream_events(answer, config=config, version="v3") as stream:
        assert (await stream.output())["items"] == ITEMS
