// Every schema of the corpus as a question: the form shows it or falls back, what fits is taken, and
// what does not is refused by the server too, with the question left open.

import assert from "node:assert/strict";
import { test } from "node:test";
import { corpus } from "./corpus.mjs";
import { api, eventually, ran, world } from "./harness.mjs";

const { server, chromium } = await world();

const answered = (thread, resume) =>
  fetch(`${server.url}/threads/${thread}/runs/wait`, {
    method: "POST", headers: { "content-type": "application/json" },
    body: JSON.stringify({ assistant_id: "ask", command: { resume } }),
  });

const openQuestions = async (thread) => Object.values((await api(server, `/threads/${thread}`)).interrupts ?? {}).flat();

/** Those that no server of ours would ask, since no answer fits them. */
const asked = corpus.filter((it) => !it.clientOnly);

test("the server refuses what does not fit, and takes what does", async () => {
  for (const { name, schema, good, bad } of asked) {
    const question = { value: name, schema };
    for (const [at, wrong] of bad.entries()) {
      const thread = await ran(server, "ask", { questions: [question] });
      const [{ id }] = await openQuestions(thread);
      const refused = await answered(thread, { [id]: wrong });
      assert.equal(refused.status, 422, `${name}, answer ${at + 1} that does not fit`);
      const { pointer } = await refused.json();
      assert.ok(pointer.startsWith(`/command/resume/${id}`), `${name}: ${pointer}`);
      assert.equal((await openQuestions(thread)).length, 1, `${name}: the question stays`);
    }
    for (const right of good) {
      const thread = await ran(server, "ask", { questions: [question] });
      const [{ id }] = await openQuestions(thread);
      const taken = await answered(thread, { [id]: right });
      assert.equal(taken.status, 200, `${name}: ${JSON.stringify(right)}`);
      assert.deepEqual((await taken.json()).answers, [right]);
    }
  }
});

test("every schema is shown, and an empty form is sent or says what is missing", async () => {
  const page = await chromium.open(server, "/inbox", { expectErrors: true });
  const thread = await ran(server, "ask", { questions: asked.map(({ name, schema }) => ({ value: name, schema })) });
  const open = await openQuestions(thread);
  for (const { name } of asked) {
    const { id } = open.find((one) => one.value === name);
    await page.goto(`${server.url}/studio/inbox/${id}`);
    await page.getByRole("heading", { level: 2, name, exact: true }).waitFor();
    const answer = page.getByRole("region", { name: "Your answer" });
    await answer.waitFor();
    const fields = await answer.locator("input, textarea, select, code, button").count();
    assert.ok(fields > 0, name);
    assert.equal(await page.locator("main script, main img").count(), 0, name);
  }
  await page.done();
});

test("problems stand at their fields, and the focus goes to the first", async () => {
  const { schema } = corpus.find((it) => it.name === "a list of entries");
  const thread = await ran(server, "ask", { questions: [{ value: "Which?", schema: { type: "object", required: ["list", "day"], properties: { list: schema, day: { type: "string", format: "date" } } } }] });
  const [{ id }] = await openQuestions(thread);
  const page = await chromium.open(server, `/inbox/${id}`);
  await page.getByRole("button", { name: "Answer", exact: true }).click();
  await page.getByRole("alert").getByText(/need another look/).waitFor();
  const name = page.getByRole("textbox", { name: "Name" });
  const bad = page.locator('[aria-invalid="true"]');
  assert.ok((await bad.count()) >= 2);
  for (const one of await bad.all()) {
    const described = await one.getAttribute("aria-describedby");
    const texts = await Promise.all(described.split(" ").map((part) => page.locator(`[id="${part}"]`).innerText()));
    assert.ok(texts.some((text) => /needed/i.test(text)), texts.join(" "));
  }
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("aria-invalid")), "true");
  await name.fill("first");
  // Entries move by keys alone, and keep the focus.
  await page.getByRole("button", { name: "Add list entry" }).click();
  await name.nth(1).fill("second");
  await name.nth(1).press("Alt+ArrowUp");
  assert.equal(await name.nth(0).inputValue(), "second");
  await page.getByLabel("Day").fill("2026-03-31");
  await page.getByRole("button", { name: "Answer", exact: true }).click();
  await page.getByText("The run goes on where it stopped.").waitFor();
  const answers = async () => (await api(server, `/threads/${thread}/state`)).values.answers;
  await eventually(answers, [{ list: [{ name: "second" }, { name: "first" }], day: "2026-03-31" }]);
  await page.done();
});

test("a form and its JSON are two views of one answer", async () => {
  const schema = { type: "object", properties: { a: { type: "integer" }, b: { type: "string" } } };
  const thread = await ran(server, "ask", { questions: [{ value: "Two views?", schema }] });
  const [{ id }] = await openQuestions(thread);
  const page = await chromium.open(server, `/inbox/${id}`);
  await page.getByLabel("A optional").fill("7");
  await page.getByRole("button", { name: "As JSON" }).click();
  const json = page.getByRole("textbox", { name: "Your answer" });
  assert.deepEqual(JSON.parse(await json.inputValue()), { a: 7 });
  await json.fill('{"a": 8, "b"');
  await page.getByRole("button", { name: "Answer", exact: true }).click();
  await page.getByRole("alert").getByText(/is no JSON/).waitFor();
  await json.fill('{"a": 8, "b": "x"}');
  await page.getByRole("button", { name: "As a form" }).click();
  assert.equal(await page.getByLabel("B optional").inputValue(), "x");
  await page.done();
});
