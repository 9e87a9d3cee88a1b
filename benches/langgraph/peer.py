"""The cases on LangGraph, with the same options and the same line of JSON as `mesh-bench`."""

import argparse
import asyncio
import json
import operator
import resource
import sys
import time
import uuid
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, TypedDict

import uvloop
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Send

SAMPLE_S = 0.1
"""One sample takes at least this long: short runs are repeated."""

CANNOT_EXPRESS = 3
"""Exit status for a case that is not written down here."""


def sequential(nodes: int):
    """N nodes that do nothing, in a chain."""

    async def nothing(state: MessagesState) -> None:
        return None

    graph = StateGraph(MessagesState)
    before = START
    for number in range(nodes):
        graph.add_node(f"node_{number}", nothing)
        graph.add_edge(before, f"node_{number}")
        before = f"node_{number}"
    return graph, {"messages": []}, nodes, nodes


class Overall(TypedDict):
    subjects: list
    jokes: Annotated[list[str], operator.add]


class JokeInput(TypedDict):
    subject: Any


class JokeOutput(TypedDict):
    jokes: list[str]


class Joke(JokeInput, JokeOutput):
    pass


def fanout(sends: int):
    """K sends to a mounted graph of `edit`, `generate`, ten times `bump`."""

    async def edit(state: JokeInput):
        return {"subject": f"{state['subject']} - hohoho"}

    async def generate(state: JokeInput):
        return {"jokes": [f"Joke about {state['subject']}"]}

    async def bump(state: JokeOutput):
        return {"jokes": [state["jokes"][0] + " a"]}

    async def more(state: JokeOutput):
        return END if state["jokes"][0].endswith(" a" * 10) else "bump"

    child = StateGraph(Joke, input_schema=JokeInput, output_schema=JokeOutput)
    child.add_node("edit", edit)
    child.add_node("generate", generate)
    child.add_node("bump", bump)
    child.add_edge(START, "edit")
    child.add_edge("edit", "generate")
    child.add_edge("generate", "bump")
    child.add_conditional_edges("bump", more)

    async def spread(state: Overall):
        return [Send("generate_joke", {"subject": subject}) for subject in state["subjects"]]

    graph = StateGraph(Overall)
    graph.add_node("generate_joke", child.compile())
    graph.add_conditional_edges(START, spread, ["generate_joke"])
    graph.add_edge("generate_joke", END)
    letters = "abcdefghijklmnopqrstuvwxyz"
    subjects = [
        [letters[(send * 31 + place * place * 7) % 26] for place in range(1000)]
        for send in range(sends)
    ]
    return graph, {"subjects": subjects}, 13 * sends, 1 + 12 * sends


def newest(current, update):
    """The update if it is something, else what was there."""
    return update if update is not None else current


@dataclass(kw_only=True)
class Wide:
    messages: Annotated[list, operator.add] = field(default_factory=list)
    trigger_events: Annotated[list, operator.add] = field(default_factory=list)
    primary_issue_medium: Annotated[str, lambda x, y: y or x] = ""
    autoresponse: Annotated[dict | None, lambda _, y: y] = None
    issue: Annotated[dict | None, newest] = None
    relevant_rules: list | None = None
    memory_docs: list | None = None
    categorizations: Annotated[list, operator.add] = field(default_factory=list)
    responses: Annotated[list, operator.add] = field(default_factory=list)
    user_info: Annotated[dict | None, newest] = None
    crm_info: Annotated[dict | None, newest] = None
    email_thread_id: Annotated[str | None, newest] = None
    slack_participants: Annotated[dict, operator.or_] = field(default_factory=dict)
    bot_id: str | None = None
    notified_assignees: Annotated[dict, operator.or_] = field(default_factory=dict)


def wide_state(entries: int, limit: int):
    """15 channels, six nodes, two in parallel with a join, until there are enough messages."""

    def text(salt: int) -> str:
        letters = "abcdefghijklmnopqrstuvwxyz"
        return "".join(letters[(salt * 7 + p * p * 3 + p) % 26] for p in range(limit))

    async def one(state: Wide):
        return {
            "trigger_events": state.messages,
            "primary_issue_medium": text(len(state.messages)),
        }

    async def two(state: Wide):
        return {"autoresponse": state.trigger_events[-1], "issue": state.trigger_events[-1]}

    async def three(state: Wide):
        return {"relevant_rules": [state.autoresponse]}

    async def four(state: Wide):
        events = state.trigger_events
        return {"categorizations": events, "responses": events, "memory_docs": events}

    async def five(state: Wide):
        last = state.categorizations[-1]
        written = text(len(state.categorizations))
        return {
            "user_info": last,
            "crm_info": last,
            "email_thread_id": written,
            "slack_participants": last,
            "bot_id": written,
            "notified_assignees": last,
        }

    async def six(state: Wide):
        return {"messages": state.responses}

    graph = StateGraph(Wide)
    for node in (one, two, three, four, five, six):
        graph.add_node(node.__name__, node)
    graph.add_edge(START, "one")
    graph.add_edge("one", "two")
    graph.add_edge("two", "three")
    graph.add_edge("two", "four")
    graph.add_edge(["three", "four"], "five")
    graph.add_edge("five", "six")
    graph.add_conditional_edges(
        "six", lambda state: END if len(state.messages) > limit else "one", ["one", END]
    )
    outer, inner = {25: (5, 5), 15: (3, 5), 9: (3, 3)}[entries]
    values = ["hi?" * 10, True, 1, 6327816386138, None] * 5
    message = {str(i) * 10: {str(j) * 10: values for j in range(inner)} for i in range(outer)}
    messages, events, responses, loops = 1, 0, 0, 0
    while messages <= limit:
        events += messages
        responses += events
        messages += responses
        loops += 1
    return graph, {"messages": [message]}, 6 * loops, 5 * loops


def react(rounds: int, checkpointer):
    """A model that calls one tool K times: 3.6 kB into the tool and about 36 kB out."""
    from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
    from langchain_core.messages import AIMessage, HumanMessage
    from langchain_core.outputs import ChatGeneration, ChatResult
    from langchain_core.tools import StructuredTool
    from langgraph.prebuilt import create_react_agent

    class Scripted(FakeMessagesListChatModel):
        def bind_tools(self, tools, **kwargs):
            return self

        def _generate(self, messages, stop=None, run_manager=None, **kwargs):
            message = self.responses[self.i].model_copy()
            self.i = (self.i + 1) % len(self.responses)
            return ChatResult(generations=[ChatGeneration(message=message)])

    tool = StructuredTool.from_function(
        lambda query: f"result for query: {query}" * 10, name="lookup", description="Looks it up."
    )
    calls = [
        AIMessage(
            content="",
            id=str(uuid.uuid4()),
            tool_calls=[
                {"id": str(uuid.uuid4()), "name": "lookup", "args": {"query": str(uuid.uuid4()) * 100}}
            ],
        )
        for _ in range(rounds)
    ]
    model = Scripted(responses=[*calls, AIMessage(content="answer" * 100, id=str(uuid.uuid4()))])
    graph = create_react_agent(model, [tool], checkpointer=checkpointer)
    return graph, {"messages": [HumanMessage("hi?")]}, 2 * rounds + 1, 2 * rounds + 1


def load(case: str, checkpointer):
    """The compiled graph of a case with its input, node steps and supersteps."""
    if case.startswith("react_agent_"):
        return react(int(case.removeprefix("react_agent_").removesuffix("x")), checkpointer)
    if case.startswith("sequential_"):
        made = sequential(int(case.removeprefix("sequential_")))
    elif case.startswith("fanout_to_subgraph_"):
        made = fanout(int(case.removeprefix("fanout_to_subgraph_").removesuffix("x")))
    elif case.startswith("wide_state_"):
        entries, limit = case.removeprefix("wide_state_").split("x")
        made = wide_state(int(entries), int(limit))
    else:
        sys.exit(CANNOT_EXPRESS)
    graph, state, node_steps, supersteps = made
    return graph.compile(checkpointer=checkpointer), state, node_steps, supersteps


def status_kb(name: str) -> int:
    """A figure of this process as Linux tells it, in kB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    return 0


def cpu_s() -> float:
    """Processor time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def measure(options: argparse.Namespace, checkpointer) -> dict:
    """Takes the samples."""
    graph, state, node_steps, supersteps = load(options.case, checkpointer)

    async def once() -> None:
        config = {"configurable": {"thread_id": str(uuid.uuid4())}, "recursion_limit": 10**9}
        async for _ in graph.astream(state, config, stream_mode="updates"):
            pass

    base = status_kb("VmRSS:")
    await once()
    runs_s, cpus_s = [], []
    for _ in range(options.runs):
        began, cpu_began, runs = time.perf_counter(), cpu_s(), 0
        while time.perf_counter() - began < SAMPLE_S:
            await once()
            runs += 1
        runs_s.append((time.perf_counter() - began) / runs)
        cpus_s.append((cpu_s() - cpu_began) / runs)
    return {
        "stage": "engine",
        "peer": f"langgraph {version('langgraph')}",
        "mode": "async",
        "case": options.case,
        "ckpt": options.ckpt,
        "runs_s": runs_s,
        "cpu_s": cpus_s,
        "node_steps": node_steps,
        "supersteps": supersteps,
        "rss_base_kb": base,
        "rss_peak_kb": status_kb("VmHWM:"),
    }


async def run(options: argparse.Namespace) -> dict:
    """Opens the checkpointer and measures."""
    if options.ckpt == "none":
        return await measure(options, None)
    if options.ckpt == "memory":
        return await measure(options, InMemorySaver())
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    path = Path(options.dir) / f"langgraph-{uuid.uuid4()}.db"
    async with AsyncSqliteSaver.from_conn_string(str(path)) as saver:
        # The saver sets WAL by itself; how hard a commit is pressed to disk is chosen here.
        level = options.ckpt.removeprefix("sqlite-").upper()
        await saver.conn.execute(f"PRAGMA synchronous={level}")
        return await measure(options, saver)


def main() -> None:
    """Reads the options of `mesh-bench` and prints its line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", required=True)
    parser.add_argument(
        "--ckpt", choices=["none", "memory", "sqlite-normal", "sqlite-full"], default="none"
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--dir", required=True)
    options = parser.parse_args()
    Path(options.dir).mkdir(parents=True, exist_ok=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(run(options))))


if __name__ == "__main__":
    main()
