"""The stack that the plain socket is held against: FastAPI and uvicorn, nothing behind them."""

import asyncio
import time

from fastapi import FastAPI, WebSocket

app = FastAPI()


@app.get("/ok")
async def ok() -> dict[str, bool]:
    return {"ok": True}


@app.websocket("/ws/tokens200")
async def tokens(socket: WebSocket) -> None:
    await socket.accept()
    asked = await socket.receive_json()
    interval = asked.get("interval_us", 0) / 1e6
    due = time.monotonic()
    for _ in range(asked["n"]):
        if interval:
            due += interval
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        said = f"t{time.monotonic_ns()} "
        await socket.send_json({"content": said, "p": "x" * (130 - 20 - len(said))})
    await socket.close(1000)
