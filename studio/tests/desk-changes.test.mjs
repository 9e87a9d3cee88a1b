// Changes of a finished post on the Desk: texts of one's own, other extracts, findings.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { api, axe, eventually, ran, world } from "./harness.mjs";

const { server, chromium } = await world();

const TOPIC = "How does a run survive a crash?";
const INPUT = { topic: TOPIC, mode: "extractive", sources: { search: false } };
const valuesOf = async (thread) => (await api(server, `/threads/${thread}/state`)).values;
const newest = (values, id) => values.completed_sections.findLast((one) => one.id === id);
const steps = (page) => page.getByRole("navigation", { name: "Steps of the post" });
const part = (page, name) => page.getByRole("region", { name, exact: true });
const OWN = "Nobody at our place has lost a run since.";

/** A post, and its first section that quotes three sentences or more. */
async function written() {
  const thread = await ran(server, "blogger", INPUT);
  const values = await valuesOf(thread);
  const section = values.sections.find((one) => one.research && newest(values, one.id).evidence.length >= 3);
  return { thread, values, section, was: newest(values, section.id) };
}

test("a sentence of one's own is marked, its finding accepted with a reason, and the file says both", async () => {
  const { thread, section, was } = await written();
  const page = await chromium.open(server, `/desk/${thread}?step=draft`);
  await page.getByRole("button", { name: `Edit ${section.name}` }).click();
  const field = page.getByRole("textbox", { name: `Text of “${section.name}”` });
  const text = await field.inputValue();
  assert.ok(!text.includes("[^source-") && !text.includes("(no source)"));
  // A heading of the whole post is refused before anybody is asked.
  await field.fill(`## Mine\n\n${text}`);
  await page.getByRole("button", { name: "Save as a new version" }).click();
  await page.getByText("is a heading of the whole post").waitFor();
  await field.fill(`${text}\n\n${OWN}`);
  assert.deepEqual(await axe(page), []);
  await page.keyboard.press("Control+Enter");
  await part(page, section.name).getByText("no source", { exact: false }).first().waitFor();
  await page.getByText("1 statement of your own").waitFor();
  await page.getByRole("heading", { name: "Without a source" }).waitFor();
  const after = newest(await valuesOf(thread), section.id);
  assert.deepEqual(after.evidence.slice(0, -1), was.evidence);
  assert.equal(after.evidence.at(-1).sentence, OWN);
  await steps(page).getByRole("link", { name: /Checks/ }).click();
  const finding = page.getByRole("listitem").filter({ hasText: OWN });
  await finding.getByRole("link", { name: `Go to “${section.name}”` }).waitFor();
  await finding.getByRole("button", { name: "Accept with a reason" }).click();
  await finding.getByLabel("Why it may stay").fill("It is what we saw");
  await finding.getByRole("button", { name: "Accept", exact: true }).click();
  await page.getByRole("heading", { name: /Accepted/ }).waitFor();
  await page.getByText("It is what we saw").waitFor();
  assert.deepEqual(await axe(page), []);
  await steps(page).getByRole("link", { name: /Export/ }).click();
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download" }).click()]);
  const markdown = await readFile(await file.path(), "utf8");
  assert.match(markdown, /checks_accepted: 1/);
  assert.ok(markdown.includes(OWN) && !markdown.includes("(no source)"));
  const [evidence] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Evidence file" }).click()]);
  const told = JSON.parse(await readFile(await evidence.path(), "utf8"));
  assert.equal(told.findings.find((one) => one.accepted).accepted.reason, "It is what we saw");
  assert.equal(told.sections.find((one) => one.id === section.id).change.kind, "edited");
  await page.done();
});

test("the post is taken along as one HTML page that loads nothing and runs nothing", async () => {
  const { thread } = await written();
  const page = await chromium.open(server, `/desk/${thread}?step=export`);
  await page.getByRole("radio", { name: "HTML page" }).check();
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download" }).click()]);
  assert.equal(file.suggestedFilename(), "how-does-a-run-survive-a-crash.extracts.html");
  const html = await readFile(await file.path(), "utf8");
  await page.goto("about:blank");
  await page.setContent(html);
  assert.equal(await page.locator("h1").count(), 1);
  assert.equal(await page.locator("sup a").first().getAttribute("href"), "#source-1");
  assert.equal(await page.locator("#source-1").count(), 1);
  assert.equal(await page.locator("script:not([type='application/ld+json']), img, link, iframe").count(), 0);
  const data = JSON.parse(await page.locator("script[type='application/ld+json']").textContent());
  assert.equal(data["@type"], "Article");
  assert.ok(data.citation.length > 0);
  await page.done();
});

test("a quotation is exchanged for another; what cannot be reworded says why", async () => {
  const { thread, section, was } = await written();
  const page = await chromium.open(server, `/desk/${thread}?step=draft`);
  const own = part(page, section.name);
  const rewrite = own.getByRole("button", { name: `Rewrite ${section.name}` });
  assert.match(await rewrite.getAttribute("title"), /extracts are copied and cannot be reworded/);
  await own.getByRole("button", { name: /^Evidence/ }).first().click();
  await page.getByRole("button", { name: "Another extract" }).click();
  await eventually(async () => (await valuesOf(thread)).completed_sections.filter((one) => one.id === section.id).length, 2);
  const now = newest(await valuesOf(thread), section.id);
  assert.ok(!now.evidence.some((one) => one.sentence === was.evidence[0].sentence));
  assert.ok(now.evidence.every((one) => one.relation === "quoted"));
  await own.getByText("An extract was exchanged").waitFor();
  await page.getByText("every sentence is quoted from a source").waitFor();
  await page.done();
});

test("a text that was changed elsewhere is not written over: what became of it is shown", async () => {
  const { thread, section, was } = await written();
  const page = await chromium.open(server, `/desk/${thread}?step=draft`);
  await page.getByRole("button", { name: `Edit ${section.name}` }).click();
  const field = page.getByRole("textbox", { name: `Text of “${section.name}”` });
  await field.fill(`${await field.inputValue()}\n\n${OWN}`);
  await page.reload();
  assert.ok((await field.inputValue()).endsWith(OWN));
  await api(server, `/threads/${thread}/runs/wait`, {
    assistant_id: "blogger", command: { update: { revisions: [{ type: "text", section: section.id, text: `${was.content}\n\nThis came from elsewhere, all at once.` }] }, goto: "run_checks" },
  });
  await page.getByText("This section was changed meanwhile.").waitFor();
  await page.locator("ins").getByText("came from elsewhere", { exact: false }).waitFor();
  await page.getByRole("button", { name: "Go on with my text" }).click();
  await page.getByRole("button", { name: "Save as a new version" }).click();
  await eventually(async () => newest(await valuesOf(thread), section.id).content.includes(OWN), true);
  await page.done();
});

test("a change of the request that was begun marks what comes after it, until it is left", async () => {
  const { thread } = await written();
  const page = await chromium.open(server, `/desk/${thread}?step=request`);
  await page.getByLabel("Reader").fill("Operators");
  await page.getByRole("link", { name: /Draft\s*needs update/ }).waitFor();
  await page.getByRole("link", { name: /Export\s*needs update/ }).click();
  await page.reload();
  await page.getByRole("link", { name: /Request/ }).click();
  assert.equal(await page.getByLabel("Reader").inputValue(), "Operators");
  await page.getByRole("button", { name: "Leave it as it was" }).click();
  await page.getByRole("link", { name: /Export\s*done/ }).waitFor();
  await page.done();
});

test("a source is left out, which marks what comes after; written again, the post does without it", async () => {
  const { thread } = await written();
  const before = await valuesOf(thread);
  const used = before.sources.find((source) => before.evidence.some((one) => one.source === source.id));
  const page = await chromium.open(server, `/desk/${thread}?step=sources`);
  const row = page.getByRole("row").filter({ hasText: used.location });
  await row.getByRole("button", { name: `Leave out ${used.title}` }).press("Enter");
  await page.getByText("1 source is to be left out. The text stays as it is until it is written again.").waitFor();
  await page.getByRole("link", { name: /Draft\s*needs update/ }).waitFor();
  assert.deepEqual(await axe(page), []);
  // It is begun, and can be left as it was; nothing has run.
  await page.getByRole("button", { name: "Leave it as it was" }).press("Enter");
  await page.getByRole("link", { name: /Draft\s*done/ }).waitFor();
  await row.getByRole("button", { name: /^Leave out/ }).press("Enter");
  await page.reload();
  await row.getByText("to be left out").waitFor();
  await page.getByRole("button", { name: "To the request" }).press("Enter");
  assert.equal(await page.getByRole("textbox", { name: "Place" }).inputValue(), used.location);
  await page.getByRole("checkbox", { name: /Show me the outline/ }).uncheck();
  await page.getByRole("button", { name: "Write it again" }).press("Enter");
  await eventually(async () => (await valuesOf(thread)).request.sources.exclude, [used.location]);
  await eventually(async () => (await api(server, `/threads/${thread}`)).status, "idle");
  const now = await valuesOf(thread);
  assert.ok(now.final_blog.length > 500 && !now.sources.some((source) => source.location === used.location));
  // It stands among what is left out, and is taken in again from there.
  await steps(page).getByRole("link", { name: /Sources/ }).click();
  await page.getByRole("region", { name: "Left out" }).getByRole("button", { name: `Take in ${used.location}` }).press("Enter");
  await page.getByText("No source is left out any more.").waitFor();
  await page.done();
});
