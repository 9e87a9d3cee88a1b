// A server of one's own, a browser, and pages that are watched: nothing is asked of anybody but
// that server, and nothing goes wrong unheard.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual, promisify } from "node:util";
import { chromium } from "playwright-core";

const BINARY = process.env.GENESIS_MESH_BIN;
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
/** The Studio is taken from this folder in place of the binary, so that a change to it can be
 * tested before the binary is built. */
const FOLDER = process.env.STUDIO_FOLDER;
/** A page that comes from no address is taken for one from far away. */
const ARGS = FOLDER ? ["--disable-features=LocalNetworkAccessChecks"] : [];
/** Patience for what a busy machine does slowly. */
export const PATIENCE_MS = 30_000;

// What a test has left running would keep its file from ending. Scripts are no tests.
const started = new Set();
if (process.env.NODE_TEST_CONTEXT) {
  after(async () => {
    for (const one of started) await one.remove();
  });
}
// A file that could not be set up has no hooks that run, and a script that failed has none at all.
process.on("uncaughtExceptionMonitor", () => {
  for (const one of started) void one.stop?.("SIGKILL");
});

/** A server and a browser for the tests of a file; both end with them. */
export async function world(options) {
  return { server: await serve(options), chromium: await browser() };
}

/** Starts the server with its fixture graphs. `port` and `data` let it come back as it was. */
export async function serve({ port = 0, data, extra = ["--fixtures"], env = {} } = {}) {
  assert.ok(BINARY, "GENESIS_MESH_BIN names the binary");
  const folder = data ?? (await mkdtemp(join(tmpdir(), "studio-")));
  const child = spawn(BINARY, ["serve", ...extra, "--port", String(port), "--data-dir", folder, "--log", "warn"], {
    stdio: ["ignore", "pipe", "inherit"], cwd: folder, env: { HOME: folder, PATH: process.env.PATH, ...env },
  });
  let text = "";
  const url = await new Promise((resolve, reject) => {
    child.stdout.on("data", (piece) => {
      text += piece;
      const found = /studio\s+(http:\/\/[^/]+)\/studio\//.exec(text);
      if (found) resolve(found[1]);
    });
    child.on("exit", (code) => reject(new Error(`the server ended with ${code}: ${text}`)));
  });
  const gone = new Promise((resolve) => child.on("exit", resolve));
  const server = {
    url, data: folder, port: Number(new URL(url).port),
    /** Ends it; `kill` without a chance to clean up. */
    async stop(signal = "SIGTERM") {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.removeAllListeners("exit");
      const ended = new Promise((resolve) => child.on("exit", resolve));
      child.kill(signal);
      await Promise.race([ended, gone]);
    },
    async remove() {
      started.delete(server);
      await this.stop("SIGKILL");
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
  started.add(server);
  return server;
}

/** A key of a server that keeps its data in this folder, made before it is started: from then on
 * the server asks who one is. */
export async function key(data, ...options) {
  const { stdout } = await promisify(execFile)(BINARY, ["keys", "create", ...options, "--data-dir", data], {
    cwd: data, env: { HOME: data, PATH: process.env.PATH },
  });
  return stdout.trim();
}

export async function api(server, path, body, method = body === undefined ? "GET" : "POST") {
  const response = await fetch(server.url + path, {
    method, headers: { "content-type": "application/json" }, body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
  return text ? JSON.parse(text) : null;
}

/** Waits until `read` gives `expected`, and says what it gave last if that never comes: a screen
 * can tell of an answer before the run that took it has ended. */
export async function eventually(read, expected) {
  const until = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await read();
    if (isDeepStrictEqual(found, expected)) return;
    if (Date.now() > until) assert.deepEqual(found, expected);
    await delay(50);
  }
}

/** A thread on which this was run to its end. */
export async function ran(server, assistant, input, { metadata = {}, ...more } = {}) {
  const { thread_id: thread } = await api(server, "/threads", { metadata });
  const run = {
    assistant_id: assistant, input, stream_mode: ["tasks", "messages-tuple", "custom"], stream_subgraphs: true, ...more,
  };
  await api(server, `/threads/${thread}/runs/wait`, run);
  return thread;
}

export async function browser() {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--force-color-profile=srgb", ...ARGS] });
  const own = {
    async remove() {
      started.delete(own);
      await browser.close();
    },
    /** A page at an address of the Studio. */
    async open(server, path, options = {}) {
      const { expectErrors = false, ...more } = options;
      const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: "reduce", ...more });
      if (FOLDER) await context.route(`${server.url}/studio/**`, (route) => fromFolder(route, FOLDER));
      const page = await context.newPage();
      page.setDefaultTimeout(PATIENCE_MS);
      const problems = [];
      page.on("pageerror", (error) => problems.push(String(error.stack)));
      page.on("console", (message) => {
        if (message.type() === "error" && !expectErrors) problems.push(message.text());
      });
      page.on("request", (request) => {
        const url = new URL(request.url());
        if (url.origin !== server.url && url.protocol !== "data:" && url.protocol !== "blob:") problems.push(`asked ${request.url()}`);
      });
      await page.goto(`${server.url}/studio${path}`);
      return Object.assign(page, {
        /** Ends the page, and tells what went wrong on it. */
        async done() {
          await context.close();
          assert.deepEqual(problems, []);
        },
      });
    },
  };
  started.add(own);
  return own;
}

const TYPES = { html: "text/html; charset=utf-8", css: "text/css; charset=utf-8", js: "text/javascript; charset=utf-8", svg: "image/svg+xml" };

/** A file of the Studio as the server would give it, its policy included. */
async function fromFolder(route, folder) {
  const path = new URL(route.request().url()).pathname.replace("/studio/", "");
  const file = /\.(css|js|svg|txt)$/.test(path) ? path : "index.html";
  const body = await readFile(join(folder, file)).catch(() => null);
  if (body === null) return route.fulfill({ status: 404 });
  await route.fulfill({
    body, contentType: TYPES[file.split(".").at(-1)] ?? "text/plain",
    headers: { "content-security-policy": "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'" },
  });
}

const axeSource = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What axe finds on a page, in words. */
export async function axe(page) {
  // The page's own policy forbids scripts in it; a script of the test is run past it.
  await page.evaluate(axeSource);
  const found = await page.evaluate(async () => {
    const { violations } = await window.axe.run(document, {
      runOnly: { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] },
    });
    return violations.map((it) => `${it.id}: ${it.nodes.slice(0, 4).map((node) => `${node.target.join(" ")} ${node.failureSummary?.split("\n")[1] ?? ""}`).join(" | ")}`);
  });
  return found;
}
