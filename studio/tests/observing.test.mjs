// Two people at one run: who looks on steers nothing until they take it over, and both are told.

import assert from "node:assert/strict";
import { test } from "node:test";
import { api, axe, eventually, world } from "./harness.mjs";

const { server, chromium } = await world();
const pill = (page) => page.locator("header").getByRole("status").first();
const button = (page, name) => page.getByRole("button", { name });

/** A browser of somebody who said their name. */
async function person(name) {
  const page = await chromium.open(server, "/settings", { expectErrors: true });
  await page.getByLabel("Your name").fill(name);
  return page;
}

/** Starts a run there that does not end by itself, as a person does, and gives its thread. */
async function starts(page) {
  await page.goto(`${server.url}/studio/threads?new=1`);
  await page.getByLabel("Assistant").selectOption({ label: "steps" });
  await page.getByRole("button", { name: "As JSON" }).click();
  await page.getByRole("group", { name: "Input" }).getByRole("textbox").fill('{"n": 9, "delay": 600}');
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.waitForURL(/\/threads\/[0-9a-f-]{36}/);
  return new URL(page.url()).pathname.split("/").at(-1);
}

test("who looks on is told who drives, takes the run over by a key, and the other is told", async () => {
  const [ana, ben] = [await person("Ana"), await person("")];
  const thread = await starts(ana);
  await ana.getByRole("treeitem", { name: /Run 1.*running/ }).waitFor();
  await eventually(() => pill(ana).innerText(), "Live");
  await ben.goto(`${server.url}/studio/threads/${thread}`);
  await eventually(() => pill(ben).innerText(), "Observing; Ana drives");
  const refused = / ?, not now: Ana drives this run; take it over first/;
  for (const name of ["Stop", "New run", "Edit and fork", "Run from here"]) {
    await button(ben, new RegExp(`^${name}${refused.source}`)).waitFor();
  }
  // Neither do the keys that are for what is refused.
  for (const key of ["x", "f", "r"]) await ben.keyboard.press(key);
  assert.equal(await ben.getByRole("menu").or(ben.getByRole("dialog")).count(), 0);
  assert.deepEqual(await axe(ben), []);

  await ben.keyboard.press("t");
  await eventually(() => pill(ben).innerText(), "Live");
  await eventually(() => pill(ana).innerText(), "Observing; another browser drives");
  await button(ana, /^Stop ?, not now: another browser drives/).waitFor();
  // It is so after a reload, and it can be taken back by a button.
  await ana.reload();
  await eventually(() => pill(ana).innerText(), "Observing; another browser drives");
  await button(ana, "Take over").press("Enter");
  await eventually(() => pill(ben).innerText(), "Observing; Ana drives");
  await ana.keyboard.press("x");
  await ana.getByRole("menuitem", { name: /Stop now/ }).click();
  // Nobody drives what has ended.
  for (const page of [ana, ben]) {
    await page.getByRole("treeitem", { name: /Run 1.*cancelled/ }).waitFor();
    await eventually(() => pill(page).innerText(), "Live");
    await page.getByRole("button", { name: "New run", exact: true }).waitFor();
    await page.done();
  }
});

test("a run that cannot be taken over says why, and on a phone there is room for it", async () => {
  const ana = await person("Ana");
  const thread = await starts(ana);
  const page = await chromium.open(server, `/threads/${thread}`, { viewport: { width: 390, height: 844 }, colorScheme: "dark", expectErrors: true });
  await eventually(() => pill(page).textContent(), "Observing; Ana drives");
  assert.deepEqual(await axe(page), []);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  await page.route(`**/threads/${thread}`, (route) =>
    route.request().method() === "PATCH" ? route.fulfill({ status: 403, contentType: "application/json", body: '{"detail": "not yours"}' }) : route.fallback());
  await button(page, "Take over").click();
  await eventually(() => pill(page).innerText(), "Not taken over: not yours");
  await button(page, /^Stop ?, not now/).waitFor();
  await page.unroute(`**/threads/${thread}`);
  await button(page, "Take over").click();
  await eventually(() => pill(page).innerText(), "Live");
  await page.done();
  await ana.done();
});

test("a run of a program has no driver, and a stop that is refused says why", async () => {
  const { thread_id: thread } = await api(server, "/threads", {});
  await api(server, `/threads/${thread}/runs`, { assistant_id: "steps", input: { n: 9, delay: 600 }, stream_mode: ["tasks"] });
  const page = await chromium.open(server, `/threads/${thread}`, { expectErrors: true });
  await page.getByRole("treeitem", { name: /^step 1 step/ }).waitFor();
  assert.equal(await pill(page).innerText(), "Live");
  await page.route("**/cancel?*", (route) => route.fulfill({ status: 409, contentType: "application/json", body: '{"detail": "not just now"}' }), { times: 1 });
  await page.keyboard.press("x");
  await page.getByRole("menuitem", { name: /Stop now/ }).click();
  const alert = page.getByRole("alert").filter({ hasText: "The run was not stopped" });
  await alert.getByText("not just now").waitFor();
  await page.keyboard.press("x");
  await page.getByRole("menuitem", { name: /Stop now/ }).click();
  await page.getByRole("treeitem", { name: /Run 1.*cancelled/ }).waitFor();
  assert.equal(await alert.count(), 0);
  await page.done();
});
