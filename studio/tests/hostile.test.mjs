// What models and sources write changes nothing outside its own card.

import assert from "node:assert/strict";
import { test } from "node:test";
import { api, world } from "./harness.mjs";

const { server, chromium } = await world();

const TEXTS = {
  "scripts and handlers": '<script>window.hit = 1</script><img src=x onerror="window.hit = 1"><iframe srcdoc="<script>parent.hit=1</script>"></iframe> [press](javascript:window.hit=1) [data](data:text/html,x)',
  "pictures and links from elsewhere": "![pixel](https://tracker.example/p.png) [shop](https://shop.example/x) <https://auto.example>",
  "text that turns around": "safe \u202Egnp.exe\u202C \u2066hidden\u2069 ".repeat(20),
  "deep nesting": `${"> ".repeat(400)}deep`,
  "a wide table": `|${" a |".repeat(300)}\n|${"---|".repeat(300)}\n|${" b |".repeat(300)}`,
};

test("hostile texts are text", async () => {
  const page = await chromium.open(server, "/");
  for (const [name, text] of Object.entries(TEXTS)) {
    const { thread_id: thread } = await api(server, "/threads", { metadata: { title: text.slice(0, 300), graph_id: "noop3" } });
    await api(server, `/threads/${thread}/runs/wait`, {
      assistant_id: "agent", input: { messages: [{ role: "user", content: text }] }, stream_mode: ["tasks", "messages-tuple"],
    });
    await page.goto(`${server.url}/studio/threads/${thread}`);
    await page.getByRole("tree", { name: "Steps" }).waitFor();
    await page.getByRole("tablist", { name: "Views of the state" }).getByRole("tab", { name: "JSON" }).click();
    await page.getByLabel("State as JSON").waitFor();
    assert.equal(await page.evaluate(() => window.hit), undefined, name);
    assert.equal(await page.locator("main iframe, main script, main img").count(), 0, name);
    const { wide, tall } = await page.evaluate(() => ({ wide: document.documentElement.scrollWidth - innerWidth, tall: document.documentElement.scrollHeight - innerHeight }));
    assert.ok(wide <= 0 && tall <= 0, `${name}: the page grows by ${wide} and ${tall}`);
  }
  await page.done();
});

test("Markdown of a post keeps to its card: no markup, no picture, hosts beside links", async () => {
  const hostile = Object.values(TEXTS).join("\n\n");
  const { thread_id: thread } = await api(server, "/threads", {});
  await api(server, `/threads/${thread}/runs/wait`, {
    assistant_id: "blogger", stream_mode: ["tasks", "custom"], stream_subgraphs: true,
    input: { topic: "Crash recovery", mode: "extractive", sources: { search: false, notes: [`# Crash recovery\n\nA crash is survived by saving checkpoints often and early. ${hostile}\n\nA checkpoint holds the state of a run after every superstep. The state is read again after the crash. The next process goes on from the last checkpoint.`] } },
  });
  const page = await chromium.open(server, `/threads/${thread}?view=text`);
  await page.getByRole("log", { name: "Text of the run" }).getByRole("article").first().waitFor();
  assert.equal(await page.evaluate(() => window.hit), undefined);
  assert.equal(await page.locator("main img, main iframe, main script").count(), 0);
  const links = await page.locator("main [role=log] a").evaluateAll((all) => all.map((it) => ({ href: it.href, rel: it.rel, text: it.textContent })));
  for (const { href, rel, text } of links) {
    assert.match(href, /^https?:/);
    assert.match(rel, /noopener noreferrer/);
    assert.ok(text.includes(new URL(href).host), text);
  }
  await page.done();
});

test("a line of five megabytes does not stop the page", async () => {
  const { thread_id: thread } = await api(server, "/threads", { metadata: { graph_id: "steps" } });
  await api(server, `/threads/${thread}/runs/wait`, { assistant_id: "steps", input: { n: 1, delay: 0, pad: 5_000_000 }, stream_mode: ["tasks"] });
  const page = await chromium.open(server, `/threads/${thread}?tab=json`);
  await page.getByLabel("State as JSON").waitFor();
  const began = Date.now();
  await page.getByRole("tab", { name: "State" }).click();
  await page.getByRole("heading", { name: "log" }).waitFor();
  assert.ok(Date.now() - began < 5_000);
  await page.done();
});
