// A first value for a schema: what has to be there, with defaults and examples where it has any.

import type { JsonSchema } from "./queries";

/** Depth to which references and objects are followed. */
const DEPTH_MAX = 8;

export function skeleton(schema: JsonSchema | null): unknown {
  if (schema === null || typeof schema === "boolean") return {};
  return made(schema, schema, 0);
}

function made(schema: Record<string, unknown>, root: Record<string, unknown>, depth: number): unknown {
  if (depth > DEPTH_MAX) return null;
  if ("default" in schema) return schema.default;
  if (Array.isArray(schema.examples) && schema.examples.length) return schema.examples[0];
  if ("const" in schema) return schema.const;
  if (Array.isArray(schema.enum)) return schema.enum[0];
  const reference = schema.$ref;
  if (typeof reference === "string") {
    const found = resolve(reference, root);
    return found ? made(found, root, depth + 1) : null;
  }
  for (const key of ["oneOf", "anyOf", "allOf"]) {
    const [first] = Array.isArray(schema[key]) ? (schema[key] as Record<string, unknown>[]) : [];
    if (first) return made(first, root, depth + 1);
  }
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  switch (type) {
    case "string": return "";
    case "integer":
    case "number": return typeof schema.minimum === "number" ? schema.minimum : 0;
    case "boolean": return false;
    case "array": return [];
    case "object": {
      const properties = (schema.properties ?? {}) as Record<string, Record<string, unknown>>;
      const required = Array.isArray(schema.required) ? (schema.required as string[]) : [];
      const names = required.length ? required : Object.keys(properties);
      return Object.fromEntries(names.map((name) => [name, made(properties[name] ?? {}, root, depth + 1)]));
    }
    default: return null;
  }
}

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
