// The stock client, against a server that runs already: its address is in GENESIS_MESH_URL.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";

import { Client } from "@langchain/langgraph-sdk";

const client = new Client({ apiUrl: process.env.GENESIS_MESH_URL, apiKey: null });

const listed = async (stream) => {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
};

const ended = async (run) => {
  for (const until = Date.now() + 30_000; Date.now() < until; ) {
    const seen = await client.runs.get(run.thread_id, run.run_id);
    if (!["pending", "running"].includes(seen.status)) return seen;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail(`run ${run.run_id} does not end`);
};

const newThread = async () => (await client.threads.create()).thread_id;

test("assistants are made, found, changed and deleted", async () => {
  const mark = randomUUID();
  const made = await client.assistants.create({
    graphId: "noop3",
    name: "Mine",
    metadata: { mark },
    config: { configurable: { k: 1 } },
  });
  assert.deepEqual(made.context, { k: 1 });
  const found = await client.assistants.search({ metadata: { mark } });
  assert.deepEqual(found.map((one) => one.assistant_id), [made.assistant_id]);
  const changed = await client.assistants.update(made.assistant_id, { name: "Other" });
  assert.equal(changed.version, 2);
  const versions = await client.assistants.getVersions(made.assistant_id);
  assert.deepEqual(versions.map((one) => one.version), [2, 1]);
  const back = await client.assistants.setLatest(made.assistant_id, 1);
  assert.equal(back.name, "Mine");
  const drawing = await client.assistants.getGraph("noop3");
  assert.deepEqual(drawing.nodes.map((node) => node.id), ["__start__", "a", "b", "c", "__end__"]);
  const schemas = await client.assistants.getSchemas("noop3");
  assert.ok(schemas.state_schema.properties.log);
  const inside = await client.assistants.getSubgraphs("nested", { recurse: true });
  assert.deepEqual(Object.keys(inside).sort(), ["gp_two", "gp_two|p_two"]);
  await client.assistants.delete(made.assistant_id);
  await assert.rejects(client.assistants.get(made.assistant_id), /HTTP 404/);
});

test("threads are made, found, copied and deleted", async () => {
  const mark = randomUUID();
  const thread = await client.threads.create({ metadata: { mark } });
  await client.runs.wait(thread.thread_id, "noop3", { input: { log: [] } });
  const found = await client.threads.search({ metadata: { mark } });
  assert.deepEqual(found.map((one) => one.values), [{ log: ["a", "b", "c"] }]);
  const changed = await client.threads.update(thread.thread_id, { metadata: { more: 1 } });
  assert.equal(changed.metadata.more, 1);
  const copy = await client.threads.copy(thread.thread_id);
  const [ours, theirs] = await Promise.all(
    [thread, copy].map(async ({ thread_id }) =>
      (await client.threads.getHistory(thread_id)).map(({ values, next }) => ({ values, next })),
    ),
  );
  assert.deepEqual(ours, theirs);
  await client.threads.delete(copy.thread_id);
  await assert.rejects(client.threads.get(copy.thread_id), /HTTP 404/);
});

test("state is read, changed and forked", async () => {
  const thread = await newThread();
  await client.runs.wait(thread, "noop3", { input: { log: [] } });
  const [newest, beforeC] = await client.threads.getHistory(thread);
  assert.deepEqual(newest.values, { log: ["a", "b", "c"] });
  const at = await client.threads.getState(thread, beforeC.checkpoint);
  assert.deepEqual(at.next, ["c"]);
  const { checkpoint } = await client.threads.updateState(thread, {
    values: { log: ["!"] },
    asNode: "b",
    checkpoint: beforeC.checkpoint,
  });
  assert.equal(checkpoint.thread_id, thread);
  const values = await client.runs.wait(thread, "noop3", { input: null });
  assert.deepEqual(values, { log: ["a", "b", "!", "c"] });
});

test("a run streams its modes, numbered from nought", async () => {
  const thread = await newThread();
  let created;
  const parts = await listed(
    client.runs.stream(thread, "noop3", {
      input: { log: [] },
      streamMode: ["values", "updates"],
      onRunCreated: (run) => {
        created = run;
      },
    }),
  );
  assert.deepEqual(
    parts.map((part) => part.event),
    ["metadata", "values", "updates", "values", "updates", "values", "updates", "values"],
  );
  assert.deepEqual(parts.map((part) => part.id), parts.map((_, index) => String(index)));
  assert.equal(created.thread_id, thread);
  assert.equal(created.run_id, parts[0].data.run_id);
});

test("a stream is joined again from its beginning, frame for frame", async () => {
  const thread = await newThread();
  const stream = client.runs.stream(thread, "steps", {
    input: { n: 4, delay: 0.02 },
    streamMode: ["updates", "values"],
    streamResumable: true,
  });
  const live = await listed(stream);
  const replay = await listed(
    client.runs.joinStream(thread, live[0].data.run_id, { lastEventId: "-1" }),
  );
  assert.deepEqual(replay, live);
});

test("tokens come one by one", async () => {
  const parts = await listed(
    client.runs.stream(null, "tokens200", {
      input: { messages: [{ role: "human", content: "go" }], n: 20 },
      streamMode: "messages-tuple",
    }),
  );
  const text = parts.slice(1).map((part) => part.data[0].content).join("");
  assert.equal(text.trim().split(/\s+/).length, 20);
});

test("a question is answered", async () => {
  const thread = await newThread();
  const values = await client.runs.wait(thread, "agent", { input: { messages: [], value: "", items: [] } });
  assert.equal(values.__interrupt__[0].value, "Are we good?");
  const after = await client.runs.wait(thread, "agent", { command: { resume: "yes" } });
  assert.deepEqual(after.items, ["streamed", "tool", "asked", "sub"]);
});

test("runs are listed, cancelled and deleted", async () => {
  const thread = await newThread();
  const run = await client.runs.create(thread, "steps", {
    input: { n: 1000, delay: 0.01 },
    config: { recursion_limit: 10_000 },
  });
  await client.runs.cancel(thread, run.run_id, true);
  assert.equal((await ended(run)).status, "interrupted");
  const next = await client.runs.create(thread, "steps", { input: { n: 1, delay: 0 } });
  assert.equal((await ended(next)).status, "success");
  const runs = await client.runs.list(thread);
  assert.deepEqual(runs.map((one) => one.run_id), [next.run_id, run.run_id]);
  await client.runs.delete(thread, run.run_id);
  await assert.rejects(client.runs.get(thread, run.run_id), /HTTP 404/);
});

test("a failure is told", async () => {
  const thread = await newThread();
  const parts = await listed(client.runs.stream(thread, "error", { input: { messages: [] } }));
  assert.deepEqual(parts.at(-1).data, { error: "CustomError", message: "Boo!" });
  await assert.rejects(client.runs.wait(thread, "error", { input: { messages: [] } }), /Boo!/);
});

test("items are kept, searched and deleted", async () => {
  const space = ["tests", randomUUID()];
  for (const n of [0, 1, 2]) await client.store.putItem(space, `k${n}`, { n });
  const item = await client.store.getItem(space, "k1");
  assert.deepEqual(item.value, { n: 1 });
  assert.ok(item.createdAt <= item.updatedAt);
  const { items } = await client.store.searchItems(space, { filter: { n: { $gte: 1 } } });
  assert.deepEqual(items.map((one) => one.key).sort(), ["k1", "k2"]);
  const { namespaces } = await client.store.listNamespaces({ prefix: space });
  assert.deepEqual(namespaces, [space]);
  await client.store.deleteItem(space, "k1");
  assert.equal(await client.store.getItem(space, "k1"), null);
});
