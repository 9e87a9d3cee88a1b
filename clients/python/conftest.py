"""A stock client against a server that runs already: its address is in GENESIS_MESH_URL.

Every test runs twice, with the client that awaits and with the one that does not; `done` and
`listed` take what either gives.
"""

import inspect
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from langgraph_sdk import get_client, get_sync_client

URL = os.environ["GENESIS_MESH_URL"]
END_WAIT = 30.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def url() -> str:
    return URL


@pytest.fixture(params=["async", "sync"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    if request.param == "async":
        async with get_client(url=URL, api_key=None) as client:
            yield client
    else:
        with get_sync_client(url=URL, api_key=None) as client:
            yield client


async def done(given: Any) -> Any:
    """The result of a call."""
    return await given if inspect.isawaitable(given) else given


async def listed(stream: Any) -> list[Any]:
    """Everything that a stream gives until its end."""
    stream = await done(stream)
    if hasattr(stream, "__aiter__"):
        return [part async for part in stream]
    return list(stream)


async def until(call: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool]) -> Any:
    """What the call gives once it holds."""
    deadline = time.monotonic() + END_WAIT
    while True:
        seen = await call()
        if holds(seen):
            return seen
        assert time.monotonic() < deadline, f"still {seen}"
        time.sleep(0.02)


async def ended(client: Any, run: dict[str, Any]) -> dict[str, Any]:
    """The run once it has ended."""

    async def get() -> dict[str, Any]:
        return await done(client.runs.get(run["thread_id"], run["run_id"]))

    return await until(get, lambda run: run["status"] not in ("pending", "running"))
