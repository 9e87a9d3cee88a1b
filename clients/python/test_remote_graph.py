"""`RemoteGraph`: a graph on the server as a graph, and as a node, of a Python program."""

import operator
from typing import Annotated, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.pregel.remote import RemoteGraph
from langgraph_sdk import get_client, get_sync_client


class Log(TypedDict):
    log: Annotated[list[str], operator.add]


@pytest.fixture
def remote(url: str) -> RemoteGraph:
    return RemoteGraph("noop3", client=get_client(url=url), sync_client=get_sync_client(url=url))


def test_it_is_invoked_streamed_and_drawn(remote: RemoteGraph, url: str) -> None:
    assert remote.invoke({"log": []}) == {"log": ["a", "b", "c"]}
    thread = get_sync_client(url=url).threads.create()["thread_id"]
    config = {"configurable": {"thread_id": thread}}
    updates = list(remote.stream({"log": ["x"]}, config, stream_mode="updates"))
    assert updates == [{name: {"log": [name]}} for name in "abc"]
    state = remote.get_state(config)
    assert (state.values, state.next) == ({"log": ["x", "a", "b", "c"]}, ())
    assert [one.metadata["step"] for one in remote.get_state_history(config)] == [3, 2, 1, 0, -1]
    remote.update_state(config, {"log": ["y"]}, as_node="b")
    assert remote.get_state(config).next == ("c",)
    assert remote.invoke(None, config) == {"log": ["x", "a", "b", "c", "y", "c"]}
    assert set(remote.get_graph().nodes) == {"__start__", "a", "b", "c", "__end__"}


def test_it_is_a_node_of_a_local_graph(remote: RemoteGraph) -> None:
    graph = StateGraph(Log)
    graph.add_node("before", lambda _: {"log": ["before"]})
    graph.add_node("remote", remote)
    graph.add_edge(START, "before")
    graph.add_edge("before", "remote")
    graph.add_edge("remote", END)
    app = graph.compile()
    values = app.invoke({"log": []})
    assert values["log"][-4:] == ["before", "a", "b", "c"]
    seen = list(app.stream({"log": []}, stream_mode="updates", subgraphs=True))
    assert [list(update) for ns, update in seen if ns] == [["a"], ["b"], ["c"]]


@pytest.mark.anyio
async def test_it_is_awaited(remote: RemoteGraph) -> None:
    assert await remote.ainvoke({"log": ["z"]}) == {"log": ["z", "a", "b", "c"]}
