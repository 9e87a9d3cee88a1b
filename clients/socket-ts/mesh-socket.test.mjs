// The TypeScript client of the native socket against a running server with the fixture graphs:
// `GENESIS_MESH_URL`. Run with `node --test` after `tsc`; Node before 22 wants
// `--experimental-websocket`.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { MeshError, MeshSocket, patched } from "./built/mesh-socket.js";

const url = `${process.env.GENESIS_MESH_URL.replace(/^http/, "ws")}/ws`;
// A cut is over at once.
const options = { random: () => -1, ping_every_ms: 0 };
let mesh;

before(() => {
  mesh = new MeshSocket(url, options);
});
after(() => mesh.close());

const speaking = (n, interval_us) => ({
  assistant_id: "tokens200",
  input: { messages: [], n, interval_us },
  stream_mode: ["values", "updates", "messages-tuple"],
  on_completion: "keep",
});

async function read(events, run_id) {
  const read = [];
  for await (const item of events) {
    read.push(item);
    if (item.type === "event" && item.kind === "ended" && item.run_id === run_id) break;
  }
  return read;
}

test("a run is started and read to its end", async () => {
  assert.ok((await mesh.ping()) < 5000);
  assert.equal(mesh.state.kind, "live");
  assert.equal(mesh.hello.protocol, "genesis-mesh.v1");
  const { run_id, thread_id, events } = await mesh.start(
    { assistant_id: "noop3", input: {}, stream_mode: ["updates"], on_completion: "keep" },
    { follow: {} },
  );
  const items = await read(events, run_id);
  assert.deepEqual(
    items.map((item) => [item.seq, item.kind, item.node, item.ns]),
    [
      [1, "begun", "noop3", []],
      [2, "updates", "a", []],
      [3, "updates", "b", []],
      [4, "updates", "c", []],
      [5, "ended", "noop3", []],
    ],
  );
  const late = mesh.subscribe(thread_id, { snapshot: true });
  const { value: snapshot } = await late.next();
  assert.deepEqual(snapshot.thread.values, { log: ["a", "b", "c"] });
  assert.ok(late.caught_up);
  late.close();
});

test("what was read over cuts is the log, and states are whole", async () => {
  const other = new MeshSocket(url, { ...options, queue: 16 });
  const { run_id, thread_id, log, events } = await other.start(speaking(1500, 400), {
    follow: { patch: true },
  });
  let cuts = 0;
  // Not for ever: a machine that is busy may need longer for a connection than is between two cuts.
  const cutting = setInterval(() => {
    cuts += 1;
    other.cut();
    if (cuts === 60) clearInterval(cutting);
  }, 15);
  const over_cuts = await read(events, run_id);
  clearInterval(cutting);
  other.close();
  const whole = mesh.subscribe(thread_id, { cursor: { log, seq: 0 } });
  assert.deepEqual(over_cuts, await read(whole, run_id));
  assert.ok(cuts > 5, `${cuts}`);
  assert.deepEqual(
    over_cuts.map((event) => event.seq),
    over_cuts.map((_, index) => index + 1),
  );
});

test("a call that was cut off is carried out once", async () => {
  const other = new MeshSocket(url, options);
  await other.ping();
  const starting = other.start({ assistant_id: "noop3", input: {}, on_completion: "keep" }, { follow: { modes: [] } });
  other.cut();
  const { run_id, thread_id, events } = await starting;
  assert.deepEqual(
    (await read(events, run_id)).map((event) => event.kind),
    ["begun", "ended"],
  );
  const state = other.update(thread_id, { log: ["by hand"] }, "c");
  other.cut();
  await assert.rejects(state, (error) => error instanceof MeshError && error.code === "connection_lost");
  other.close();
});

test("a question is answered, once", async () => {
  const { run_id, thread_id, events } = await mesh.start(
    { assistant_id: "agent", input: { messages: [] }, stream_mode: ["updates"], on_completion: "keep" },
    { follow: { modes: [] } },
  );
  await read(events, run_id);
  const answered = await mesh.answer(thread_id, "yes", { follow: {} });
  const said = (await read(answered.events, answered.run_id)).find((event) => event.node === "ask_human");
  assert.equal(said.data.ask_human.messages[0].content, "Human said: yes");
  await assert.rejects(mesh.answer(thread_id, "again"), { code: "no_question", pointer: "/answer" });
});

test("a gap is told, and a snapshot follows", async () => {
  const { run_id, thread_id, events } = await mesh.start(
    { assistant_id: "noop3", input: {}, on_completion: "keep" },
    { follow: { modes: [] } },
  );
  await read(events, run_id);
  const lost = mesh.subscribe(thread_id, { cursor: { log: "of another database", seq: 1 } });
  const { value: gap } = await lost.next();
  const { value: snapshot } = await lost.next();
  assert.deepEqual([gap.type, gap.reason, snapshot.type], ["gap", "other_log", "snapshot"]);
  assert.equal(lost.cursor.seq, snapshot.seq);
  lost.close();
});

test("threads that change are told, also after a cut", async () => {
  const other = new MeshSocket(url, options);
  const changes = other.watch();
  await other.ping();
  const wait_for = async (thread_id) => {
    for await (const change of changes) if (change.thread_id === thread_id) return change;
    throw new Error("nothing comes any more");
  };
  const start = () => mesh.start({ assistant_id: "noop3", input: {}, on_completion: "keep" });
  const first = await start();
  const change = await changes.next();
  assert.equal(change.value.type, "thread");
  other.cut();
  const second = await start();
  assert.equal((await wait_for(second.thread_id)).thread.thread_id, second.thread_id);
  assert.ok(first.thread_id);
  other.close();
});

test("a thread that is not there ends its iterator with the error", async () => {
  const nobody = mesh.subscribe("00000000-0000-4000-8000-000000000000");
  await assert.rejects(nobody.next(), { code: "thread_not_found" });
});

test("states are put together from differences", () => {
  const old = { a: [1, 2, { b: 1 }], "c/d": 1, e: { f: 1 } };
  const now = patched(old, [
    { op: "replace", path: "/a/2/b", value: 2 },
    { op: "add", path: "/a/1", value: 9 },
    { op: "remove", path: "/a/0" },
    { op: "add", path: "/c~1d", value: 3 },
    { op: "remove", path: "/e/f" },
    { op: "add", path: "/a/-", value: "last" },
  ]);
  assert.deepEqual(now, { a: [9, 2, { b: 2 }, "last"], "c/d": 3, e: {} });
  assert.deepEqual(old, { a: [1, 2, { b: 1 }], "c/d": 1, e: { f: 1 } });
  assert.deepEqual(patched(1, [{ op: "replace", path: "", value: { a: 1 } }]), { a: 1 });
});
