// Fills a server, so that one sees how the Studio bears it:
//
//   node scripts/seed.mjs http://127.0.0.1:8080 --threads 10000 --nodes 2000
//
// makes that many threads, and one run of that many nodes, and prints the id of its thread. The
// server has to be started with `--fixtures`. The same numbers make the same threads.

import { parseArgs } from "node:util";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { threads: { type: "string", default: "10000" }, nodes: { type: "string", default: "2000" } },
});
const [url = "http://127.0.0.1:8080"] = positionals;
/** Requests under way at once. */
const WIDTH = 16;
const WORDS = ["archive", "checkpoint", "draft", "index", "letter", "links", "migration", "outline", "report", "sources"];

async function ask(path, body) {
  const response = await fetch(url + path, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response.json();
}

/** A number from 0 up to 1 that follows from its place alone. */
function chance(place) {
  let bits = Math.imul(place + 1, 0x9e3779b1);
  bits = Math.imul(bits ^ (bits >>> 15), 0x85ebca6b);
  return ((bits ^ (bits >>> 13)) >>> 0) / 2 ** 32;
}

let next = 0;
const count = Number(values.threads);
await Promise.all(Array.from({ length: WIDTH }, async () => {
  for (let place = next++; place < count; place = next++) {
    const word = (salt) => WORDS[Math.floor(chance(place * 7 + salt) * WORDS.length)];
    await ask("/threads", {
      metadata: { title: `Thread ${place + 1}: ${word(1)} and ${word(2)}`, graph_id: "noop3", team: place % 3 ? "blue" : "green" },
    });
  }
}));

const nodes = Number(values.nodes);
if (nodes > 0) {
  const { thread_id: thread } = await ask("/threads", { metadata: { title: `A run of ${nodes} nodes` } });
  const { run_id: run } = await ask(`/threads/${thread}/runs`, {
    assistant_id: "steps", input: { n: nodes, delay: 0 }, config: { recursion_limit: nodes + 100 }, stream_mode: ["tasks"],
  });
  await (await fetch(`${url}/threads/${thread}/runs/${run}/join`)).text();
  console.log(thread);
}
