// The first minute: the demo, from an empty server to a post with its evidence.

import assert from "node:assert/strict";
import { test } from "node:test";
import { world } from "./harness.mjs";

const { server, chromium } = await world({ extra: [] });

test("the address of the server leads to the Studio", async () => {
  const page = await chromium.open(server, "");
  await page.goto(server.url);
  assert.equal(new URL(page.url()).pathname, "/studio/");
  await page.getByRole("heading", { level: 1, name: "Home" }).waitFor();
  await page.getByText("Nothing has run yet.").waitFor();
  await page.done();
});

test("the demo lights up nodes, and its post can be read with the evidence of each sentence", async () => {
  const page = await chromium.open(server, "/", { reducedMotion: "no-preference" });
  await page.getByRole("button", { name: "Run the demo" }).click();
  // At a pace that can be followed: first some nodes are done, and the last ones are not.
  await page.locator('[data-node="collect_sources"][data-state="done"]').waitFor();
  assert.equal(await page.locator('[data-node="compile_final_blog"][data-state="done"]').count(), 0);
  await page.getByRole("button", { name: "Show the end" }).click();
  await page.locator('[data-node="compile_final_blog"][data-state="done"]').waitFor();
  const post = page.getByRole("article");
  await post.getByRole("heading", { name: "How does a run survive a crash?" }).waitFor();
  const marks = post.getByRole("button", { name: /^Evidence \d+, quoted/ });
  assert.ok((await marks.count()) > 5);
  await marks.nth(2).click();
  const evidence = page.getByRole("complementary", { name: "Evidence" });
  await evidence.getByText("Quoted word for word").waitFor();
  const quoted = await evidence.locator("blockquote").innerText();
  assert.ok((await post.innerText()).replace(/\s+/g, " ").includes(quoted.slice(0, 40)));
  await evidence.locator("code").filter({ hasText: /^handbook\// }).first().waitFor();
  // A reload shows the same run again, at its end.
  await page.reload();
  await page.locator('[data-node="compile_final_blog"][data-state="done"]').waitFor();
  await page.done();
});

test("the demo, a difference, a fork and the way back need no pointer", async () => {
  const page = await chromium.open(server, "/");
  await page.getByRole("button", { name: "Run the demo" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("article").waitFor();
  await page.getByRole("link", { name: "Open the thread" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("tree", { name: "Steps" }).waitFor();
  await page.getByRole("treeitem", { name: /compile_final_blog/ }).waitFor();
  await page.keyboard.press("d");
  await page.getByText("+1 added").waitFor();
  await page.keyboard.press("[");
  await page.getByText("Viewing step 8 of 9").waitFor();
  await page.keyboard.press("f");
  const dialog = page.getByRole("dialog", { name: "Edit the state after step 8" });
  await dialog.getByText("language", { exact: true }).focus();
  await page.keyboard.press("Enter");
  const field = dialog.getByRole("textbox", { name: "language" });
  await field.focus();
  await page.keyboard.press("Control+a");
  await page.keyboard.type("de");
  await dialog.getByText("1 changed: language").waitFor();
  await dialog.getByRole("button", { name: "Make the fork" }).focus();
  await page.keyboard.press("Enter");
  const made = page.getByRole("dialog", { name: "The fork is made" });
  await made.getByText("compile_final_blog").waitFor();
  await made.getByRole("button", { name: "Run it now" }).focus();
  await page.keyboard.press("Enter");
  await made.waitFor({ state: "hidden" });
  await page.getByRole("treeitem", { name: /Edited by hand/ }).waitFor();
  // What was there stays: the other end is offered beside the new one.
  await page.getByRole("combobox", { name: "Fork" }).waitFor();
  await page.keyboard.press("g");
  await page.keyboard.press("h");
  await page.getByRole("heading", { level: 1, name: "Home" }).waitFor();
  await page.done();
});
