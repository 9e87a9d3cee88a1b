// The Inbox: questions of all threads, and their answers.

import assert from "node:assert/strict";
import { test } from "node:test";
import { api, eventually, ran, world } from "./harness.mjs";

const { server, chromium } = await world();

const ask = (title, ...questions) => ran(server, "ask", { questions }, { metadata: { title } });
const stateOf = (thread) => api(server, `/threads/${thread}/state`);
const answersOf = async (thread) => (await stateOf(thread)).values.answers;
const DECISION = {
  type: "object", required: ["decision"],
  properties: { decision: { enum: ["stop", "approve", "change"] }, instruction: { type: "string" } },
};

test("nobody waits, and the Inbox says so", async () => {
  const page = await chromium.open(server, "/inbox");
  await page.getByText("Nobody is waiting for you.").waitFor();
  await page.done();
});

test("a question that comes in while one looks on appears by itself, and is counted in the rail", async () => {
  const page = await chromium.open(server, "/inbox");
  await page.getByText("Nobody is waiting for you.").waitFor();
  const thread = await ask("Comes later", { value: "Are you there?" });
  await page.getByRole("link", { name: /Are you there\?/ }).waitFor();
  await page.getByRole("navigation", { name: "Screens" }).getByRole("link", { name: /Inbox\s*1 waiting/ }).waitFor();
  await api(server, `/threads/${thread}`, undefined, "DELETE");
  await page.getByText("Nobody is waiting for you.").waitFor();
  await page.done();
});

test("a decision is a button; what cannot be taken back is last and pressed twice", async () => {
  const thread = await ask("Decide", { value: { question: "Go on?", text: "There are **two** ways." }, schema: DECISION });
  const page = await chromium.open(server, "/inbox");
  await page.getByRole("link", { name: /Go on\?/ }).click();
  await page.getByText("two", { exact: true }).waitFor();
  const buttons = page.locator("[data-decision]");
  assert.deepEqual(await buttons.allInnerTexts(), ["Approve", "Change", "Stop"]);
  await buttons.nth(2).click();
  await page.getByRole("button", { name: "Press again: Stop" }).waitFor();
  assert.equal((await stateOf(thread)).next.length, 1);
  await page.getByLabel("Instruction").fill("shorter");
  await page.getByRole("button", { name: "Change" }).click();
  await page.getByText("The run goes on where it stopped.").waitFor();
  await eventually(() => answersOf(thread), [{ decision: "change", instruction: "shorter" }]);
  await page.done();
});

test("questions are answered by keys alone, one after the other", async () => {
  const one = await ask("By keys 1", { value: "Ship it?", schema: { type: "boolean" } });
  const two = await ask("By keys 2", { value: "Why?" });
  const page = await chromium.open(server, "/inbox");
  await page.getByRole("region", { name: "Questions" }).getByText("2 waiting").waitFor();
  await page.keyboard.press("j");
  await page.getByRole("heading", { level: 2, name: "Ship it?" }).waitFor();
  await page.keyboard.press("a");
  await page.keyboard.press("Enter");
  await page.getByText("The run goes on where it stopped.").waitFor();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 2, name: "Why?" }).waitFor();
  await page.keyboard.press("e");
  await page.keyboard.type("Because.");
  await page.keyboard.press("Control+Enter");
  await page.getByText("The run goes on where it stopped.").waitFor();
  await eventually(() => answersOf(one), [true]);
  await eventually(() => answersOf(two), ["Because."]);
  await page.done();
});

test("of several questions of a thread each has its own answer, and the others stay open", async () => {
  const thread = await ask("Both", { value: "First?" }, { value: "Second?" });
  const page = await chromium.open(server, "/inbox");
  await page.getByRole("link", { name: /First\?/ }).click();
  await page.getByRole("textbox", { name: "Answer" }).fill("one");
  await page.getByRole("button", { name: "Answer", exact: true }).click();
  await page.getByText("The run goes on where it stopped.").waitFor();
  await page.getByRole("link", { name: /Second\?/ }).click();
  await page.getByRole("tab", { name: "JSON" }).click();
  await page.getByRole("textbox", { name: "Answer as JSON" }).fill('{"n": 2}');
  await page.getByRole("button", { name: "Answer", exact: true }).click();
  await page.getByText("The run goes on where it stopped.").waitFor();
  await eventually(() => answersOf(thread), ["one", { n: 2 }]);
  await page.done();
});

test("a draft outlives a reload; a question that was answered elsewhere keeps what was written", async () => {
  const thread = await ask("Draft", { value: "Long answer?" });
  const page = await chromium.open(server, "/inbox");
  await page.getByRole("link", { name: /Long answer\?/ }).click();
  await page.getByRole("textbox", { name: "Answer" }).fill("half of it");
  await page.reload();
  assert.equal(await page.getByRole("textbox", { name: "Answer" }).inputValue(), "half of it");
  await api(server, `/threads/${thread}/runs/wait`, { assistant_id: "ask", command: { resume: "by somebody else" } });
  await page.getByRole("button", { name: "Answer", exact: true }).click();
  await page.getByText("Answered elsewhere.").waitFor();
  assert.equal(await page.getByRole("textbox", { name: "Answer" }).inputValue(), "half of it");
  await eventually(() => answersOf(thread), ["by somebody else"]);
  await page.done();
});

test("on a phone the list leads to the question and back", async () => {
  const thread = await ask("Phone", { value: "On the way?", schema: { type: "boolean" } });
  const page = await chromium.open(server, "/inbox", { viewport: { width: 390, height: 844 }, hasTouch: true });
  await page.getByRole("link", { name: /On the way\?/ }).tap();
  await page.getByRole("heading", { level: 2, name: "On the way?" }).waitFor();
  await page.getByRole("link", { name: "‹ All questions" }).tap();
  await page.getByRole("link", { name: /On the way\?/ }).tap();
  await page.getByRole("button", { name: "Yes" }).tap();
  await page.getByText("The run goes on where it stopped.").waitFor();
  await eventually(() => answersOf(thread), [true]);
  await page.done();
});

test("hostile questions stay text in their card", async () => {
  const texts = [
    '<script>window.hit = 1</script><img src=x onerror="window.hit = 1"> [press](javascript:window.hit=1) ![pixel](https://tracker.example/p.png)',
    `${"wide ".repeat(5_000)}`, `${"W".repeat(1_000_000)}`, "safe \u202Egnp.exe\u202C \u2066hidden", `|${" a |".repeat(300)}\n|${"---|".repeat(300)}`,
  ];
  const thread = await ask(texts[0].slice(0, 100), ...texts.map((text) => ({ value: { question: text.slice(0, 120), text, [text.slice(0, 200)]: text }, schema: { type: "object", title: text.slice(0, 300), properties: { [text.slice(0, 300)]: { type: "string", description: text.slice(0, 3_000) } } } })));
  const page = await chromium.open(server, "/inbox");
  const questions = Object.values((await api(server, `/threads/${thread}`)).interrupts).flat();
  for (const { id } of questions) {
    await page.goto(`${server.url}/studio/inbox/${id}`);
    await page.getByRole("region", { name: "Your answer" }).waitFor();
    assert.equal(await page.evaluate(() => window.hit), undefined);
    assert.equal(await page.locator("main img, main iframe, main script, main a[href^='javascript']").count(), 0);
    const wide = await page.evaluate(() => Math.max(document.documentElement.scrollWidth - innerWidth, ...[...document.querySelectorAll("main > *")].map((it) => it.scrollWidth - it.clientWidth)));
    assert.ok(wide <= 0, `wider by ${wide}`);
  }
  await page.done();
  await api(server, `/threads/${thread}`, undefined, "DELETE");
});
