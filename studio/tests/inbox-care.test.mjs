// Who takes care of questions: assigned, put off, answered alike, and never answered unread.

import assert from "node:assert/strict";
import { test } from "node:test";
import { api, axe, eventually, ran, world } from "./harness.mjs";

const { server, chromium } = await world();

const ask = (title, ...questions) => ran(server, "ask", { questions }, { metadata: { title } });
const answersOf = async (thread) => (await api(server, `/threads/${thread}/state`)).values.answers;
const list = (page) => page.getByRole("region", { name: "Questions" });
const row = (page, name) => list(page).getByRole("link", { name });
const show = async (page, value) => page.getByRole("combobox", { name: "Which questions" }).selectOption(value);

test("a question is assigned, put off, and brought back; others see all of it", async () => {
  const thread = await ask("Care", { value: { question: "Who does this?", deadline: "2020-01-01T09:00:00Z" } });
  const page = await chromium.open(server, "/inbox");
  await row(page, /Who does this\?/).click();
  await page.getByText(/^overdue: /).first().waitFor();
  await page.getByRole("button", { name: "Assign", exact: true }).click();
  await page.getByLabel("Who takes care of it").fill("Ana");
  assert.deepEqual(await axe(page), []);
  await page.getByRole("button", { name: "Assign it" }).click();
  await page.getByText("Assigned to Ana").waitFor();
  await show(page, "mine");
  await row(page, /Who does this\?/).waitFor();
  await show(page, "unassigned");
  await row(page, /Who does this\?/).waitFor({ state: "detached" });
  await show(page, "overdue");
  await row(page, /Who does this\?/).waitFor();
  await show(page, "waiting");
  await page.keyboard.press("Escape");
  await row(page, /Who does this\?/).click();
  await page.getByRole("button", { name: "Put off until" }).click();
  await page.getByRole("button", { name: "Tomorrow, 9:00" }).click();
  await page.getByText("All of them are put off for later.").waitFor();
  // What was noted is the thread's: another browser sees it, and the rail counts nothing.
  const other = await chromium.open(server, "/inbox");
  await show(other, "snoozed");
  await row(other, /Who does this\?.*Ana/).click();
  assert.equal(await other.getByRole("link", { name: /Inbox\s*1 waiting/ }).count(), 0);
  await other.getByRole("button", { name: "Bring it back" }).click();
  await other.getByRole("link", { name: /Inbox\s*1 waiting/ }).waitFor();
  await other.done();
  await row(page, /Who does this\?/).waitFor();
  const { metadata } = await api(server, `/threads/${thread}`);
  assert.equal(Object.values(metadata.inbox)[0].assigned, "Ana");
  await page.done();
  await api(server, `/threads/${thread}`, undefined, "DELETE");
});

test("questions of one kind are answered alike, each shown, and one left out", async () => {
  const schema = { type: "object", required: ["decision"], properties: { decision: { enum: ["approve", "stop"] }, note: { type: "string" } } };
  const threads = [];
  for (const name of ["one", "two", "three"]) threads.push(await ask(`Alike ${name}`, { value: { question: `Pay ${name}?`, text: `The bill of ${name}.` }, schema }));
  const page = await chromium.open(server, "/inbox");
  await row(page, /Pay one\?/).click();
  await page.getByText("2 more questions take the same answers.").waitFor();
  await page.getByRole("button", { name: "Answer all alike" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("The bill of three.").waitFor();
  await dialog.getByRole("checkbox", { name: /Pay two\?/ }).uncheck();
  await dialog.getByRole("radio", { name: "approve" }).check();
  await dialog.getByLabel("Note").fill("as agreed");
  assert.deepEqual(await axe(page), []);
  await dialog.getByRole("button", { name: "Answer 2 questions" }).click();
  await dialog.getByRole("button", { name: "Press again: answer 2 questions" }).click();
  await dialog.getByText("✓ answered").nth(1).waitFor();
  const given = [{ decision: "approve", note: "as agreed" }];
  await eventually(() => answersOf(threads[0]), given);
  await eventually(() => answersOf(threads[2]), given);
  assert.equal((await api(server, `/threads/${threads[1]}/state`)).next.length, 1);
  await dialog.getByRole("button", { name: "Close" }).last().click();
  await page.done();
  await api(server, `/threads/${threads[1]}`, undefined, "DELETE");
});

test("an answer to what was not read is refused with what became of it; who answered is kept", async () => {
  const thread = await ask("Changes", { value: "Delete the archive?" });
  const page = await chromium.open(server, "/settings");
  await page.getByLabel("Your name").fill("Bo");
  await page.goto(`${server.url}/studio/inbox`);
  await row(page, /Delete the archive\?/).click();
  await page.getByRole("textbox", { name: "Answer" }).fill("yes");
  // Somebody changes what is asked: the node asks anew.
  await api(server, `/threads/${thread}/state`, { values: { questions: [{ value: "Delete everything?" }] }, as_node: "__start__" });
  await api(server, `/threads/${thread}/runs/wait`, { assistant_id: "ask", input: null });
  await page.getByRole("button", { name: "Answer", exact: true }).click();
  await page.getByText("The question has changed since you opened it.").waitFor();
  await page.locator("ins").getByText("everything").waitFor();
  assert.deepEqual(await axe(page), []);
  await page.getByRole("button", { name: "Go to the question as it is now" }).click();
  await page.getByRole("heading", { level: 2, name: "Delete everything?" }).waitFor();
  assert.equal(await page.getByRole("textbox", { name: "Answer" }).inputValue(), "yes");
  await page.getByRole("button", { name: "Answer", exact: true }).click();
  await page.getByText(/^Kept with the run: by Bo/).waitFor();
  await eventually(() => answersOf(thread), ["yes"]);
  const [run] = await api(server, `/threads/${thread}/runs?limit=1`);
  assert.equal(run.metadata.answered.by, "Bo");
  assert.match(run.metadata.answered.digest, /^[0-9a-f]{64}$/);
  await page.done();
});
