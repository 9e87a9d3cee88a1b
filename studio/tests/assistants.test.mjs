// Assistants with their versions, and the store.

import assert from "node:assert/strict";
import { test } from "node:test";
import { api, world } from "./harness.mjs";

const { server, chromium } = await world();

test("an assistant is made by the graph's form, changed into a version, compared and taken back", async () => {
  const page = await chromium.open(server, "/assistants");
  await page.getByRole("navigation", { name: "Assistants" }).getByRole("button", { name: "New assistant" }).click();
  await page.getByLabel("Graph").selectOption("simple_runtime");
  await page.getByLabel("Name").fill("Careful");
  await page.getByRole("radio", { name: "Anthropic" }).check();
  await page.getByRole("button", { name: "Make it" }).click();
  await page.getByRole("heading", { level: 1, name: "Careful" }).waitFor();
  const id = new URL(page.url()).pathname.split("/").at(-1);
  assert.deepEqual((await api(server, `/assistants/${id}`)).context, { model: "anthropic" });
  // A change is a version.
  const save = page.getByRole("button", { name: /^Save as a new version/ });
  assert.equal(await save.getAttribute("aria-disabled"), "true");
  await page.getByRole("radio", { name: "Openai" }).check();
  await page.getByLabel("Supersteps at most").fill("12");
  await save.click();
  await page.getByText("version 2", { exact: true }).waitFor();
  const second = await api(server, `/assistants/${id}`);
  assert.deepEqual([second.version, second.context, second.config.recursion_limit], [2, { model: "openai" }, 12]);
  // What is different, and the way back.
  await page.getByRole("tab", { name: "Versions" }).click();
  await page.getByRole("button", { name: /^Version 1/ }).click();
  const row = page.getByRole("row", { name: /configuration › model/ });
  assert.match(await row.innerText(), /openai\s+anthropic/);
  await page.getByRole("button", { name: "Make version 1 active" }).click();
  await page.getByText("version 1", { exact: true }).waitFor();
  assert.deepEqual((await api(server, `/assistants/${id}`)).context, { model: "anthropic" });
  // It can be tried at once.
  await page.getByRole("button", { name: "Try it" }).click();
  await page.getByRole("heading", { level: 1, name: "New thread" }).waitFor();
  assert.equal(await page.getByLabel("Assistant").inputValue(), id);
  await page.done();
});

test("a value out of bounds makes no version; deleting asks for the name", async () => {
  const made = await api(server, "/assistants", { graph_id: "agent", name: "Short-lived" });
  const page = await chromium.open(server, `/assistants/${made.assistant_id}`);
  await page.getByLabel("Supersteps at most").fill("0");
  await page.getByRole("button", { name: /^Save as a new version/ }).click();
  await page.getByText("Is 0, expected at least 1", { exact: true }).waitFor();
  assert.equal((await api(server, `/assistants/${made.assistant_id}`)).version, 1);
  await page.getByRole("button", { name: "Delete" }).click();
  const dialog = page.getByRole("dialog", { name: "Delete Short-lived" });
  const remove = dialog.getByRole("button", { name: /^Delete with all versions/ });
  assert.equal(await remove.getAttribute("aria-disabled"), "true");
  await dialog.getByLabel("Type its name to delete it").fill("Short-lived");
  await remove.click();
  await page.getByText("An assistant is a graph with a name").waitFor();
  assert.equal((await fetch(`${server.url}/assistants/${made.assistant_id}`)).status, 404);
  await page.done();
});

test("an item is written, found, changed with its time kept, and deleted by two presses", async () => {
  const page = await chromium.open(server, "/store");
  await page.getByText("Nothing is remembered yet.").waitFor();
  await page.getByRole("button", { name: "New item" }).click();
  await page.getByRole("textbox", { name: "Label 1" }).fill("users");
  await page.getByRole("button", { name: "Add label" }).click();
  await page.getByRole("textbox", { name: "Label 2" }).fill("ana");
  await page.getByRole("textbox", { name: "Key" }).fill("profile");
  await page.getByRole("textbox", { name: "Value" }).fill('{"name": "Ana"}');
  await page.getByLabel("Forget after minutes").fill("90");
  await page.getByRole("button", { name: "Write it" }).click();
  const item = page.getByRole("article", { name: "profile" });
  await item.getByText("forgotten 90 minutes after it was written or read").waitFor();
  // Changing the value leaves the time as it is.
  await item.getByRole("tab", { name: "Edit" }).click();
  await item.getByRole("textbox", { name: "Value" }).fill('{"name": "Ana", "likes": "trains"}');
  await item.getByRole("button", { name: "Save", exact: true }).click();
  await item.getByText("trains").waitFor();
  const kept = await api(server, "/store/items?namespace=users.ana&key=profile");
  assert.deepEqual([kept.value, kept.ttl], [{ name: "Ana", likes: "trains" }, 90]);
  // Search by words; the tree leads to namespaces.
  await api(server, "/store/items", { namespace: ["teams"], key: "core", value: { name: "Core" } }, "PUT");
  await page.goto(`${server.url}/studio/store`);
  await page.getByRole("searchbox", { name: "Filter by words" }).fill("trains");
  const items = page.getByRole("region", { name: "Items" });
  await items.getByRole("button", { name: /^core/ }).waitFor({ state: "detached" });
  await items.getByRole("button", { name: /^profile/ }).click();
  await page.getByRole("article", { name: "profile" }).getByRole("button", { name: "Delete" }).click();
  await page.getByRole("button", { name: "Press again to delete it" }).click();
  await items.getByRole("button", { name: /^profile/ }).waitFor({ state: "detached" });
  assert.equal(await api(server, "/store/items?namespace=users.ana&key=profile"), null);
  await page.done();
});

test("a namespace that cannot be is refused in words", async () => {
  const page = await chromium.open(server, "/store?new=1", { expectErrors: true });
  await page.getByRole("textbox", { name: "Label 1" }).fill("a.b");
  await page.getByRole("textbox", { name: "Key" }).fill("k");
  await page.getByRole("button", { name: "Write it" }).click();
  await page.getByText(/does not have the form/i).first().waitFor();
  await page.done();
});
