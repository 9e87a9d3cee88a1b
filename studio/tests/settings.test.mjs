// The settings of a server that asks who one is: its keys, and its models.

import assert from "node:assert/strict";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { axe, key, world } from "./harness.mjs";
import { model } from "./model.mjs";

let isDown = false;
const scripted = await model(() => {
  if (isDown) throw 401;
  return "ready";
});
after(() => scripted.close());
const data = await mkdtemp(join(tmpdir(), "studio-"));
const admin = await key(data, "--identity", "root", "--admin");
const other = await key(data, "--identity", "ana");
const { server, chromium } = await world({ data, env: scripted.env });

/** A page that is signed in. */
async function signedIn(key) {
  const page = await chromium.open(server, "/settings", { expectErrors: true });
  const dialog = page.getByRole("dialog", { name: "Sign in" });
  await dialog.getByLabel("Key or token").fill(key);
  await dialog.getByRole("button", { name: "Sign in" }).click();
  return page;
}
const me = async (key) => (await fetch(`${server.url}/me`, { headers: { "x-api-key": key } })).status;

test("an administrator makes a key, sees it once, and takes it back", async () => {
  const page = await signedIn(admin);
  await page.getByText("The server knows you as root, an administrator.").waitFor();
  await page.getByRole("row", { name: /ana/ }).waitFor();
  assert.deepEqual(await axe(page), []);
  await page.getByRole("button", { name: "New key" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Whose").fill("bob");
  await dialog.getByRole("button", { name: /Add/ }).click();
  await dialog.getByRole("textbox", { name: "Scope" }).fill("thread:read");
  await dialog.getByRole("button", { name: "Make it" }).click();
  // The server's word stands at its field.
  await dialog.getByText(/expected `\*`, `me`, or resource:verb/).first().waitFor();
  await dialog.getByRole("textbox", { name: "Scope" }).fill("threads:read");
  await dialog.getByRole("button", { name: "Make it" }).click();
  const secret = await dialog.locator("code").innerText();
  assert.match(secret, /^gm_[0-9a-f]{16}_[0-9a-f]{64}$/);
  assert.equal(await me(secret), 200);
  assert.deepEqual(await axe(page), []);
  await dialog.getByRole("button", { name: "I have kept it" }).click();
  const row = page.getByRole("row", { name: /bob/ });
  await row.getByText("threads:read").waitFor();
  assert.ok(!(await page.content()).includes(secret));
  await row.getByRole("button", { name: "Take back" }).click();
  await row.getByRole("button", { name: "Press again" }).click();
  await row.getByText("✕ taken back").waitFor();
  await page.done();
});

test("a model is tried with its time, and a failure says why; secrets are nowhere", async () => {
  const page = await signedIn(admin);
  const row = page.getByRole("row", { name: /Writes posts/ });
  await row.getByText("127.0.0.1, with a key").waitFor();
  await row.getByRole("button", { name: "Test executor" }).click();
  await row.getByText(/✓ answered in/).waitFor();
  isDown = true;
  await row.getByRole("button", { name: "Test executor" }).click();
  await row.getByText(/✕ no answer after/).waitFor();
  isDown = false;
  assert.ok(!(await page.content()).includes("sk-test"));
  await page.done();
});

test("who is no administrator is told so", async () => {
  const page = await signedIn(other);
  await page.getByText("Only an administrator sees the keys here.", { exact: false }).waitFor();
  await page.getByText("The server knows you as ana").waitFor();
  assert.equal(await page.getByRole("button", { name: "New key" }).count(), 0);
  await page.done();
});
