// Much of everything stays smooth: ten thousand threads, a run of two thousand nodes, and eight
// streams of a hundred pieces a second. Figures are printed.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, readdir } from "node:fs/promises";
import { after, before, test } from "node:test";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { api, browser, eventually, serve } from "./harness.mjs";

const THREADS = 10_000;
const NODES = 2_000;
const STREAM_SECONDS = 6;
/** What the machine may be slower than the one that the budget is for. Figures are printed as they are. */
const SLACK = Number(process.env.STUDIO_SLACK ?? 6);

let server, chromium, thread;
before(async () => {
  server = await serve();
  chromium = await browser();
  const script = new URL("../scripts/seed.mjs", import.meta.url).pathname;
  const { stdout } = await promisify(execFile)("node", [script, server.url, "--threads", String(THREADS), "--nodes", String(NODES)]);
  thread = stdout.trim();
});
after(async () => {
  await chromium?.close();
  await server?.remove();
});

/** Tasks of the page that took longer than 50 ms, from now on. */
async function watchLongTasks(page) {
  await page.evaluate(() => {
    window.longTasks = [];
    new PerformanceObserver((list) => window.longTasks.push(...list.getEntries().map((it) => Math.round(it.duration)))).observe({ type: "longtask" });
  });
  return () => page.evaluate(() => window.longTasks);
}

test("the script of the Studio is below 350 KB, compressed, all screens together", async () => {
  const { url } = server;
  const page = await (await fetch(`${url}/studio/`)).text();
  const first = [...page.matchAll(/\/studio\/assets\/([^"]+\.js)/g)].map((it) => it[1]);
  const folder = process.env.STUDIO_ASSETS ?? new URL("../../crates/mesh-studio/assets", import.meta.url).pathname;
  const names = (await readdir(join(folder, "assets"))).filter((it) => it.endsWith(".js"));
  const sizes = new Map(await Promise.all(names.map(async (name) => [name, gzipSync(await readFile(join(folder, "assets", name))).length])));
  const sum = (of) => of.reduce((total, name) => total + sizes.get(name), 0);
  const total = sum(names);
  console.log(`script: ${Math.round(total / 1024)} KiB compressed in ${names.length} files, ${Math.round(sum(first) / 1024)} KiB before the first screen`);
  assert.ok(total > 50_000 && total < 350 * 1024, String(total));
});

test("the first view is there within a second", async () => {
  const page = await chromium.open(server, "/");
  await page.getByRole("heading", { level: 1 }).waitFor();
  const paint = await page.evaluate(() => Math.round(performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0));
  console.log(`first view: ${paint} ms`);
  assert.ok(paint < 1_000 * SLACK, `${paint} ms`);
  await page.done();
});

test("ten thousand threads scroll and filter", async () => {
  const page = await chromium.open(server, "/threads");
  const list = page.getByRole("list", { name: "Threads" });
  await list.getByRole("link").first().waitFor();
  const longTasks = await watchLongTasks(page);
  // To the end, page by page, as a reader would.
  const box = page.locator("ul[aria-label=Threads]").locator("..");
  const began = Date.now();
  for (;;) {
    const { at, of } = await box.evaluate((it) => {
      it.scrollTop += it.clientHeight * 4;
      return { at: it.scrollTop + it.clientHeight, of: it.scrollHeight };
    });
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)));
    if (of - at < 2 && of >= 36 * THREADS) break;
    assert.ok(Date.now() - began < 240_000, `only ${Math.round(of / 36)} rows came`);
  }
  const rendered = await list.getByRole("link").count();
  assert.ok(rendered < 100, `${rendered} rows are in the page`);
  await page.getByRole("searchbox", { name: "Filter by words or id" }).fill("thread 4711:");
  await list.getByRole("link", { name: /^Thread 4711:/ }).waitFor();
  const long = await longTasks();
  console.log(`10,000 threads: read and scrolled in ${Date.now() - began} ms, longest task ${Math.max(0, ...long)} ms`);
  assert.ok(Math.max(0, ...long) < 100 * SLACK, long.join());
  await page.done();
});

test("a run of two thousand nodes is walked through", async () => {
  const page = await chromium.open(server, `/threads/${thread}`);
  const began = Date.now();
  await page.getByRole("treeitem", { name: new RegExp(`^step ${NODES} step`) }).waitFor();
  const ready = Date.now() - began;
  const longTasks = await watchLongTasks(page);
  const rows = await page.getByRole("treeitem").count();
  assert.ok(rows < 120, `${rows} rows are in the page`);
  for (let step = 0; step < 20; step += 1) await page.keyboard.press("[");
  await page.getByText(`Viewing step ${NODES - 20} of`).waitFor();
  await page.getByRole("slider", { name: "Moment" }).fill("10");
  await page.getByText(/Viewing step 1\d of/).waitFor();
  const long = await longTasks();
  console.log(`2,000 nodes: shown after ${ready} ms, longest task ${Math.max(0, ...long)} ms`);
  assert.ok(Math.max(0, ...long) < 150 * SLACK, long.join());
  await page.done();
});

test("eight streams of a hundred pieces a second hold nobody up", async () => {
  const page = await chromium.open(server, "/");
  const { thread_id: own } = await api(server, "/threads", {});
  // A run that does not begin while one looks: what it tells is made here, at a known pace.
  const { run_id: run } = await api(server, `/threads/${own}/runs`, { assistant_id: "noop3", input: { log: [] }, after_seconds: 3_600 });
  await page.routeWebSocket(/\/ws$/, (socket) => {
    const say = (frame) => socket.send(JSON.stringify(frame));
    say({ type: "hello", protocol: "genesis-mesh.v1", server: "test", version: "1", incarnation: 1, connection: "1", limits: {} });
    let seq = 0;
    const tell = (kind, data) => say({ type: "event", thread_id: own, seq: (seq += 1), run_id: run, kind, step: 1, at_ms: Date.now(), data });
    socket.onMessage((message) => {
      const { op, id } = JSON.parse(String(message));
      const answers = { subscribe: { log: "1", after: 0, last: 0 }, watch: { since: "2026-01-01T00:00:00+00:00" }, ping: { at_ms: Date.now() } };
      say({ type: "ack", id, result: answers[op] ?? {} });
      if (op !== "subscribe") return;
      const began = Date.now();
      let told = 0;
      const timer = setInterval(() => {
        // As many as are due, whatever the timer does.
        const due = Math.min(STREAM_SECONDS * 100, Math.floor((Date.now() - began) / 10));
        for (; told < due; told += 1) {
          for (let stream = 0; stream < 8; stream += 1) {
            const content = told % 25 === 24 ? ".\n\n" : `word${told} `;
            tell("messages", [{ type: "AIMessageChunk", id: `m${stream}`, content }, { langgraph_node: `writer${stream}` }]);
          }
        }
        if (told === STREAM_SECONDS * 100) {
          clearInterval(timer);
          tell("ended", { status: "success" });
        }
      }, 10);
    });
  });
  await page.goto(`${server.url}/studio/threads/${own}?run=${run}&view=text`);
  const log = page.getByRole("log", { name: "Text of the run" });
  await log.getByRole("article").nth(7).waitFor();
  const longTasks = await watchLongTasks(page);
  await log.getByText(`word${STREAM_SECONDS * 100 - 2}`).first().waitFor();
  const long = await longTasks();
  assert.equal(await log.getByRole("article").count(), 8);
  console.log(`8 streams of 100 pieces a second for ${STREAM_SECONDS} s: ${long.length} tasks above 50 ms, the longest ${Math.max(0, ...long)} ms`);
  assert.ok(Math.max(0, ...long) < 50 * SLACK, long.join());
  await page.done();
});

test("a fan-out of two hundred is one row, one node, and a table in which failures come first", async () => {
  const { thread_id: own } = await api(server, "/threads", {});
  await api(server, `/threads/${own}/runs/wait`, { assistant_id: "fan_out", input: { parts: 200, delay: 0.02, fails: [117] }, stream_mode: ["tasks"] });
  const page = await chromium.open(server, `/threads/${own}?view=steps`);
  const row = page.getByRole("treeitem", { name: /part ×200/ });
  await row.waitFor();
  assert.match(await row.innerText(), /1 failed, 199 done/);
  await row.focus();
  await page.keyboard.press("ArrowRight");
  await page.waitForFunction(() => document.querySelector('[role=treeitem][aria-level="2"]'));
  assert.ok((await page.getByRole("treeitem").count()) < 120);
  await row.focus();
  await page.keyboard.press("ArrowDown");
  await eventually(() => page.evaluate(() => /part 117.*failed/.test(document.activeElement?.textContent ?? "")), true);
  await row.focus();
  await page.keyboard.press("Enter");
  const table = page.getByRole("region", { name: "Tasks of step 2" });
  await table.getByText("200 tasks: 1 failed, 199 done").waitFor();
  const rows = table.getByRole("row");
  assert.equal(await rows.count(), 201);
  assert.match(await rows.nth(1).innerText(), /part 117\s+.*failed/);
  assert.match(await rows.nth(2).innerText(), /part 0\s/);
  await table.getByRole("columnheader", { name: "Time" }).getByRole("button").click();
  await table.getByRole("columnheader", { name: "Time" }).getByRole("button").click();
  assert.equal(await table.getByRole("columnheader", { name: "Time" }).getAttribute("aria-sort"), "descending");
  await table.getByRole("button", { name: "part 117" }).click();
  const inspector = page.getByRole("complementary", { name: "Inspector" });
  await inspector.getByText("part 117 was told to fail").waitFor();
  await inspector.getByRole("button", { name: "All 200 of step 2" }).click();
  await table.waitFor();
  await page.getByRole("tab", { name: "Canvas" }).click();
  await page.getByRole("button", { name: /^part 199 of 200 done, 1 failed/ }).waitFor();
  await page.done();
});
