// Pictures of every screen: empty, live, waiting, finished and failed, at three widths, light and
// dark. `GENESIS_MESH_BIN=… node screenshots/take.mjs FOLDER [WORDS]` takes those whose names have
// all the words.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { api, browser, ran, serve } from "../tests/harness.mjs";

const [folder = "screenshots/out", ...words] = process.argv.slice(2);
const WIDTHS = { 1440: 900, 1024: 768, 390: 844 };
const THEMES = ["light", "dark"];

await mkdir(folder, { recursive: true });
const empty = await serve({ extra: [] });
const server = await serve();
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
  ["thread-waiting", server, `/threads/${waits}`, steps],
  ["thread-finished", server, `/threads/${done}`, steps],
  ["thread-canvas", server, `/threads/${done}?view=canvas&tab=diff`, (page) => page.locator('[data-node="assemble"]').waitFor()],
  ["thread-time", server, `/threads/${done}?view=time&tab=task`, (page) => page.getByRole("listbox", { name: "Tasks by time" }).waitFor()],
  ["thread-failed", server, `/threads/${failed}`, steps],
  ["thread-fork", server, `/threads/${done}`, async (page) => {
    await steps(page);
    await page.getByRole("button", { name: "Edit and fork" }).click();
    await page.getByText("language", { exact: true }).last().click();
  }],
  ["inbox-empty", empty, "/inbox", heading],
  ["inbox", server, "/inbox", heading],
  ["desk-empty", empty, "/desk", heading],
  ["desk", server, `/desk/${done}`, heading],
  ["graphs", server, "/graphs/blogger", (page) => page.locator('[data-node="assemble"]').waitFor()],
  ["assistants", server, "/assistants", heading],
  ["store-empty", empty, "/store", heading],
  ["wire", server, "/wire", heading],
  ["settings", server, "/settings", heading],
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
await chromium.close();
await server.remove();
await empty.remove();
