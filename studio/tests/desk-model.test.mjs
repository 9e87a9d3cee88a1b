// The Desk with a model that writes: a post from its request to the file, and its changes.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, test } from "node:test";
import { api, eventually, ran, world } from "./harness.mjs";
import { model } from "./model.mjs";

const TOPIC = "How does a run survive a crash?";
const INPUT = { topic: TOPIC, mode: "model", sources: { search: false } };
const sentence = (text, kind, ...evidence) => ({ text, kind, evidence });
const paragraph = (...sentences) => JSON.stringify({ blocks: [{ form: "paragraph", sentences }] });

/** What the next change is answered with; a number is a status. */
let change = null;
const scripted = await model((prompt) => {
  if (prompt.includes("The editor asks for this change")) {
    if (typeof change === "number") throw change;
    return change;
  }
  if (prompt.includes("Plan the post")) {
    return JSON.stringify({ title: "Runs and crashes", sections: [
      { name: "In short", description: "What it is about.", research: false },
      { name: "Checkpoints", description: "What a checkpoint holds.", research: true },
      { name: "Recovery", description: "What happens after a crash.", research: true },
    ] });
  }
  if (prompt.includes("from its finished sections")) return "A run is saved as it goes. This post says how.";
  const name = /Write the section "([^"]+)"/.exec(prompt)?.[1];
  return paragraph(
    sentence(`**${name}** come first.`, "opinion"),
    sentence(`A fact on ${name} with two passages.`, "fact", "p1", "p2"),
    sentence(`Another fact on ${name}.`, "fact", "p2"),
  );
});
after(() => scripted.close());
const { server, chromium } = await world({ env: scripted.env });
const valuesOf = async (thread) => (await api(server, `/threads/${thread}/state`)).values;
const steps = (page) => page.getByRole("navigation", { name: "Steps of the post" });
const part = (page, name) => page.getByRole("region", { name, exact: true });

test("a post is written by the model, with evidence behind each fact, and taken along", async () => {
  const page = await chromium.open(server, "/desk/new");
  await page.getByLabel("Topic").fill(TOPIC);
  await page.getByRole("radio", { name: /^A model(?! if)/ }).check();
  await page.getByRole("checkbox", { name: "Search the web" }).uncheck();
  await page.getByRole("button", { name: "Make the outline" }).click();
  await page.getByRole("button", { name: "Approve and write" }).click();
  const section = part(page, "Checkpoints");
  await section.getByText("Another fact on Checkpoints.").waitFor();
  // A sentence with two passages has a mark for each source, and each leads to its passages.
  const thread = new URL(page.url()).pathname.split("/").at(-1);
  const { evidence, sources } = await valuesOf(thread);
  const marks = section.getByRole("button", { name: /^Evidence \d+, Supported/ });
  const count = await marks.count();
  assert.ok(count >= 2);
  await marks.last().click();
  const panel = page.getByRole("complementary", { name: "Evidence" });
  const last = evidence.findLast((one) => one.sentence === "Another fact on Checkpoints.");
  await panel.getByText(sources.find((one) => one.id === last.source).title, { exact: true }).waitFor();
  assert.ok((await panel.locator("blockquote mark").innerText()).length > 20);
  await steps(page).getByRole("link", { name: /Export/ }).click();
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download" }).click()]);
  assert.equal(download.suggestedFilename(), "runs-and-crashes.md");
  assert.match(await readFile(await download.path(), "utf8"), /generation: "model"[\s\S]*\n## Recovery\n/);
  await page.done();
});

test("a section is rewritten with an instruction, and the introduction then needs an update", async () => {
  const thread = await ran(server, "blogger", INPUT);
  const before = await valuesOf(thread);
  change = paragraph(sentence("One short fact on checkpoints.", "fact", "p1"));
  const page = await chromium.open(server, `/desk/${thread}?step=draft`);
  await page.getByRole("button", { name: "Rewrite Checkpoints" }).click();
  await page.getByLabel("What is to be different").fill("Shorter, please");
  await page.getByRole("button", { name: "Ask the model" }).click();
  await part(page, "Checkpoints").getByText("One short fact on checkpoints.").waitFor();
  await part(page, "Recovery").getByText("Another fact on Recovery.").waitFor();
  assert.ok(scripted.prompts.at(-1).includes("Shorter, please"));
  await part(page, "In short").getByText("Needs update:").waitFor();
  await page.getByRole("link", { name: /Draft\s*needs update/ }).waitFor();
  await part(page, "In short").getByRole("button", { name: "It still fits" }).click();
  await part(page, "In short").getByText("Needs update:").waitFor({ state: "detached" });
  // The text before is a version, and can be taken back.
  await page.getByRole("button", { name: "2 versions of Checkpoints" }).click();
  const versions = page.getByRole("dialog");
  await versions.getByText("Shorter, please").waitFor();
  await versions.getByRole("button", { name: "Take this text back" }).click();
  await part(page, "Checkpoints").getByText("Another fact on Checkpoints.").waitFor();
  await eventually(async () => (await valuesOf(thread)).final_blog, before.final_blog);
  await page.done();
});

test("one sentence is rewritten and the others stay; a model that fails changes nothing and says so", async () => {
  const thread = await ran(server, "blogger", INPUT);
  const page = await chromium.open(server, `/desk/${thread}?step=draft`);
  const section = part(page, "Recovery");
  await section.getByRole("button", { name: /^Evidence/ }).last().click();
  const panel = page.getByRole("complementary", { name: "Evidence" });
  const rewrite = async () => {
    await panel.getByRole("button", { name: "Rewrite this sentence" }).click();
    await panel.getByLabel("What is to be different").fill("plainer");
    await panel.getByRole("button", { name: "Ask the model" }).click();
  };
  change = 401;
  await rewrite();
  await section.getByText("Nothing was changed:").waitFor();
  await section.getByText("Another fact on Recovery.").waitFor();
  change = paragraph(sentence("It goes on where it was.", "fact", "p1"));
  await section.getByRole("button", { name: /^Evidence/ }).last().click();
  await rewrite();
  await section.getByText("It goes on where it was.").waitFor();
  await section.getByText("A fact on Recovery with two passages.").waitFor();
  assert.equal(await section.getByText("Another fact on Recovery.").count(), 0);
  assert.equal(await section.getByText("Nothing was changed:").count(), 0);
  await page.done();
});
