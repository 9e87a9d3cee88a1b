"""The two graphs that are measured, for LangGraph's own server."""

import operator
from collections.abc import AsyncIterator
from typing import Annotated, Any, TypedDict

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langgraph.graph import END, START, MessagesState, StateGraph

TOKENS = 200


class Log(TypedDict):
    log: Annotated[list[str], operator.add]


def letter(name: str):
    async def node(_: Log) -> Log:
        return {"log": [name]}

    return node


def three_nodes():
    graph = StateGraph(Log)
    for name in "abc":
        graph.add_node(name, letter(name))
    graph.add_edge(START, "a")
    graph.add_edge("a", "b")
    graph.add_edge("b", "c")
    graph.add_edge("c", END)
    return graph.compile(name="noop3")


class Counting(BaseChatModel):
    """A model that says its tokens as fast as it can."""

    @property
    def _llm_type(self) -> str:
        return "counting"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        text = "".join(f"t{index} " for index in range(TOKENS))
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])

    async def _astream(
        self, messages: list[BaseMessage], *_: Any, run_manager: Any = None, **__: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for index in range(TOKENS):
            chunk = ChatGenerationChunk(message=AIMessageChunk(f"t{index} "))
            if run_manager:
                await run_manager.on_llm_new_token(f"t{index} ", chunk=chunk)
            yield chunk


def tokens():
    model = Counting()

    async def writer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("writer", writer)
    graph.add_edge(START, "writer")
    graph.add_edge("writer", END)
    return graph.compile(name="tokens200")


noop3 = three_nodes()
tokens200 = tokens()
