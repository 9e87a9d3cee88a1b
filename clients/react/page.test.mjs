// The stock hook in a page of its own origin, against a server that runs already and lets that
// origin in: the server's address is in GENESIS_MESH_URL, the page's port in PAGE_PORT, and the
// browser in CHROMIUM.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { chromium } from "playwright-core";
import { build } from "vite";

const { GENESIS_MESH_URL, PAGE_PORT, CHROMIUM } = process.env;
const PAGE = `http://127.0.0.1:${PAGE_PORT}`;
const WAIT_MS = 30_000;
const KINDS = { html: "text/html", js: "text/javascript" };

let server;
let browser;

before(async () => {
  await build({ root: import.meta.dirname, logLevel: "error" });
  server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, PAGE);
    const path = pathname === "/" ? "/index.html" : pathname;
    try {
      const body = await readFile(`${import.meta.dirname}/dist${path}`);
      response.writeHead(200, { "content-type": KINDS[path.split(".").at(-1)] }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(Number(PAGE_PORT), "127.0.0.1", resolve));
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
});

after(async () => {
  await browser?.close();
  server?.closeAllConnections();
  server?.close();
});

/** Opens the page for a graph. */
const open = async (context, transport, graph, input) => {
  const page = await context.newPage();
  const asked = { server: GENESIS_MESH_URL, transport, graph, input: JSON.stringify(input) };
  await page.goto(`${PAGE}/?${new URLSearchParams(asked)}`);
  return page;
};

/** What the page shows, once it holds. */
const until = async (page, holds) => {
  let shown;
  for (const end = Date.now() + WAIT_MS; Date.now() < end; ) {
    shown = JSON.parse(await page.textContent("#shown"));
    if (holds(shown)) return shown;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail(`still ${JSON.stringify(shown)}`);
};

/** Once the server has a run on the thread: the page says that it waits before it has asked. */
const begun = async (thread) => {
  for (const end = Date.now() + WAIT_MS; Date.now() < end; ) {
    const runs = await fetch(`${GENESIS_MESH_URL}/threads/${thread}/runs`);
    if (runs.ok && (await runs.json()).length > 0) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail(`no run on ${thread}`);
};

for (const transport of ["sse", "websocket"]) {
  test(`${transport}: a run is shown, asks, is answered after a reload and ends`, async () => {
    const context = await browser.newContext();
    const input = { messages: [], value: "init", items: [] };
    const page = await open(context, transport, "agent", input);
    await page.click("#submit");
    const asks = (shown) => shown.questions.length > 0 && !shown.isLoading;
    const asked = await until(page, asks);
    assert.deepEqual(asked.questions, ["Are we good?"]);
    assert.ok(asked.texts.includes("Hello, world!"));
    await page.reload();
    assert.deepEqual((await until(page, asks)).texts, asked.texts);
    await page.click("#answer");
    const ended = await until(page, (shown) => shown.items?.length === 4 && !shown.isLoading);
    assert.deepEqual(ended.items, ["streamed", "tool", "asked", "sub"]);
    assert.deepEqual(ended.texts.slice(0, asked.texts.length), asked.texts);
    assert.equal(ended.error, null);
    await context.close();
  });

  test(`${transport}: a reload in the middle of a run loses nothing`, async () => {
    const context = await browser.newContext();
    const page = await open(context, transport, "delay", { messages: [], delay: 6000 });
    await page.click("#submit");
    const { thread } = await until(page, (shown) => shown.thread && shown.isLoading);
    await begun(thread);
    await page.reload();
    await until(page, (shown) => shown.thread === thread && shown.isLoading);
    const ended = await until(page, (shown) => shown.texts.length > 0 && !shown.isLoading);
    assert.deepEqual(ended.texts, ["finished after 6000ms"]);

    const tokens = await open(context, transport, "tokens200", { messages: [] });
    await tokens.click("#submit");
    const said = await until(tokens, (shown) => shown.texts.length > 0 && !shown.isLoading);
    await tokens.reload();
    const again = await until(tokens, (shown) => shown.texts.length > 0);
    assert.deepEqual(again.texts, said.texts);
    await context.close();
  });

  test(`${transport}: tools are shown, and a run is stopped`, async () => {
    const context = await browser.newContext();
    const input = { messages: [{ type: "human", content: "go" }] };
    const deep = await open(context, transport, "deep_agent", input);
    await deep.click("#submit");
    const last = "Research complete.";
    const ended = await until(deep, (shown) => shown.texts.includes(last) && !shown.isLoading);
    assert.deepEqual(ended.calls, ["task"]);
    const slow = await open(context, transport, "delay", { messages: [], delay: 600_000 });
    await slow.click("#submit");
    await until(slow, (shown) => shown.thread && shown.isLoading);
    await slow.click("#stop");
    assert.equal((await until(slow, (shown) => !shown.isLoading)).error, null);
    await context.close();
  });
}
