// The event protocol as the stock client speaks it, against a server that runs already: its
// address is in GENESIS_MESH_URL. Release 2.0.0 of the client does not speak it; the last one
// before does.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Client } from "langgraph-sdk-1";

const client = new Client({ apiUrl: process.env.GENESIS_MESH_URL, apiKey: null });
const INPUT = { messages: [], value: "init", items: [] };
const ITEMS = ["streamed", "tool", "asked", "sub"];

const listed = async (iterable, each = (item) => item) => {
  const items = [];
  for await (const item of iterable) items.push(await each(item));
  return items;
};

for (const transport of ["sse", "websocket"]) {
  const skip = transport === "websocket" && globalThis.WebSocket === undefined;

  test(`${transport}: a run is told, asks, is answered and ends`, { skip }, async () => {
    const thread = client.threads.stream({ assistantId: "agent", transport });
    const told = await thread.subscribe({ channels: ["lifecycle", "values", "updates"] });
    const messages = listed(thread.messages, (message) => message.text);
    const values = listed(thread.values, (state) => state.items);
    const progress = await thread.subscribe({ channels: ["custom:progress"] });
    const { run_id } = await thread.run.start({ input: INPUT });
    assert.ok(run_id);
    assert.deepEqual((await values).at(-1), ["streamed", "tool"]);
    assert.deepEqual(await messages, ["Hello, world!"]);
    assert.equal(thread.interrupted, true);
    const [asked] = thread.interrupts;
    assert.equal(asked.payload, "Are we good?");
    const before = await listed(told, (event) => event.method);
    assert.equal(before[0], "lifecycle");
    assert.ok(before.includes("updates"));
    const steps = await listed(progress, (event) => event.step ?? event.params?.data.step);
    assert.equal(steps.length, 5);
    const { tree } = await thread.agent.getTree();
    assert.deepEqual([tree.status, tree.graph_name], ["interrupted", "agent"]);
    const state = await thread.state.get({ namespace: [], keys: ["items"] });
    assert.deepEqual(state.values, { items: ["streamed", "tool"] });

    await thread.input.respond({
      namespace: asked.namespace,
      interrupt_id: asked.interruptId,
      response: "yes",
    });
    const after = await listed(told);
    const ends = after.filter((event) => event.method === "lifecycle");
    assert.equal(ends.at(-1).params.data.event, "completed");
    const atRoot = ({ method, params }) => method === "values" && !params.namespace.length;
    const last = after.filter(atRoot);
    assert.deepEqual(last.at(-1).params.data.items, ITEMS);
    const numbers = after.map((event) => event.seq);
    assert.deepEqual(numbers, [...numbers].sort((a, b) => a - b));
    await thread.close();

    // Who comes later finds the same.
    const late = client.threads.stream(thread.threadId, { assistantId: "agent", transport });
    const again = await late.subscribe({ channels: ["values"] });
    const found = [];
    for await (const event of again) {
      found.push(event);
      if (event.event_id === last.at(-1).event_id) break;
    }
    const ids = after.filter((event) => event.method === "values").map((event) => event.event_id);
    assert.deepEqual(found.map((event) => event.event_id).slice(-ids.length), ids);
    await late.close();
  });

  test(`${transport}: tools and sub-agents are told`, { skip }, async () => {
    const tools = client.threads.stream({ assistantId: "tools_agent", transport });
    const called = async (call) => [call.name, (await call.output) !== undefined];
    const calls = listed(tools.toolCalls, called);
    await tools.run.start({ input: { messages: [{ role: "user", content: "search for v3" }] } });
    const named = await calls;
    assert.ok(named.length > 0 && named.every(([name, found]) => name === "search" && found));
    assert.ok((await tools.output).messages.length > 3);
    await tools.close();

    const deep = client.threads.stream({ assistantId: "deep_agent", transport });
    const told = await deep.subscribe({ channels: ["lifecycle"] });
    await deep.run.start({ input: { messages: [{ role: "user", content: "research it" }] } });
    const events = await listed(told);
    const below = events.filter(({ params }) => params.namespace.length).map((e) => e.params.data);
    assert.deepEqual(below.map((data) => data.event), ["started", "completed"]);
    assert.equal(below[0].graph_name, "researcher");
    assert.deepEqual(below[0].cause, { type: "toolCall", tool_call_id: "tc-task-1" });
    await deep.close();
  });
}

test("what a thread refuses has a code", async () => {
  const thread = client.threads.stream({ assistantId: "agent" });
  const refused = (promise) => promise.then(() => "done", (error) => error.code ?? error.message);
  assert.match(await refused(thread.agent.getTree()), /no_such_run/);
  const respond = { namespace: [], interrupt_id: "x", response: 1 };
  assert.match(await refused(thread.input.respond(respond)), /no_such_run/);
  assert.match(await refused(thread.input.inject({ namespace: [], message: {} })), /unknown_command/);
  await thread.close();
});
