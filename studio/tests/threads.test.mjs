// Threads: the list, and what can be seen and done on one.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { api, axe, eventually, ran, world } from "./harness.mjs";

const { server, chromium } = await world();

test("the list has all threads, tells their state, and filters them by the address", async () => {
  await ran(server, "noop3", { log: [] }, { metadata: { title: "First of three", team: "blue" } });
  await ran(server, "noop3", { log: [] }, { metadata: { title: "Second of three" } });
  await ran(server, "agent", { messages: [{ role: "user", content: "Asked something" }] });
  const page = await chromium.open(server, "/threads");
  const list = page.getByRole("list", { name: "Threads" });
  await list.getByRole("link", { name: /First of three/ }).waitFor();
  await list.getByRole("link", { name: /Asked something.*1 question/ }).waitFor();
  await page.getByRole("searchbox", { name: "Filter by words or id" }).fill("second");
  await list.getByRole("link", { name: /Second of three/ }).waitFor();
  assert.equal(await list.getByRole("link").count(), 1);
  await page.getByRole("searchbox", { name: "Filter by words or id" }).fill("");
  await page.getByRole("textbox", { name: "Metadata, as key=value" }).fill("team=blue");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelectorAll('ul[aria-label="Threads"] a').length === 1);
  assert.match(page.url(), /meta=team%3Dblue/);
  await page.reload();
  await list.getByRole("link", { name: /First of three/ }).waitFor();
  await page.getByRole("combobox", { name: "Status" }).selectOption("error");
  await page.getByText("No thread matches.").waitFor();
  await page.getByRole("button", { name: "Clear the filter" }).click();
  await list.getByRole("link", { name: /Asked something/ }).waitFor();
  await page.done();
});

test("the list follows what others do", async () => {
  const page = await chromium.open(server, "/threads");
  await page.getByRole("list", { name: "Threads" }).waitFor();
  await ran(server, "noop3", { log: [] }, { metadata: { title: "Made elsewhere" } });
  const first = page.getByRole("list", { name: "Threads" }).getByRole("link").first();
  await first.filter({ hasText: "Made elsewhere" }).waitFor();
  await page.done();
});

test("a run is started from the form, followed step by step, and stopped", async () => {
  const page = await chromium.open(server, "/threads?new=1");
  await page.getByLabel("Assistant").selectOption({ label: "steps" });
  await page.getByRole("button", { name: "As JSON" }).click();
  const input = page.getByRole("group", { name: "Input" }).getByRole("textbox");
  await input.fill('{"n": "many"}');
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.getByRole("alert").first().waitFor();
  await input.fill('{"n": 20, "delay": 2}');
  await page.getByRole("button", { name: "Run", exact: true }).click();
  const tree = page.getByRole("tree", { name: "Steps" });
  await tree.getByRole("treeitem", { name: /^step 2 step .*done/ }).waitFor();
  await tree.getByRole("treeitem", { name: /Run 1.*running/ }).waitFor();
  await page.keyboard.press("x");
  await page.getByRole("menuitem", { name: /Stop now/ }).click();
  await tree.getByRole("treeitem", { name: /Run 1.*cancelled/ }).waitFor();
  await page.done();
});

test("a run that is stopped after its step keeps that step, and goes on from there", async () => {
  const { thread_id: thread } = await api(server, "/threads", {});
  await api(server, `/threads/${thread}/runs`, { assistant_id: "steps", input: { n: 20, delay: 6 }, stream_mode: ["tasks"] });
  const page = await chromium.open(server, `/threads/${thread}`);
  await page.getByRole("button", { name: "Stop", exact: true }).waitFor();
  await page.keyboard.press("x");
  await page.getByRole("menuitem", { name: /Stop after this step/ }).click();
  // It is told for as long as the step takes, which may be no time at all.
  const cancelled = page.getByRole("treeitem", { name: /Run 1.*cancelled/ });
  await page.getByText("The run stops after this step.").or(cancelled).first().waitFor();
  await eventually(async () => (await api(server, `/threads/${thread}`)).status, "interrupted");
  const { values, next } = await api(server, `/threads/${thread}/state`);
  assert.deepEqual([values.log.length > 0, next], [true, ["step"]]);
  await cancelled.waitFor();
  await page.getByRole("button", { name: "Run from here" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Run", exact: true }).click();
  await page.getByRole("treeitem", { name: /Run 2/ }).waitFor();
  await eventually(async () => (await api(server, `/threads/${thread}/state`)).values.log.length > values.log.length, true);
  await page.done();
});

test("the state of a run that is quicker than its states can be read is shown all the same", async () => {
  const { thread_id: thread } = await api(server, "/threads", {});
  const { run_id: run } = await api(server, `/threads/${thread}/runs`, { assistant_id: "steps", input: { n: 900, delay: 0.1 }, config: { recursion_limit: 1000 }, stream_mode: ["tasks"] });
  const page = await chromium.open(server, "/threads");
  await page.route("**/state/*", async (route) => {
    await delay(1_000);
    await route.continue();
  });
  await page.goto(`${server.url}/studio/threads/${thread}`);
  const inspector = page.getByRole("complementary", { name: "Inspector" });
  const log = inspector.locator("section").filter({ has: page.getByRole("heading", { name: "log", exact: true }) });
  const entries = async () => Number(/list of (\d+)/.exec(await log.innerText())?.[1]);
  await log.waitFor();
  const first = await entries();
  await eventually(async () => (await entries()) > first, true);
  assert.equal((await api(server, `/threads/${thread}/runs/${run}`)).status, "running");
  await api(server, `/threads/${thread}/runs/${run}/cancel?action=interrupt`, undefined, "POST");
  // At its end it is the newest, and no other.
  const last = async () => (await api(server, `/threads/${thread}/state`)).values.log.length;
  await page.getByRole("button", { name: "Stop", exact: true }).waitFor({ state: "hidden" });
  await eventually(async () => (await entries()) === (await last()), true);
  await page.unrouteAll({ behavior: "ignoreErrors" });
  await page.done();
});

test("the state tells of each key its type, its rule and who wrote it, and leads there", async () => {
  const thread = await ran(server, "agent", { messages: [{ role: "user", content: "Hello" }] });
  const page = await chromium.open(server, `/threads/${thread}`);
  const inspector = page.getByRole("complementary", { name: "Inspector" });
  const messages = inspector.locator("section").filter({ has: page.getByRole("heading", { name: "messages", exact: true }) });
  await messages.getByText(/list of \d+ · messages by id/).waitFor();
  const writer = messages.getByRole("button", { name: /^by \w+, step \d+$/ });
  const [, name, step] = /^by (\w+), step (\d+)$/.exec(await writer.innerText());
  await writer.click();
  await page.getByRole("tab", { name: "Task", selected: true }).waitFor();
  await inspector.getByRole("heading", { name, exact: true }).waitFor();
  assert.match(page.url(), /cp=.*task=|task=.*cp=/);
  await page.getByRole("treeitem", { name: new RegExp(`^step ${step} `), selected: false }).or(page.getByRole("treeitem", { name: new RegExp(`^step ${step} `) })).first().waitFor();
  await page.done();
});

test("a message takes files by button, paste and drop, and what is too large stays out", async () => {
  const { thread_id: thread } = await api(server, "/threads", { metadata: { graph_id: "weather" } });
  const page = await chromium.open(server, `/threads/${thread}`);
  await page.getByRole("button", { name: "New run" }).click();
  await page.getByLabel("Assistant").selectOption({ label: "weather" });
  const composer = page.getByRole("region", { name: "New run" });
  const png = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");
  const chooser = page.waitForEvent("filechooser");
  await composer.getByRole("button", { name: "Attach" }).click();
  await (await chooser).setFiles([
    { name: "pixel.png", mimeType: "image/png", buffer: png },
    { name: "notes.md", mimeType: "text/markdown", buffer: Buffer.from("# Notes\n\nRain.") },
  ]);
  const files = composer.getByRole("list", { name: "Attached files" }).getByRole("listitem");
  await eventually(() => files.count(), 2);
  // As a browser does it when something is pasted and dropped.
  const give = (kind, name, type, bytes) => composer.getByRole("textbox", { name: "Message" }).evaluate((field, [kind, name, type, bytes]) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(bytes)], name, { type }));
    const options = { bubbles: true, cancelable: true };
    field.dispatchEvent(kind === "paste" ? new ClipboardEvent("paste", { ...options, clipboardData: data }) : new DragEvent("drop", { ...options, dataTransfer: data }));
  }, [kind, name, type, bytes]);
  await give("paste", "pasted.pdf", "application/pdf", 2_000);
  await eventually(() => files.count(), 3);
  await give("drop", "dropped.csv", "text/csv", 10);
  await eventually(() => files.count(), 4);
  await composer.getByRole("button", { name: "Remove dropped.csv" }).click();
  const { limits } = await api(server, "/info");
  await give("drop", "film.mp4", "video/mp4", limits.body_bytes_max);
  await composer.getByText("A file was not attached").waitFor();
  await eventually(() => files.count(), 3);
  await composer.getByRole("textbox", { name: "Message" }).fill("Is it raining in Lisbon?");
  assert.deepEqual(await axe(page), []);
  await composer.getByRole("button", { name: "Run", exact: true }).click();
  await page.getByRole("treeitem", { name: /Run 1/ }).waitFor();
  const [run] = await api(server, `/threads/${thread}/runs`);
  const { content } = run.kwargs.input.messages[0];
  assert.deepEqual(content.map((it) => [it.type, it.mime_type ?? null]), [["text", null], ["image", "image/png"], ["text", null], ["file", "application/pdf"]]);
  assert.equal(content[1].base64, png.toString("base64"));
  assert.equal(content[2].text, "notes.md:\n\n# Notes\n\nRain.");
  assert.equal(content[3].filename, "pasted.pdf");
  await page.done();
});

test("a busy thread offers four ways, and a fork leaves what runs alone", async () => {
  const { thread_id: thread } = await api(server, "/threads", {});
  await api(server, `/threads/${thread}/runs`, { assistant_id: "steps", input: { n: 9, delay: 600 }, stream_mode: ["tasks"] });
  const page = await chromium.open(server, `/threads/${thread}`);
  await page.getByRole("treeitem", { name: /^step 1 step/ }).waitFor();
  await page.getByRole("button", { name: "New run" }).click();
  const choices = page.getByRole("group", { name: /A run is on this thread/ });
  for (const name of [/Queue/, /Interrupt/, /Roll back/]) await choices.getByRole("radio", { name }).waitFor();
  await choices.getByRole("radio", { name: /Fork/ }).check();
  await page.getByRole("button", { name: "As JSON" }).click();
  await page.getByRole("group", { name: "Input" }).getByRole("textbox").fill('{"n": 1, "delay": 0}');
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.waitForURL((url) => url.pathname.includes("/threads/") && !url.pathname.includes(thread));
  assert.equal((await api(server, `/threads/${thread}`)).status, "busy");
  await page.done();
});

test("a question is shown where it was asked, and answering it goes on", async () => {
  const thread = await ran(server, "agent", { messages: [{ role: "user", content: "Are you there" }] });
  const page = await chromium.open(server, `/threads/${thread}`);
  await page.getByRole("treeitem", { name: /ask_human waiting for a person/ }).waitFor();
  const answer = page.getByRole("region", { name: "Questions" });
  await answer.getByRole("textbox").fill("yes");
  await answer.getByRole("button", { name: "Answer" }).click();
  await page.getByRole("treeitem", { name: /ask_human .*done/ }).waitFor();
  await eventually(async () => (await api(server, `/threads/${thread}`)).status, "idle");
  await page.done();
});

test("an earlier input is taken again, and a run pauses where it was told to", async () => {
  const thread = await ran(server, "noop3", { log: ["first"] });
  const page = await chromium.open(server, `/threads/${thread}`);
  await page.getByRole("button", { name: "New run" }).click();
  await page.getByRole("button", { name: "Earlier input" }).click();
  await page.getByRole("button", { name: "As JSON" }).click();
  assert.match(await page.getByRole("group", { name: "Input" }).getByRole("textbox").inputValue(), /"first"/);
  await page.getByText("Stops", { exact: true }).click();
  await page.getByRole("group", { name: "Pause before" }).getByRole("checkbox", { name: "b", exact: true }).check();
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.getByRole("treeitem", { name: /Run 2/ }).waitFor();
  await page.getByRole("treeitem", { name: /^step \d+ b idle/ }).waitFor();
  await eventually(async () => (await api(server, `/threads/${thread}/state`)).next, ["b"]);
  await page.done();
});

test("a run gets the supersteps and the way of saving that are set, and no others", async () => {
  const { thread_id: thread } = await api(server, "/threads", { metadata: { graph_id: "steps" } });
  const page = await chromium.open(server, `/threads/${thread}`);
  await page.getByRole("button", { name: "New run" }).click();
  await page.getByRole("button", { name: "As JSON" }).click();
  await page.getByRole("group", { name: "Input" }).getByRole("textbox").fill('{"n": 30, "delay": 0}');
  await page.locator("summary", { hasText: "Settings" }).press("Enter");
  const steps = page.getByRole("textbox", { name: "Supersteps at most" });
  await steps.fill("3.5");
  const run = page.getByRole("button", { name: /^Run(?! )|^Run ?, not now: the supersteps are no whole number/ });
  await page.getByText("The supersteps are no whole number from 1 to 100,000.").waitFor();
  assert.equal(await run.getAttribute("aria-disabled"), "true");
  assert.deepEqual(await axe(page), []);
  await steps.fill("40");
  await page.getByRole("combobox", { name: "Each step is saved" }).selectOption("once, when the run ends");
  await page.getByText("Settings: at most 40 supersteps, saved once, when the run ends").waitFor();
  await page.getByRole("button", { name: "Run", exact: true }).press("Enter");
  await eventually(async () => (await api(server, `/threads/${thread}/runs`)).map((it) => it.status), ["success"]);
  const [{ kwargs }] = await api(server, `/threads/${thread}/runs`);
  assert.deepEqual([kwargs.config.recursion_limit, kwargs.durability], [40, "exit"]);
  // More than the usual limit of 25 were run, and one checkpoint is left of them.
  assert.equal((await api(server, `/threads/${thread}/state`)).values.log.length, 30);
  assert.equal((await api(server, `/threads/${thread}/history`, { limit: 10 })).length, 1);
  await page.done();
});

test("any two moments can be compared, and the address keeps what is looked at", async () => {
  const thread = await ran(server, "noop3", { log: [] });
  const page = await chromium.open(server, `/threads/${thread}?tab=diff`);
  await page.getByRole("treeitem", { name: /^step 3 c/ }).waitFor();
  await page.getByRole("treeitem", { name: /^step 1 a/ }).click();
  await page.getByText("Viewing step 1 of 3").waitFor();
  await page.keyboard.press("c");
  await page.getByText("This checkpoint is the pinned one.").waitFor();
  await page.getByRole("treeitem", { name: /^step 3 c/ }).click();
  await page.getByText("Against the pinned checkpoint").waitFor();
  await page.getByText("+2 added").waitFor();
  await page.reload();
  await page.getByText("Against the pinned checkpoint").waitFor();
  await page.getByRole("tab", { name: "JSON" }).click();
  await page.getByLabel("State as JSON").getByText('"log"').waitFor();
  await page.goBack();
  await page.done();
});

test("a state is edited by fields, and what does not fit stands at its field", async () => {
  const thread = await ran(server, "steps", { n: 1, delay: 0 });
  const page = await chromium.open(server, `/threads/${thread}`);
  await page.getByRole("treeitem", { name: /^step 1 step/ }).waitFor();
  await page.keyboard.press("f");
  const dialog = page.getByRole("dialog", { name: /^Edit the state/ });
  await dialog.locator("summary").filter({ hasText: /^n$/ }).press("Enter");
  const field = dialog.getByRole("textbox", { name: "n", exact: true });
  await field.fill("1.5");
  await dialog.getByRole("button", { name: "Make the fork" }).press("Enter");
  await dialog.getByRole("alert").waitFor();
  assert.deepEqual(await axe(page), []);
  await dialog.getByRole("button", { name: "As JSON" }).click();
  await dialog.getByRole("textbox").fill("7");
  await dialog.getByText("1 changed: n").waitFor();
  // A list that takes what is appended to it becomes what is written here all the same.
  await dialog.locator("summary").filter({ hasText: /^log$/ }).press("Enter");
  await dialog.getByRole("textbox", { name: "Log entry 1" }).fill("9");
  await dialog.getByText("2 changed: n, log").waitFor();
  await dialog.getByRole("button", { name: "Make the fork" }).press("Enter");
  await page.getByRole("dialog", { name: "The fork is made" }).waitFor();
  const { values } = await api(server, `/threads/${thread}/state`);
  assert.deepEqual([values.n, values.log], [7, [9]]);
  await page.done();
});

test("a run from an earlier step is a fork, and stops where it was told to", async () => {
  const thread = await ran(server, "noop3", { log: [] });
  const page = await chromium.open(server, `/threads/${thread}`);
  await page.getByRole("treeitem", { name: /^step 1 a/ }).click();
  await page.getByRole("button", { name: "Run from here" }).click();
  const dialog = page.getByRole("dialog", { name: "Run from step 1" });
  await dialog.getByText("b", { exact: true }).first().waitFor();
  await dialog.getByRole("group", { name: "Stop before" }).getByRole("checkbox", { name: "c" }).check();
  await dialog.getByRole("button", { name: "Run", exact: true }).click();
  await page.getByRole("treeitem", { name: /Run again from here/ }).waitFor();
  await page.getByRole("combobox", { name: "Fork" }).waitFor();
  await eventually(async () => (await api(server, `/threads/${thread}/state`)).next, ["c"]);
  await page.done();
});

test("the canvas shows the way of the run, and its nodes lead to their tasks", async () => {
  const thread = await ran(server, "noop3", { log: [] });
  const page = await chromium.open(server, `/threads/${thread}?view=canvas`);
  const node = page.getByRole("button", { name: /^b done/ });
  await node.focus();
  await page.keyboard.press("Enter");
  await page.getByRole("tab", { name: "Task", selected: true }).waitFor();
  await page.getByRole("complementary", { name: "Inspector" }).getByRole("heading", { name: "b" }).waitFor();
  await page.keyboard.press("ArrowDown");
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("data-node")), "c");
  await page.getByRole("group", { name: /^Graph noop3, 3 nodes/ }).waitFor();
  await page.done();
});

test("a run that fails says where, why, what is safe and what can be done", async () => {
  const { thread_id: thread } = await api(server, "/threads", {});
  await api(server, `/threads/${thread}/runs/wait`, { assistant_id: "error", input: { messages: [] }, stream_mode: ["tasks"] }).catch(() => {});
  const page = await chromium.open(server, `/threads/${thread}`);
  const told = page.getByRole("alert").filter({ hasText: "The run failed" });
  await told.getByText(/saved/).waitFor();
  await told.getByRole("button", { name: /Retry from step/ }).waitFor();
  await page.done();
});

test("a thread is renamed, and deleted only by typing its name", async () => {
  // What is read just when it is deleted is not there.
  const thread = await ran(server, "noop3", { log: [] }, { metadata: { title: "Old name" } });
  const page = await chromium.open(server, `/threads/${thread}`, { expectErrors: true });
  await page.getByRole("button", { name: "More" }).click();
  await page.getByRole("menuitem", { name: "Rename" }).click();
  await page.getByRole("dialog").getByRole("textbox").fill("New name");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "New name" }).waitFor();
  await page.getByRole("button", { name: "More" }).click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  const remove = page.getByRole("button", { name: /Delete for ever/ });
  assert.equal(await remove.getAttribute("aria-disabled"), "true");
  await page.getByRole("dialog").getByRole("textbox").fill("New name");
  await remove.click();
  await page.waitForURL(/\/studio\/threads$/);
  const gone = await fetch(`${server.url}/threads/${thread}`);
  assert.equal(gone.status, 404);
  await page.done();
});

test("a thread that is not there is told as such", async () => {
  const page = await chromium.open(server, "/threads/00000000-0000-7000-8000-000000000000", { expectErrors: true });
  await page.getByText("This thread is not there.").waitFor();
  await page.done();
});

test("the times of tasks are bars on one axis", async () => {
  const thread = await ran(server, "noop3", { log: [] });
  const page = await chromium.open(server, `/threads/${thread}?view=time`);
  const rows = page.getByRole("listbox", { name: "Tasks by time" }).getByRole("option");
  await rows.filter({ hasText: "c" }).first().waitFor();
  assert.equal(await rows.count(), 3);
  await page.done();
});
