// The Desk: a post from its request to the file.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { api, ran, world } from "./harness.mjs";

const { server, chromium } = await world();

const TOPIC = "How does a run survive a crash?";
const INPUT = { topic: TOPIC, mode: "extractive", sources: { search: false } };
const idOf = (page) => new URL(page.url()).pathname.split("/").at(-1);
const steps = (page) => page.getByRole("navigation", { name: "Steps of the post" });

test("a request out of bounds is refused at its field, and nothing is begun", async () => {
  const page = await chromium.open(server, "/desk/new");
  await page.getByLabel("Topic").fill("abc");
  await page.getByRole("button", { name: "Make the outline" }).click();
  await page.getByText("Has 3 characters, expected at least 5", { exact: true }).waitFor();
  assert.equal(await api(server, "/threads/count", { metadata: { graph_id: "blogger" } }), 0);
  await page.done();
});

test("from the request over a changed outline to the file, by keys alone", async () => {
  const page = await chromium.open(server, "/desk");
  await page.getByText("No post yet.").waitFor();
  await page.keyboard.press("n");
  await page.getByLabel("Topic").focus();
  await page.keyboard.type(TOPIC);
  await page.getByRole("radio", { name: /Nobody: extracts only/ }).focus();
  await page.keyboard.press("Space");
  await page.getByRole("button", { name: "Make the outline" }).focus();
  await page.keyboard.press("Enter");
  // Nothing is written before the outline was approved; it is changed here.
  await page.getByRole("heading", { name: "Is this outline good?" }).waitFor();
  await page.getByText("every sentence is quoted from a source").waitFor();
  const headings = page.getByRole("textbox", { name: "Heading" });
  const names = await headings.evaluateAll((all) => all.map((one) => one.value));
  assert.ok(names.length > 2);
  await headings.nth(1).focus();
  await page.keyboard.press("Alt+ArrowUp");
  await headings.nth(0).focus();
  await page.keyboard.press("Control+a");
  await page.keyboard.type("What comes first");
  await page.getByRole("button", { name: "Write from this outline" }).focus();
  await page.keyboard.press("Enter");
  const contents = page.getByRole("navigation", { name: "Sections" });
  await contents.getByRole("button", { name: /^What comes first/ }).waitFor();
  assert.match((await contents.getByRole("button").first().innerText()).split("\n")[0], /^What comes first$/);
  // Each mark leads to its passage, and in two actions to the place in the stored copy.
  const mark = page.getByRole("button", { name: /^Evidence 2, Quoted word for word/ });
  await mark.focus();
  const evidence = page.getByRole("complementary", { name: "Evidence" });
  const quoted = await evidence.locator("blockquote mark").innerText();
  assert.ok((await page.getByRole("article").innerText()).includes(quoted));
  await evidence.getByRole("button", { name: "Read the stored copy" }).focus();
  await page.keyboard.press("Enter");
  const copy = page.getByRole("dialog");
  assert.equal(await copy.locator("mark[data-wanted]").innerText(), quoted);
  await page.keyboard.press("Escape");
  // The steps behind it.
  for (let step = 0; step < 2; step += 1) await page.keyboard.press("]");
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Download" }).focus().then(() => page.keyboard.press("Enter")),
  ]);
  assert.equal(download.suggestedFilename(), "how-does-a-run-survive-a-crash.extracts.md");
  const text = await readFile(await download.path(), "utf8");
  const { values } = await api(server, `/threads/${idOf(page)}/state`);
  assert.equal(text, values.final_blog);
  assert.match(text, /\n## What comes first\n/);
  await page.done();
});

test("the outline of a written post is changed into a branch; the text before stays in the history", async () => {
  const thread = await ran(server, "blogger", INPUT, { metadata: { title: TOPIC } });
  const before = (await api(server, `/threads/${thread}/state`)).values.final_blog;
  const page = await chromium.open(server, `/desk/${thread}?step=outline`);
  await page.getByRole("button", { name: "Change the outline" }).click();
  await page.getByLabel("Title").fill("Another title");
  await page.getByRole("button", { name: "Write from this outline" }).click();
  await page.getByRole("heading", { level: 1, name: "Another title" }).waitFor();
  await page.getByRole("article").getByRole("heading", { name: "Another title" }).waitFor();
  const history = await api(server, `/threads/${thread}/history?limit=100`);
  assert.ok(history.some((state) => state.values.final_blog === before));
  await page.done();
});

test("sources say what they were used for, and what could not be read is named", async () => {
  const notes = ["# Crash recovery\n\nA crash is survived by saving checkpoints often and early. A checkpoint holds the state of a run after every superstep. The state is read again after the crash. The next process goes on from the last checkpoint."];
  const thread = await ran(server, "blogger", { topic: "Crash recovery", mode: "extractive", sources: { search: false, notes, urls: ["http://127.0.0.1:9/secret"] } });
  const page = await chromium.open(server, `/desk/${thread}?step=sources`);
  const row = page.getByRole("row", { name: /note 1/ });
  await row.waitFor();
  assert.match(await row.innerText(), /note\s/);
  await page.getByRole("heading", { name: "Not read" }).waitFor();
  await page.getByText("http://127.0.0.1:9/secret").waitFor();
  await row.getByRole("button", { name: /^Read/ }).click();
  await page.getByRole("dialog").getByText("A checkpoint holds the state").first().waitFor();
  await page.keyboard.press("Escape");
  await page.done();
});

test("the checks tell what was found and what was not", async () => {
  const thread = await ran(server, "blogger", INPUT);
  const { values } = await api(server, `/threads/${thread}/state`);
  const page = await chromium.open(server, `/desk/${thread}?step=checks`);
  await page.getByText("Quoted words stand in their source").waitFor();
  for (const finding of values.findings) await page.getByText(finding.message.slice(1)).waitFor();
  await page.done();
});

test("a post that cannot be written says why, and leads back to the request", async () => {
  const { thread_id: thread } = await api(server, "/threads", { metadata: { title: "No model" } });
  await api(server, `/threads/${thread}/runs/wait`, { assistant_id: "blogger", input: { topic: TOPIC, mode: "model" } });
  const page = await chromium.open(server, `/desk/${thread}`);
  const alert = page.getByRole("alert");
  await alert.getByText("The post was not written").waitFor();
  await alert.getByRole("button", { name: "Change the request" }).click();
  assert.equal(await page.getByLabel("Topic").inputValue(), TOPIC);
  await steps(page).getByRole("link", { name: /Request/ }).waitFor();
  await page.done();
});

test("a text that no thread names is not given out", async () => {
  const thread = await ran(server, "blogger", INPUT);
  const { values } = await api(server, `/threads/${thread}/state`);
  const address = values.sources[0].text;
  const { text } = await api(server, `/threads/${thread}/texts/${address}`);
  assert.ok(text.length > 100);
  const { thread_id: other } = await api(server, "/threads", {});
  for (const path of [`/threads/${other}/texts/${address}`, `/threads/${thread}/texts/${"0".repeat(64)}`, `/threads/${thread}/texts/..%2F..%2Fgenesis-mesh.db`]) {
    assert.equal((await fetch(server.url + path)).status, 404, path);
  }
});

test("on a phone a post is asked for, approved, read and exported", async () => {
  const page = await chromium.open(server, "/desk/new", { viewport: { width: 390, height: 844 }, hasTouch: true });
  await page.getByLabel("Topic").fill(TOPIC);
  await page.getByRole("radio", { name: /Nobody: extracts only/ }).tap();
  await page.getByRole("button", { name: "Make the outline" }).tap();
  await page.getByRole("button", { name: "Approve and write" }).tap();
  await page.getByRole("button", { name: /^Evidence 1,/ }).tap();
  await page.getByRole("button", { name: "Read the stored copy" }).tap();
  await page.getByRole("button", { name: "Close" }).tap();
  await steps(page).getByRole("link", { name: /Export/ }).tap();
  await page.getByRole("button", { name: "Download" }).waitFor();
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(over <= 0);
  await page.done();
});
