// The list of threads as a tool: tags, filters that are kept, and many threads at once.

import assert from "node:assert/strict";
import { test } from "node:test";
import { api, axe, eventually, ran, world } from "./harness.mjs";

const { server, chromium } = await world();

const links = (page) => page.getByRole("list", { name: "Threads" }).getByRole("link");

test("a thread gets tags, and the list is filtered by them, by graph and by time", async () => {
  const thread = await ran(server, "noop3", { log: [] }, { metadata: { title: "To be tagged" } });
  await ran(server, "steps", { n: 1, delay: 0 }, { metadata: { title: "Without a tag" } });
  const page = await chromium.open(server, `/threads/${thread}`);
  await page.getByRole("button", { name: "More" }).click();
  await page.getByRole("menuitem", { name: "Tags" }).click();
  await page.getByRole("dialog").getByRole("textbox").fill("nightly, for Ana, nightly");
  await page.keyboard.press("Enter");
  await eventually(async () => (await api(server, `/threads/${thread}`)).metadata.tags, ["nightly", "for Ana"]);
  await page.goto(`${server.url}/studio/threads`);
  await links(page).filter({ hasText: "Without a tag" }).waitFor();
  await page.getByRole("combobox", { name: "Tag" }).selectOption("for Ana");
  await eventually(async () => links(page).count(), 1);
  assert.match(await links(page).innerText(), /To be tagged/);
  // A change elsewhere finds its way into the list that it belongs to, and into no other.
  await ran(server, "noop3", { log: [] }, { metadata: { title: "Tagged elsewhere", tags: ["other", "for Ana"] } });
  await ran(server, "noop3", { log: [] }, { metadata: { title: "Not for her", tags: ["other"] } });
  await links(page).filter({ hasText: "Tagged elsewhere" }).waitFor();
  assert.equal(await links(page).filter({ hasText: "Not for her" }).count(), 0);
  await page.getByRole("combobox", { name: "Tag" }).selectOption("");
  await page.getByRole("combobox", { name: "Graph" }).selectOption("steps");
  await eventually(async () => links(page).count(), 1);
  await page.getByRole("combobox", { name: "Changed" }).selectOption("day");
  await page.getByText("1 shown of 1").waitFor();
  await page.done();
});

test("the list is filtered by an assistant, which leads to its threads, and tells of one that is gone", async () => {
  const { assistant_id: careful } = await api(server, "/assistants", { graph_id: "noop3", name: "Careful" });
  await ran(server, careful, { log: [] }, { metadata: { title: "By the careful one" } });
  await ran(server, "noop3", { log: [] }, { metadata: { title: "By the graph itself" } });
  const page = await chromium.open(server, `/assistants/${careful}`);
  await page.getByRole("link", { name: "1 thread", exact: true }).click();
  const filter = page.getByRole("combobox", { name: "Assistant" });
  await eventually(async () => (await links(page).allInnerTexts()).map((it) => it.split("\n")[0]), ["By the careful one"]);
  assert.equal(await filter.inputValue(), careful);
  await filter.selectOption("");
  await links(page).filter({ hasText: "By the graph itself" }).waitFor();
  // On a phone all filters are behind one button.
  await page.setViewportSize({ width: 390, height: 844 });
  assert.equal(await filter.isVisible(), false);
  const more = page.getByRole("button", { name: "More filters" });
  await more.focus();
  await page.keyboard.press("Enter");
  await filter.selectOption("Careful");
  await eventually(async () => (await links(page).allInnerTexts()).length, 1);
  assert.match(await links(page).innerText(), /By the careful one[\s\S]*idle[\s\S]*(now|ago)/);
  assert.deepEqual(await axe(page), []);
  await api(server, `/assistants/${careful}`, undefined, "DELETE");
  await page.reload();
  await page.getByRole("searchbox", { name: "Filter by words or id" }).fill("nothing has these words");
  await page.getByText("assistant that is gone", { exact: false }).last().waitFor();
  await page.done();
});

test("a filter is kept under a name, used again after a reload, and forgotten", async () => {
  await ran(server, "noop3", { log: [] }, { metadata: { title: "Blue one", team: "blue" } });
  const page = await chromium.open(server, "/threads?status=idle");
  await links(page).filter({ hasText: "Blue one" }).waitFor();
  await page.getByRole("searchbox", { name: "Filter by words or id" }).fill("blue");
  await page.getByRole("button", { name: "Filters" }).click();
  await page.getByRole("menuitem", { name: "Save this filter" }).click();
  await page.getByRole("dialog").getByRole("textbox", { name: "Name" }).fill("Blue and idle");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Blue and idle" }).waitFor();
  await page.goto(`${server.url}/studio/threads`);
  await page.getByRole("button", { name: "Filters" }).click();
  await page.getByRole("menuitem", { name: /Blue and idle.*blue.*status idle/ }).click();
  assert.equal(await page.getByRole("combobox", { name: "Status" }).inputValue(), "idle");
  await eventually(async () => links(page).allInnerTexts().then((all) => all.every((it) => /blue/i.test(it))), true);
  await page.getByRole("button", { name: "Blue and idle" }).click();
  await page.getByRole("menuitem", { name: /Forget/ }).click();
  await page.getByRole("button", { name: "Filters" }).waitFor();
  await page.done();
});

test("runs of many threads are cancelled, and many threads deleted, only by typing it", async () => {
  const threads = [];
  for (let place = 0; place < 3; place += 1) {
    const { thread_id: thread } = await api(server, "/threads", { metadata: { title: `Long one ${place}`, batch: "bulk" } });
    await api(server, `/threads/${thread}/runs`, { assistant_id: "steps", input: { n: 9, delay: 600 }, stream_mode: ["tasks"] });
    threads.push(thread);
  }
  const page = await chromium.open(server, "/threads?meta=batch%3Dbulk");
  await eventually(async () => links(page).count(), 3);
  await page.getByRole("button", { name: "Select", exact: true }).click();
  await page.getByRole("checkbox", { name: "Select Long one 1" }).focus();
  await page.keyboard.press("Space");
  await page.getByText("1 selected").waitFor();
  await page.getByRole("button", { name: "Select all 3 shown" }).click();
  assert.deepEqual(await axe(page), []);
  await page.getByRole("button", { name: "Cancel their runs" }).click();
  const dialog = page.getByRole("dialog");
  const cancel = dialog.getByRole("button", { name: /^Cancel the runs/ });
  assert.equal(await cancel.getAttribute("aria-disabled"), "true");
  await dialog.getByRole("textbox").fill("cancel 3 threads");
  await cancel.click();
  await eventually(async () => Promise.all(threads.map(async (it) => (await api(server, `/threads/${it}`)).status)), Array(3).fill("interrupted"));
  await dialog.waitFor({ state: "hidden" });
  await page.getByRole("button", { name: "Select all 3 shown" }).click();
  await page.getByRole("checkbox", { name: "Select Long one 2" }).uncheck();
  await page.getByRole("button", { name: "Delete" }).click();
  await dialog.getByRole("textbox").fill("delete 2 threads");
  assert.deepEqual(await axe(page), []);
  await dialog.getByRole("button", { name: "Delete for ever" }).click();
  await eventually(async () => Promise.all(threads.map(async (it) => (await fetch(`${server.url}/threads/${it}`)).status)), [404, 404, 200]);
  await eventually(async () => links(page).count(), 1);
  await page.done();
});
