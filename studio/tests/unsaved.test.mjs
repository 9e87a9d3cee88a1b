// What was begun and not saved is there again when one comes back to it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { api, world } from "./harness.mjs";

const { server, chromium } = await world();

test("an assistant that was begun to be changed stays so while another is looked at", async () => {
  const made = [];
  for (const name of ["First", "Second"]) made.push(await api(server, "/assistants", { graph_id: "blogger", name }));
  const page = await chromium.open(server, `/assistants/${made[0].assistant_id}`);
  const field = page.getByLabel("Name", { exact: true });
  await field.fill("Renamed");
  const side = page.getByRole("navigation", { name: "Assistants" });
  await side.getByRole("link", { name: /First.*not saved/ }).waitFor();
  await side.getByRole("link", { name: /Second/ }).click();
  await page.getByRole("heading", { level: 1, name: "Second" }).waitFor();
  assert.equal(await field.inputValue(), "Second");
  await side.getByRole("link", { name: /First/ }).click();
  await page.getByText("Kept while this page is open.").waitFor();
  assert.equal(await field.inputValue(), "Renamed");
  await page.getByRole("button", { name: "Discard" }).click();
  assert.equal(await field.inputValue(), "First");
  await side.getByText("not saved").waitFor({ state: "detached" });
  await page.done();
});

test("an item that was begun to be changed stays so, and says when it was written meanwhile", async () => {
  for (const key of ["a", "b"]) await api(server, "/store/items", { namespace: ["notes"], key, value: { text: key } }, "PUT");
  const page = await chromium.open(server, "/store?ns=notes&key=a");
  await page.getByRole("tab", { name: "Edit" }).click();
  const field = page.getByLabel("Forget after minutes");
  await field.fill("90");
  const items = page.getByRole("region", { name: "Items" });
  await items.getByRole("button", { name: /^b/ }).click();
  await page.getByRole("heading", { level: 2, name: "b" }).waitFor();
  await items.getByText("not saved").waitFor();
  await items.getByRole("button", { name: /^a/ }).click();
  assert.equal(await field.inputValue(), "90");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByText(/forgotten 90 minutes after/).waitFor();
  await items.getByText("not saved").waitFor({ state: "detached" });
  await page.done();
});
