// The network goes away for a minute in the middle of a stream, and comes back.

import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { api, eventually, world } from "./harness.mjs";

/** How long there is no network, in seconds. Fewer, where one has no patience. */
const CUT_S = Number(process.env.STUDIO_CUT_S ?? 60);
/** Pieces of text a second. */
const RATE = 20;

const { server, chromium } = await world();
const proxy = await proxied(server.port);
after(() => proxy.close());

/** A way to a port that can be cut: what is open breaks, and what is opened is broken at once. */
async function proxied(port) {
  const open = new Set();
  let cut = false;
  const listener = createServer((socket) => {
    if (cut) return socket.destroy();
    const on = connect(port, "127.0.0.1");
    for (const one of [socket, on]) {
      open.add(one);
      one.on("error", () => {});
      one.on("close", () => {
        open.delete(one);
        socket.destroy();
        on.destroy();
      });
    }
    socket.pipe(on).pipe(socket);
  });
  await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const breakAll = () => open.forEach((one) => one.destroy());
  return {
    url: `http://127.0.0.1:${listener.address().port}`,
    cut() {
      cut = true;
      breakAll();
    },
    mend() {
      cut = false;
    },
    close() {
      breakAll();
      listener.close();
    },
  };
}

test(`no event is missing after ${CUT_S} seconds without a network, and the pill tells of it`, async () => {
  const pieces = (CUT_S + 20) * RATE;
  const { thread_id: thread } = await api(server, "/threads", {});
  const { run_id: run } = await api(server, `/threads/${thread}/runs`, {
    assistant_id: "tokens200", input: { messages: [], n: pieces, interval_us: 1_000_000 / RATE }, stream_mode: ["tasks", "messages-tuple"],
  });
  // The page knows no other way than the one that is cut.
  const page = await chromium.open({ ...server, url: proxy.url }, `/threads/${thread}?run=${run}&view=text`, { expectErrors: true });
  const log = page.getByRole("log", { name: "Text of the run" });
  const tokens = async () => (await log.getByRole("article").innerText()).split(/\s+/).filter((it) => /^t\d{6,}$/.test(it));
  await eventually(async () => (await log.getByRole("article").count()) === 1 && (await tokens()).length > RATE, true);
  const pill = page.locator("header").getByRole("status").first();
  await page.evaluate(() => {
    window.told = [];
    const pill = document.querySelector("header [role=status]");
    new MutationObserver(() => window.told.push(pill.textContent)).observe(pill, { childList: true, subtree: true, characterData: true });
  });

  proxy.cut();
  const since = Date.now();
  await page.getByText(/Reconnecting/).waitFor();
  await page.getByText(/^as of \d/).waitFor();
  const before = (await tokens()).length;
  // What is there can still be read, and the button tries at once.
  await page.getByRole("tab", { name: "Both" }).click();
  await page.getByRole("tree", { name: "Steps" }).waitFor();
  const tried = async () => Number(/try (\d+)/.exec(await pill.innerText())?.[1] ?? 0);
  const sofar = await tried();
  await page.getByRole("button", { name: "Now", exact: true }).click();
  await eventually(async () => (await tried()) > sofar, true);
  await delay(Math.max(0, since + CUT_S * 1_000 - Date.now()));
  assert.match(await pill.innerText(), /Reconnecting, try \d+ in \d+ s/);
  assert.equal((await tokens()).length, before);

  proxy.mend();
  await page.getByRole("button", { name: "Now", exact: true }).click();
  await page.getByText(/Caught up/).waitFor();
  const told = await page.evaluate(() => window.told);
  const [, events] = /^Caught up: ([\d,]+) events/.exec(told.find((it) => it.startsWith("Caught up"))) ?? [];
  // The server puts pieces together that are ready together; their numbers count all the same.
  assert.ok(Number(events.replaceAll(",", "")) > CUT_S * RATE * 0.8, `${events} events`);
  assert.ok(told.some((it) => it.startsWith("Catching up")), told.join(" | "));
  await page.getByText("Live", { exact: true }).waitFor();

  await eventually(async () => (await api(server, `/threads/${thread}/runs/${run}`)).status, "success");
  const { values } = await api(server, `/threads/${thread}/state`);
  const said = values.messages.at(-1).content.trim().split(/\s+/);
  assert.equal(said.length, pieces);
  await eventually(async () => (await tokens()).length, pieces);
  assert.deepEqual(await tokens(), said);
  await page.done();
});

test("a view for which the server puts pieces together says that it is slow, and is live again after", async () => {
  const page = await chromium.open(server, "/");
  const { thread_id: thread } = await api(server, "/threads", {});
  const { run_id: run } = await api(server, `/threads/${thread}/runs`, { assistant_id: "noop3", input: { log: [] }, after_seconds: 3_600 });
  const { version } = await api(server, "/info");
  let tell;
  await page.routeWebSocket(/\/ws$/, (socket) => {
    const say = (frame) => socket.send(JSON.stringify(frame));
    say({ type: "hello", protocol: "genesis-mesh.v1", server: "test", version, incarnation: 1, connection: "1", limits: {} });
    let seq = 0;
    socket.onMessage((message) => {
      const { op, id } = JSON.parse(String(message));
      const answers = { subscribe: { log: "1", after: 0, last: 0 }, watch: { since: "2026-01-01T00:00:00+00:00" }, ping: { at_ms: 0 } };
      say({ type: "ack", id, result: answers[op] ?? {} });
      if (op !== "subscribe") return;
      tell = (pieces) => {
        const from = seq + 1;
        seq += pieces;
        const data = [{ type: "AIMessageChunk", id: "m", content: `piece${seq} ` }, { langgraph_node: "writer" }];
        say({ type: "event", thread_id: thread, seq, ...(pieces > 1 && { from }), run_id: run, kind: "messages", step: 1, at_ms: Date.now(), data });
      };
    });
  });
  await page.goto(`${server.url}/studio/threads/${thread}?run=${run}&view=text`);
  await eventually(() => tell !== undefined, true);
  // One at a time is as it should be, however many they are.
  for (let place = 0; place < 40; place += 1) tell(1);
  await page.getByText("piece40").waitFor();
  assert.equal(await page.getByText("Slow view: text merged").count(), 0);
  await eventually(async () => {
    tell(20);
    return page.getByText("Slow view: text merged").count();
  }, 1);
  await page.getByText("Live", { exact: true }).waitFor();
  await page.done();
});

test("what is no longer kept when the connection is back is told, and everything is read anew", async () => {
  const page = await chromium.open(server, "/", { expectErrors: true });
  const { thread_id: thread } = await api(server, "/threads", {});
  const { run_id: run } = await api(server, `/threads/${thread}/runs`, { assistant_id: "noop3", input: { log: [] }, after_seconds: 3_600 });
  const { version } = await api(server, "/info");
  let first;
  await page.routeWebSocket(/\/ws$/, (socket) => {
    const say = (frame) => socket.send(JSON.stringify(frame));
    const piece = (seq) => say({
      type: "event", thread_id: thread, seq, run_id: run, kind: "messages", step: 1, at_ms: Date.now(),
      data: [{ type: "AIMessageChunk", id: "m", content: `piece${seq} ` }, { langgraph_node: "writer" }],
    });
    const isFirst = (first ??= socket) === socket;
    say({ type: "hello", protocol: "genesis-mesh.v1", server: "test", version, incarnation: 1, connection: "1", limits: {} });
    socket.onMessage((message) => {
      const { op, id, after = 0 } = JSON.parse(String(message));
      const answers = { subscribe: { log: "1", after, last: isFirst ? 3 : 11 }, watch: { since: "2026-01-01T00:00:00+00:00" }, ping: { at_ms: 0 } };
      say({ type: "ack", id, result: answers[op] ?? {} });
      if (op !== "subscribe") return;
      if (isFirst) for (const seq of [1, 2, 3]) piece(seq);
      else if (after < 9) say({ type: "gap", thread_id: thread, after, oldest: 10, last: 11, reason: "trimmed" });
      else for (const seq of [10, 11]) piece(seq);
    });
  });
  await page.goto(`${server.url}/studio/threads/${thread}?run=${run}&view=text`);
  const log = page.getByRole("log", { name: "Text of the run" });
  await log.getByText("piece1 piece2 piece3").waitFor();
  let reads = 0;
  page.on("request", (request) => (reads += request.method() === "GET" && request.url().endsWith(`/threads/${thread}`) ? 1 : 0));
  await first.close({ code: 1001 });
  await page.getByText("History trimmed; reloaded").waitFor();
  // Nothing of before stands beside what came after the gap as if it belonged together.
  await log.getByText("piece10 piece11").waitFor();
  assert.equal(await log.getByText("piece3").count(), 0);
  await eventually(() => reads > 0, true);
  await page.getByText("Live", { exact: true }).waitFor();
  await page.done();
});
