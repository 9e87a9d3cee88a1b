// The canvas: where runs pause, what is mounted, and graphs of thousands of nodes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { api, axe, eventually, ran, world } from "./harness.mjs";

const { server, chromium } = await world();

test("a stop that is set on a node by a key is where the next run pauses", async () => {
  const thread = await ran(server, "noop3", { log: [] });
  const page = await chromium.open(server, `/threads/${thread}?view=canvas`);
  const node = page.getByRole("button", { name: /^b done/ });
  await node.focus();
  await page.keyboard.press("b");
  await page.getByText("The next run pauses before b.").waitFor();
  await page.keyboard.press("Shift+b");
  await page.keyboard.press("b");
  await page.getByRole("button", { name: /^b done.*, pauses after$/ }).waitFor();
  await page.getByRole("button", { name: "New run" }).click();
  await page.getByText("Stops: after b").waitFor();
  await page.getByRole("button", { name: "Earlier input" }).click();
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await eventually(async () => (await api(server, `/threads/${thread}/state`)).next, ["c"]);
  // It holds for this tab, and is taken away as it was set.
  await page.reload();
  await page.getByRole("button", { name: /^b .*, pauses after$/ }).focus();
  await page.keyboard.press("Shift+b");
  await page.getByText("No pause after b.").waitFor();
  await page.done();
});

test("a mounted graph is opened and closed where it stands, by pointer and by key", async () => {
  const thread = await ran(server, "nested", { messages: [] });
  const page = await chromium.open(server, `/threads/${thread}?view=canvas`);
  // What is small starts open.
  await page.locator('[data-node="gp_two:p_two:c_one"]').waitFor();
  await page.getByRole("button", { name: "p_two, mounted graph", exact: true }).click();
  const inner = page.locator('[data-node="gp_two:p_two"]');
  await inner.waitFor();
  assert.equal(await page.locator('[data-node="gp_two:p_two:c_one"]').count(), 0);
  await page.locator('[data-node="gp_one"]').focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  await eventually(() => page.evaluate(() => document.activeElement?.getAttribute("data-node")), "gp_two:p_two");
  await page.keyboard.press("o");
  await page.locator('[data-node="gp_two:p_two:c_one"]').waitFor();
  await page.getByRole("checkbox", { name: "Open mounted graphs" }).uncheck();
  await page.locator('[data-node="gp_two"]').waitFor();
  assert.equal(await page.locator("[data-node]").count(), 2);
  await page.done();
});

test("a graph of two thousand nodes starts closed, and is walked through by name", async () => {
  const thread = await ran(server, "large", {});
  const page = await chromium.open(server, `/threads/${thread}?view=canvas`);
  await page.getByRole("button", { name: /^lane0_stage0 done/ }).waitFor();
  assert.equal(await page.locator("[data-node]").count(), 40);
  await page.getByRole("checkbox", { name: "Open mounted graphs" }).check();
  await page.getByRole("group", { name: /^Graph large, 2000 nodes/ }).waitFor();
  // From afar it is a few strokes.
  assert.equal(await page.locator("[data-node]").count(), 0);
  const search = page.getByRole("searchbox", { name: "Find a node" });
  await search.fill("lane7_stage4:node9");
  await page.getByText("1 of 5: lane7_stage4:node9_0").waitFor();
  await search.press("ArrowDown");
  await page.getByText("2 of 5: lane7_stage4:node9_1").waitFor();
  assert.deepEqual(await axe(page), []);
  await search.press("Enter");
  const focused = () => page.evaluate(() => document.activeElement?.getAttribute("data-node"));
  await eventually(focused, "lane7_stage4:node9_1");
  await page.getByRole("complementary", { name: "Inspector" }).getByRole("heading", { name: "node9_1" }).waitFor();
  assert.ok((await page.locator("[data-node]").count()) < 200);
  // Arrows lead along edges, to nodes that were not drawn before.
  for (const next of ["node8_1", "node7_1", "node6_1", "node5_1", "node4_0"]) {
    await page.keyboard.press("ArrowUp");
    await eventually(focused, `lane7_stage4:${next}`);
  }
  await page.keyboard.press("0");
  await eventually(() => page.locator("[data-node]").count(), 0);
  await page.done();
});
