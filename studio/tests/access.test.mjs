// Everybody can use it: axe on every screen in every theme, sizes of phones, and no wide pages.

import assert from "node:assert/strict";
import { test } from "node:test";
import { api, axe, ran, world } from "./harness.mjs";

const { server, chromium } = await world();
const done = await ran(server, "blogger", { topic: "How does a run survive a crash?", mode: "extractive", sources: { search: false } });
const waits = await ran(server, "agent", { messages: [{ role: "user", content: "Hello" }] });
const { thread_id: failed } = await api(server, "/threads", {});
await api(server, `/threads/${failed}/runs/wait`, { assistant_id: "error", input: { messages: [] }, stream_mode: ["tasks"] });
const asking = await ran(server, "ask", { questions: [
  { value: { question: "Is it good?", text: "Look **twice**." }, schema: { type: "object", required: ["decision"], properties: { decision: { enum: ["approve", "stop"] }, why: { type: "string" } } } },
  { value: "All kinds?", schema: { type: "object", required: ["day", "how"], properties: { day: { type: "string", format: "date" }, many: { type: "integer", minimum: 1 }, extras: { type: "array", items: { enum: ["a", "b"] } }, how: { oneOf: [{ title: "One", type: "object", properties: { a: { type: "string" } } }, { title: "Two", type: "object", required: ["b"], properties: { b: { type: "number" } } }] }, list: { type: "array", minItems: 1, items: { type: "object", properties: { name: { type: "string" }, sure: { type: "boolean" } } } } } } },
] });
const questions = Object.values((await api(server, `/threads/${asking}`)).interrupts).flat();
const outlined = await ran(server, "blogger", { topic: "How does a run survive a crash?", mode: "extractive", sources: { search: false } }, { interrupt_after: ["generate_blog_plan"] });
const { assistant_id: assistant } = await api(server, "/assistants", { graph_id: "simple_runtime", name: "Careful", context: { model: "openai" } });
await api(server, `/assistants/${assistant}`, { context: { model: "anthropic" }, config: { tags: ["a"] } }, "PATCH");
await api(server, "/store/items", { namespace: ["users", "ana"], key: "profile", value: { name: "Ana" }, ttl: 90 }, "PUT");
const { run_id: run } = (await api(server, `/threads/${done}/runs`))[0];

const SCREENS = [
  ["home", "/"],
  ["the demo at its end", `/?thread=${done}&run=${run}`, (page) => page.getByRole("article").waitFor()],
  ["threads", "/threads"],
  ["a new thread", "/threads?new=1"],
  ["a finished thread", `/threads/${done}`],
  ["its canvas and differences", `/threads/${done}?view=canvas&tab=diff`, (page) => page.getByRole("button", { name: /^assemble/ }).waitFor()],
  ["its times and task", `/threads/${done}?view=time&tab=task`],
  ["its JSON", `/threads/${done}?view=text&tab=json`],
  ["a waiting thread", `/threads/${waits}`],
  ["a failed thread", `/threads/${failed}`],
  ["inbox", "/inbox"],
  ...questions.map((one, at) => [`question ${at + 1}`, `/inbox/${one.id}`, (page) => page.getByRole("heading", { level: 2 }).first().waitFor()]),
  ["desk", "/desk"],
  ["a request", "/desk/new", (page) => page.getByLabel("Topic").waitFor()],
  ["an outline to approve", `/desk/${outlined}`, (page) => page.getByText("Is this outline good?").waitFor()],
  ["a draft", `/desk/${done}?step=draft`, (page) => page.getByRole("article").waitFor()],
  ...["sources", "outline", "checks", "export"].map((step) => [`its ${step}`, `/desk/${done}?step=${step}`, (page) => page.getByRole("heading", { level: 2 }).first().waitFor()]),
  ["assistants", "/assistants"],
  ["a new assistant", "/assistants/new?graph=simple_runtime", (page) => page.getByLabel("Name").waitFor()],
  ["an assistant", `/assistants/${assistant}`, (page) => page.getByLabel("Name").waitFor()],
  ["its versions", `/assistants/${assistant}?part=versions`, (page) => page.getByRole("button", { name: /^Version 1/ }).waitFor()],
  ["store", "/store", (page) => page.getByRole("button", { name: /^profile/ }).waitFor()],
  ["an item", "/store?ns=users.ana&key=profile", (page) => page.getByRole("article", { name: "profile" }).waitFor()],
  ["graphs", "/graphs/blogger"],
  ["wire", "/wire"],
  ["settings", "/settings"],
];

const THEMES = {
  light: { colorScheme: "light" },
  dark: { colorScheme: "dark" },
  "forced colours": { forcedColors: "active" },
  "reduced motion": { reducedMotion: "reduce" },
};

for (const [theme, options] of Object.entries(THEMES)) {
  test(`axe finds nothing on any screen, ${theme}`, async () => {
    const page = await chromium.open(server, "/", options);
    const found = [];
    for (const [name, path, ready] of SCREENS) {
      await page.goto(`${server.url}/studio${path}`);
      await page.getByRole("heading", { level: 1 }).waitFor();
      await page.waitForLoadState("networkidle").catch(() => {});
      await page.waitForFunction(() => !document.querySelector("[aria-busy=true]"));
      await ready?.(page);
      found.push(...(await axe(page)).map((it) => `${name}: ${it}`));
    }
    await page.keyboard.press("Control+k");
    await page.getByRole("combobox", { name: "Go to" }).waitFor();
    found.push(...(await axe(page)).map((it) => `palette: ${it}`));
    await page.keyboard.press("Escape");
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keys" }).waitFor();
    found.push(...(await axe(page)).map((it) => `keys: ${it}`));
    assert.deepEqual(found, []);
    await page.done();
  });
}

for (const width of [390, 1024, 1440]) {
  test(`no page is wider than a window of ${width} pixels`, async () => {
    const page = await chromium.open(server, "/", { viewport: { width, height: 844 } });
    const found = [];
    for (const [name, path, ready] of SCREENS) {
      await page.goto(`${server.url}/studio${path}`);
      await page.getByRole("heading", { level: 1 }).waitFor();
      await ready?.(page);
      const over = await page.evaluate(() => {
        const main = document.querySelector("main");
        return [document.documentElement.scrollWidth - innerWidth, main.scrollWidth - main.clientWidth];
      });
      assert.ok(over.every((by) => by <= 0), `${name}: ${over}`);
      // What is folded away on a phone still has to have its name.
      if (width === 390) found.push(...(await axe(page)).map((it) => `${name}: ${it}`));
    }
    assert.deepEqual(found, []);
    await page.done();
  });
}
