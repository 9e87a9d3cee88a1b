// Everybody can use it: axe on every screen in every theme, sizes of phones, and no wide pages.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { api, axe, browser, ran, serve } from "./harness.mjs";

let server, chromium, threads;
before(async () => {
  server = await serve();
  chromium = await browser();
  const done = await ran(server, "blogger", { topic: "How does a run survive a crash?", mode: "extractive", sources: { search: false } });
  const waits = await ran(server, "agent", { messages: [{ role: "user", content: "Hello" }] });
  const { thread_id: failed } = await api(server, "/threads", {});
  await api(server, `/threads/${failed}/runs/wait`, { assistant_id: "error", input: { messages: [] }, stream_mode: ["tasks"] });
  const { run_id: run } = (await api(server, `/threads/${done}/runs`))[0];
  threads = { done, waits, failed, run };
});
after(async () => {
  await chromium?.close();
  await server?.remove();
});

const screens = () => [
  ["home", "/"],
  ["the demo at its end", `/?thread=${threads.done}&run=${threads.run}`, (page) => page.getByRole("article").waitFor()],
  ["threads", "/threads"],
  ["a new thread", "/threads?new=1"],
  ["a finished thread", `/threads/${threads.done}`],
  ["its canvas and differences", `/threads/${threads.done}?view=canvas&tab=diff`, (page) => page.getByRole("button", { name: /^assemble/ }).waitFor()],
  ["its times and task", `/threads/${threads.done}?view=time&tab=task`],
  ["its JSON", `/threads/${threads.done}?view=text&tab=json`],
  ["a waiting thread", `/threads/${threads.waits}`],
  ["a failed thread", `/threads/${threads.failed}`],
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
    for (const [name, path, ready] of screens()) {
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
    for (const [name, path] of screens()) {
      await page.goto(`${server.url}/studio${path}`);
      await page.getByRole("heading", { level: 1 }).waitFor();
      const over = await page.evaluate(() => {
        const main = document.querySelector("main");
        return [document.documentElement.scrollWidth - innerWidth, main.scrollWidth - main.clientWidth];
      });
      assert.ok(over.every((by) => by <= 0), `${name}: ${over}`);
    }
    await page.done();
  });
}
