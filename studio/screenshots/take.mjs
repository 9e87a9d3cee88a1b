// Pictures of every screen: empty, live, waiting, finished and failed, at three widths, light and
// dark. `GENESIS_MESH_BIN=… node screenshots/take.mjs FOLDER [WORDS]` takes those whose names have
// all the words.

import { mkdir, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { api, browser, key, ran, serve } from "../tests/harness.mjs";
import { model } from "../tests/model.mjs";

const [folder = "screenshots/out", ...words] = process.argv.slice(2);
const WIDTHS = { 1440: 900, 1024: 768, 390: 844 };
const THEMES = ["light", "dark"];

await mkdir(folder, { recursive: true });
const empty = await serve({ extra: [] });
const server = await serve();
// One that asks who one is, with models that answer.
const data = await mkdtemp(join(tmpdir(), "studio-"));
const admin = await key(data, "--identity", "ana", "--admin");
for (const [identity, ...more] of [["nightly-builds", "--scope", "threads:create_run"], ["print-shop"]]) await key(data, "--identity", identity, ...more);
const scripted = await model(() => "ready");
const closed = await serve({ data, env: scripted.env });
const chromium = await browser();

const topic = "How does a run survive a crash?";
const done = await ran(server, "blogger", { topic, mode: "extractive", sources: { search: false } }, { metadata: { title: topic } });
const run = (await api(server, `/threads/${done}/runs`))[0].run_id;
await ran(server, "noop3", { log: [] }, { metadata: { title: "Nightly check of the links" } });
await ran(server, "weather", { messages: [{ role: "user", content: "Is it raining in Lisbon?" }] });
const waits = await ran(server, "agent", { messages: [{ role: "user", content: "Look up the third version" }] });
const { thread_id: failed } = await api(server, "/threads", { metadata: { title: "Import of the old archive" } });
await api(server, `/threads/${failed}/runs/wait`, { assistant_id: "error", input: { messages: [] }, stream_mode: ["tasks"] });
const { thread_id: live } = await api(server, "/threads", { metadata: { title: "A long count" } });
await api(server, `/threads/${live}/runs`, {
  assistant_id: "steps", input: { n: 5000, delay: 0.4 }, config: { recursion_limit: 6000 }, stream_mode: ["tasks"],
});

const { thread_id: fan } = await api(server, "/threads", { metadata: { title: "Two hundred parts", tags: ["nightly", "scale"] } });
await api(server, `/threads/${fan}/runs/wait`, { assistant_id: "fan_out", input: { parts: 200, delay: 0.05, fails: [117] }, stream_mode: ["tasks"] });
const large = await ran(server, "large", {}, { metadata: { title: "A large graph" } });

const object = (properties, required = []) => ({ type: "object", properties, required });
const asked = await ran(server, "ask", { questions: [
  {
    value: { question: "Is this outline good enough to write from?", text: "The planner found **six sources**. Two of them say the same, so the third section stands on one source alone.\n\n- Why a run survives\n- What a checkpoint holds\n- What the log adds" },
    schema: object({ decision: { enum: ["approve", "change", "stop"] }, instruction: { type: "string", maxLength: 600, description: "What should be different.", "x-order": 1 }, words: { type: "integer", minimum: 150, maximum: 6000, default: 1200, "x-order": 2 } }, ["decision"]),
  },
  {
    value: { action_requests: [{ name: "delete_files", args: { path: "/srv/archive/2019", recursive: true, keep: ["index.html", "robots.txt"] }, description: "The agent wants to clear the old archive." }] },
    schema: object({ decisions: { type: "array", minItems: 1, maxItems: 1, prefixItems: [{ oneOf: [object({ type: { const: "approve" } }, ["type"]), object({ type: { const: "reject" }, message: { type: "string" } }, ["type"])] }] } }, ["decisions"]),
  },
  {
    value: "When do you want to meet, and how many come?",
    schema: object({
      day: { type: "string", format: "date", "x-order": 1 }, people: { type: "integer", minimum: 2, maximum: 40, "x-order": 2 },
      extras: { type: "array", uniqueItems: true, items: { enum: ["projector", "whiteboard", "coffee"] }, "x-order": 3 },
      contact: { oneOf: [{ title: "By mail", ...object({ mail: { type: "string", format: "email" } }, ["mail"]) }, { title: "By phone", ...object({ phone: { type: "string" } }, ["phone"]) }], "x-order": 4 },
    }, ["day", "people", "contact"]),
  },
] }, { metadata: { title: "Release notes for 1.0" } });
const questions = Object.values((await api(server, `/threads/${asked}`)).interrupts).flat();
const questionOf = (words) => questions.find((it) => JSON.stringify(it.value).includes(words)).id;
const outlined = await ran(server, "blogger", { topic: "What is a checkpoint?", mode: "extractive", sources: { search: false } }, { interrupt_after: ["generate_blog_plan"], metadata: { title: "What is a checkpoint?" } });
const changed = await ran(server, "blogger", { topic: "What does a checkpoint hold?", mode: "extractive", sources: { search: false } }, { metadata: { title: "What does a checkpoint hold?" } });
{
  const { values } = await api(server, `/threads/${changed}/state`);
  const { id, content } = values.completed_sections.find((section) => section.research);
  const revisions = [{ type: "text", section: id, text: `${content}\n\nNobody at our place has lost a run since we switched.` }];
  await api(server, `/threads/${changed}/runs/wait`, { assistant_id: "blogger", command: { goto: "run_checks", update: { revisions } } });
}
for (const name of ["Hetzner", "the print shop"]) {
  await ran(server, "ask", { questions: [{
    value: { question: `Pay the bill of ${name}?`, text: `The bill of ${name} came yesterday.`, deadline: new Date(Date.now() + 7_200_000).toISOString() },
    schema: object({ decision: { enum: ["approve", "stop"] }, note: { type: "string" } }, ["decision"]),
  }] }, { metadata: { title: `Bills: ${name}` } });
}
const { thread_id: unwritten } = await api(server, "/threads", { metadata: { title: "A post by a model that is not there" } });
await api(server, `/threads/${unwritten}/runs/wait`, { assistant_id: "blogger", input: { topic: "A post by a model that is not there", mode: "model" } });
const { assistant_id: careful } = await api(server, "/assistants", { graph_id: "simple_runtime", name: "Careful", description: "Asks twice.", context: { model: "openai" }, config: { recursion_limit: 30 } });
await api(server, `/assistants/${careful}`, { context: { model: "anthropic" }, config: { recursion_limit: 40, tags: ["nightly"] } }, "PATCH");
for (const [namespace, key, value, ttl] of [
  [["users", "ana"], "profile", { name: "Ana", likes: ["trains", "rust"] }], [["users", "ana", "notes"], "2026-11-21", { text: "Prefers short answers." }, 43200],
  [["users", "ben"], "profile", { name: "Ben" }], [["teams", "core"], "style", { tone: "dry", words: 1200 }],
]) await api(server, "/store/items", { namespace, key, value, ttl }, "PUT");

const { thread_id: driven } = await api(server, "/threads", { metadata: { title: "A count that Ana began" } });
await api(server, `/threads/${driven}/runs`, {
  assistant_id: "steps", input: { n: 5000, delay: 0.4 }, config: { recursion_limit: 6000 }, stream_mode: ["tasks"], metadata: { driver: { id: "browser:0", name: "Ana" } },
});

const signIn = async (page) => {
  await page.getByLabel("Key or token").fill(admin);
  await page.getByRole("dialog").getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("row", { name: /print-shop/ }).waitFor();
};
const heading = (page) => page.getByRole("heading", { level: 1 }).waitFor();
const article = (page) => page.getByRole("article").first().waitFor();
const steps = (page) => page.getByRole("treeitem").first().waitFor();

/** Name, server, address, and what has to be there. */
const SHOTS = [
  ["home-empty", empty, "/", heading],
  ["home", server, "/", heading],
  ["home-demo-live", server, "/", async (page) => {
    await page.getByRole("button", { name: "Run the demo" }).click();
    await page.locator('[data-node="build_section_with_web_research"][data-state="done"]').waitFor();
  }, { reducedMotion: "no-preference" }],
  ["home-demo-finished", server, `/?thread=${done}&run=${run}`, async (page) => {
    await article(page);
    await page.getByRole("button", { name: /^Evidence 3/ }).click();
    await page.getByRole("article").evaluate((it) => it.scrollIntoView());
  }],
  ["threads-empty", empty, "/threads", heading],
  ["threads", server, "/threads", heading],
  ["thread-new", server, "/threads?new=1&assistant=blogger", heading],
  ["thread-live", server, `/threads/${live}`, steps],
  ["thread-observing", server, `/threads/${driven}`, async (page) => {
    await steps(page);
    await page.getByRole("button", { name: "Take over" }).waitFor();
  }],
  ["thread-waiting", server, `/threads/${waits}`, steps],
  ["thread-finished", server, `/threads/${done}`, steps],
  ["thread-canvas", server, `/threads/${done}?view=canvas&tab=diff`, (page) => page.locator('[data-node="assemble"]').waitFor()],
  ["thread-time", server, `/threads/${done}?view=time&tab=task`, (page) => page.getByRole("listbox", { name: "Tasks by time" }).waitFor()],
  ["thread-fan-out", server, `/threads/${fan}?view=both&tab=task`, async (page) => {
    await page.getByRole("treeitem", { name: /part ×200/ }).click();
    await page.getByText("200 tasks").waitFor();
  }],
  ["thread-stops", server, `/threads/${fan}?view=canvas`, async (page) => {
    await page.locator('[data-node="part"]').focus();
    await page.keyboard.press("b");
    await page.keyboard.press("Shift+b");
    await page.getByText("pauses after part").waitFor();
  }],
  ["thread-large", server, `/threads/${large}?view=canvas`, (page) => page.locator('[data-node="lane0_stage0"]').waitFor()],
  ["thread-large-open", server, `/threads/${large}?view=canvas`, async (page) => {
    await page.getByRole("checkbox", { name: "Open mounted graphs" }).check();
    await page.getByRole("searchbox", { name: "Find a node" }).waitFor();
  }],
  ["thread-large-near", server, `/threads/${large}?view=canvas`, async (page) => {
    await page.getByRole("button", { name: "lane1_stage1, mounted graph" }).click();
    await page.locator('[data-node="lane1_stage1:node0_0"]').waitFor();
  }],
  ["thread-composer", server, `/threads/${waits}`, async (page) => {
    await page.getByRole("button", { name: "New run" }).click();
    await page.getByRole("region", { name: "New run" }).waitFor();
  }],
  ["threads-filters", server, "/threads?status=error", async (page) => {
    const more = page.getByRole("button", { name: "More filters" });
    if (await more.isVisible()) await more.click();
  }],
  ["threads-selected", server, "/threads", async (page) => {
    await page.getByRole("button", { name: "Select", exact: true }).click();
    await page.getByRole("checkbox").nth(1).check();
  }],
  ["thread-failed", server, `/threads/${failed}`, steps],
  ["thread-fork", server, `/threads/${done}`, async (page) => {
    await steps(page);
    await page.getByRole("button", { name: "Edit and fork" }).click();
    await page.getByText("language", { exact: true }).last().click();
  }],
  ["inbox-empty", empty, "/inbox", heading],
  ["inbox", server, "/inbox", heading],
  ["inbox-question", server, `/inbox/${questionOf("outline")}`, (page) => page.getByRole("button", { name: "Approve" }).waitFor()],
  ["inbox-tools", server, `/inbox/${questionOf("delete_files")}`, (page) => page.getByRole("radio").first().waitFor()],
  ["inbox-alike", server, "/inbox", async (page) => {
    await page.getByRole("link", { name: /Pay the bill/ }).first().click();
    await page.getByRole("button", { name: "Answer all alike" }).click();
    await page.getByText("came yesterday").last().waitFor();
  }],
  ["inbox-put-off", server, "/inbox", async (page) => {
    await page.getByRole("link", { name: /Pay the bill/ }).first().click();
    await page.getByRole("button", { name: "Put off until" }).click();
  }],
  ["inbox-problems", server, `/inbox/${questionOf("meet")}`, async (page) => {
    await page.getByRole("button", { name: "Answer", exact: true }).click();
    await page.getByRole("alert").waitFor();
  }],
  ["desk-empty", empty, "/desk", heading],
  ["desk", server, "/desk", heading],
  ["desk-request", server, "/desk/new", (page) => page.getByLabel("Topic").waitFor()],
  ["desk-outline", server, `/desk/${outlined}`, (page) => page.getByText("Is this outline good?").waitFor()],
  ["desk-sources", server, `/desk/${done}?step=sources`, (page) => page.getByRole("table").waitFor()],
  ["desk-sources-out", server, `/desk/${changed}?step=sources`, async (page) => {
    await page.getByRole("button", { name: /^Leave out/ }).nth(1).click();
    await page.getByText("is to be left out").waitFor();
  }],
  ["desk-draft", server, `/desk/${done}?step=draft`, async (page) => {
    await page.getByRole("button", { name: /^Evidence 2,/ }).focus();
    await page.locator("blockquote mark").waitFor();
  }],
  ["desk-edit", server, `/desk/${changed}?step=draft`, async (page) => {
    await page.getByRole("button", { name: /^Edit / }).first().click();
    await page.getByText("Sources to cite").waitFor();
  }],
  ["desk-changed", server, `/desk/${changed}?step=draft`, async (page) => {
    await page.getByText("Nobody at our place").last().scrollIntoViewIfNeeded();
  }],
  ["desk-versions", server, `/desk/${changed}?step=draft`, async (page) => {
    await page.getByRole("button", { name: /^2 versions/ }).click();
    await page.locator("ins").waitFor();
  }],
  ["desk-accept", server, `/desk/${changed}?step=checks`, async (page) => {
    await page.getByRole("button", { name: "Accept with a reason" }).first().click();
    await page.getByLabel("Why it may stay").fill("It is our own experience.");
  }],
  ["desk-checks", server, `/desk/${done}?step=checks`, (page) => page.getByText("No section is empty").waitFor()],
  ["desk-export", server, `/desk/${done}?step=export`, (page) => page.getByRole("button", { name: "Download" }).waitFor()],
  ["desk-failed", server, `/desk/${unwritten}`, (page) => page.getByRole("alert").waitFor()],
  ["graphs", server, "/graphs/blogger", (page) => page.locator('[data-node="assemble"]').waitFor()],
  ["assistants", server, "/assistants", (page) => page.getByRole("link", { name: /^Careful/ }).or(page.getByRole("heading")).first().waitFor()],
  ["assistant-new", server, "/assistants/new?graph=simple_runtime", (page) => page.getByLabel("Name").waitFor()],
  ["assistant", server, `/assistants/${careful}`, (page) => page.getByLabel("Name").waitFor()],
  ["assistant-versions", server, `/assistants/${careful}?part=versions`, (page) => page.getByRole("row", { name: /model/ }).waitFor()],
  ["store-empty", empty, "/store", heading],
  ["store", server, "/store?ns=users", (page) => page.getByRole("button", { name: /^profile/ }).first().waitFor()],
  ["store-item", server, "/store?ns=users.ana&key=profile", (page) => page.getByRole("article", { name: "profile" }).waitFor()],
  ["wire", server, "/wire", heading],
  ["settings", server, "/settings", heading],
  ["sign-in", closed, "/", (page) => page.getByLabel("Key or token").waitFor()],
  ["settings-signed-in", closed, "/settings", signIn],
  ["settings-keys", closed, "/settings", async (page) => {
    await signIn(page);
    await page.getByRole("heading", { name: "Access" }).evaluate((it) => it.scrollIntoView());
  }],
  ["settings-models", closed, "/settings", async (page) => {
    await signIn(page);
    await page.getByRole("button", { name: /^Test/ }).first().click();
    await page.getByText(/answered/).first().waitFor();
    await page.getByRole("heading", { name: "Models" }).evaluate((it) => it.scrollIntoView());
  }],
  ["settings-new-key", closed, "/settings", async (page) => {
    await signIn(page);
    await page.getByRole("button", { name: "New key" }).click();
    await page.getByLabel("Whose").fill("laptop");
  }],
  ["palette", server, "/", async (page) => {
    await heading(page);
    await page.keyboard.press("Control+k");
  }],
  ["keys", server, `/threads/${done}`, async (page) => {
    await steps(page);
    await page.keyboard.press("?");
  }],
];

let taken = 0;
for (const [name, from, path, ready, options] of SHOTS) {
  for (const [width, height] of Object.entries(WIDTHS)) {
    for (const theme of THEMES) {
      const file = `${name}-${width}-${theme}.png`;
      if (!words.every((word) => file.includes(word))) continue;
      const page = await chromium.open(from, path, { viewport: { width: Number(width), height }, colorScheme: theme, expectErrors: true, ...options });
      page.setDefaultTimeout(8_000);
      try {
        await ready(page);
        await page.waitForLoadState("networkidle", { timeout: 2_000 }).catch(() => {});
        await page.screenshot({ path: join(folder, file) });
        taken += 1;
      } catch (error) {
        console.error(`${file}: ${error.message.split("\n")[0]}`);
        process.exitCode = 1;
      }
      await page.context().close();
    }
  }
}
console.log(`${taken} pictures in ${folder}`);
await chromium.remove();
await scripted.close();
for (const one of [server, empty, closed]) await one.remove();
