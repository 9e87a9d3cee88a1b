// The shell: going anywhere, the connection, themes, and the screens Graphs, Wire and Settings.

import assert from "node:assert/strict";
import { test } from "node:test";
import { api, ran, serve, world } from "./harness.mjs";

const { server, chromium } = await world();

test("the palette goes to screens and threads by their names", async () => {
  await ran(server, "noop3", { log: [] }, { metadata: { title: "Needle in the hay" } });
  const page = await chromium.open(server, "/");
  await page.getByRole("heading", { level: 1, name: "Home" }).waitFor();
  await page.keyboard.press("Control+k");
  const field = page.getByRole("combobox", { name: "Go to" });
  await field.fill("needle");
  await page.getByRole("option", { name: /Needle in the hay/ }).waitFor();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "Needle in the hay" }).waitFor();
  await page.keyboard.press("Control+k");
  await page.keyboard.type("wire");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "Wire" }).waitFor();
  await page.done();
});

test("the help lists the keys of the screen, and single keys can be switched off", async () => {
  const page = await chromium.open(server, "/threads");
  await page.getByRole("heading", { level: 1, name: "Threads" }).waitFor();
  await page.keyboard.press("?");
  const help = page.getByRole("dialog", { name: "Keys" });
  await help.getByText("Next thread").waitFor();
  await help.getByRole("checkbox").uncheck();
  await page.keyboard.press("Escape");
  await page.keyboard.press("g");
  await page.keyboard.press("h");
  await page.getByRole("heading", { level: 1, name: "Threads" }).waitFor();
  assert.match(page.url(), /threads$/);
  await page.done();
});

test("a key within a field is a letter", async () => {
  const page = await chromium.open(server, "/threads");
  const field = page.getByRole("searchbox", { name: "Filter by words or id" });
  await field.fill("");
  await field.pressSequentially("gh?");
  assert.equal(await field.inputValue(), "gh?");
  await page.done();
});

test("the focus goes back to where it was when a dialog closes", async () => {
  const page = await chromium.open(server, "/");
  const button = page.getByRole("button", { name: "Go to anything" });
  await button.focus();
  await page.keyboard.press("Enter");
  await page.getByRole("combobox", { name: "Go to" }).waitFor();
  await page.keyboard.press("Escape");
  await page.waitForFunction(() => document.activeElement?.textContent?.includes("Go to anything"));
  await page.done();
});

test("a killed server comes back to the same view, and no event is missing", async () => {
  const own = await serve();
  const { thread_id: thread } = await api(own, "/threads", { metadata: { title: "Survivor" } });
  await api(own, `/threads/${thread}/runs`, {
    assistant_id: "steps", input: { n: 30, delay: 0.2 }, config: { recursion_limit: 100 }, stream_mode: ["tasks"],
  });
  const page = await chromium.open(own, `/threads/${thread}?view=steps`, { expectErrors: true });
  await page.getByRole("treeitem", { name: /^step 3 step .*done/ }).waitFor();
  await own.stop("SIGKILL");
  const pill = page.getByRole("status").filter({ hasText: "Reconnecting" });
  await pill.waitFor();
  const again = await serve({ port: own.port, data: own.data });
  await page.getByText(/^Caught up:/).waitFor();
  await page.getByRole("treeitem", { name: /Run 1.*done/ }).waitFor();
  const { steps, last } = await page.evaluate(() => {
    const tree = document.querySelector('[role="tree"]');
    tree.parentElement.scrollTop = tree.scrollHeight;
    return { steps: tree.querySelector("[aria-setsize]").getAttribute("aria-setsize"), last: 0 };
  });
  // One row for the run, one for the input, and each step once.
  assert.equal(Number(steps) - 2 >= 30, true, `${steps} ${last}`);
  assert.match(page.url(), new RegExp(`${thread}.*view=steps`));
  await page.done();
  await again.remove();
});

test("a browser without a network says so, and goes on where it was", async () => {
  const { thread_id: thread } = await api(server, "/threads", {});
  await api(server, `/threads/${thread}/runs`, {
    assistant_id: "steps", input: { n: 12, delay: 0.25 }, stream_mode: ["tasks"],
  });
  const page = await chromium.open(server, `/threads/${thread}?view=time`, { expectErrors: true });
  await page.getByRole("option", { name: /step/ }).first().waitFor();
  await page.context().setOffline(true);
  await page.getByRole("status").filter({ hasText: /Offline|Reconnecting/ }).waitFor();
  await page.context().setOffline(false);
  await page.waitForFunction(() => document.querySelectorAll('[role="option"][data-state="done"]').length === 12);
  await page.done();
});

test("a graph is drawn with its schemas, and leads to a run", async () => {
  const page = await chromium.open(server, "/graphs/blogger");
  await page.getByRole("button", { name: /^generate_blog_plan/ }).waitFor();
  await page.getByRole("rowheader", { name: /topic/ }).waitFor();
  await page.getByRole("tab", { name: "Nodes" }).click();
  await page.getByRole("rowheader", { name: "assemble" }).waitFor();
  await page.getByRole("checkbox", { name: "Open mounted graphs" }).check();
  await page.getByRole("button", { name: /^select_passages/ }).waitFor();
  await page.getByRole("button", { name: "Run it" }).click();
  await page.getByRole("heading", { level: 1, name: "New thread" }).waitFor();
  await page.getByRole("group", { name: "Input" }).getByRole("textbox", { name: /topic/i }).waitFor();
  await page.done();
});

test("the wire shows what went over it, without secrets", async () => {
  const page = await chromium.open(server, "/threads");
  await page.getByRole("heading", { level: 1, name: "Threads" }).waitFor();
  await page.evaluate(() => fetch("/threads/count", { method: "POST", headers: { "content-type": "application/json" }, body: "{}" }));
  await page.keyboard.press("g");
  await page.keyboard.press("w");
  const entries = page.getByRole("listbox", { name: "Entries" });
  await entries.getByRole("option").filter({ hasText: "/threads/search" }).first().waitFor();
  await entries.getByRole("option").filter({ hasText: "hello" }).first().waitFor();
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByRole("combobox", { name: "Kind" }).selectOption("failed");
  await page.getByText("Nothing matches.").waitFor();
  await page.done();
});

test("the theme is chosen, kept, and shown", async () => {
  const page = await chromium.open(server, "/settings");
  await page.getByRole("radio", { name: "Dark" }).check();
  await page.waitForFunction(() => document.documentElement.dataset.theme === "dark");
  await page.reload();
  await page.waitForFunction(() => document.documentElement.dataset.theme === "dark");
  await page.getByText("Genesis Mesh Agent Framework").waitFor();
  const licences = await fetch(`${server.url}/studio/licenses.txt`);
  assert.match(await licences.text(), /react/);
  await page.done();
});

test("an address that leads nowhere leads home", async () => {
  const page = await chromium.open(server, "/nowhere");
  await page.getByText("There is nothing at this address.").waitFor();
  await page.getByRole("button", { name: "Go home" }).click();
  await page.getByRole("heading", { level: 1, name: "Home" }).waitFor();
  await page.done();
});
