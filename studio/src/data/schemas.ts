// What can be read off a schema without filling it in.

import type { JsonSchema } from "./queries";

/** What a reference within the document leads to. Nothing is ever fetched. */
export function resolve(reference: string, root: Record<string, unknown>): Record<string, unknown> | null {
  if (!reference.startsWith("#/")) return reference === "#" ? root : null;
  let at: unknown = root;
  for (const part of reference.slice(2).split("/")) {
    const key = decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
    at = (at as Record<string, unknown> | undefined)?.[key];
  }
  return at !== null && typeof at === "object" ? (at as Record<string, unknown>) : null;
}

/** Whether a graph takes messages, so that a text is enough of an input. */
export function takesMessages(schema: JsonSchema | null): boolean {
  if (schema === null || typeof schema === "boolean") return false;
  const messages = (schema.properties as Record<string, { type?: unknown }> | undefined)?.messages;
  return messages?.type === "array";
}
