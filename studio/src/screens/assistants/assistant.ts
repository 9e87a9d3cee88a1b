// What of an assistant a person sets, as one form: its name, what its graph reads, its limits.

import type { Assistant } from "@langchain/langgraph-sdk";
import { isObject, type AnySchema, type Schema } from "../../forms";

export interface Settings {
  name: string;
  description?: string;
  context?: Record<string, unknown>;
  recursion_limit?: number;
  tags?: string[];
  metadata?: Record<string, unknown>;
}

/** Metadata that the server writes. */
const OWN = new Set(["created_by", "owner"]);

/** Whether it stands for a graph as it is, made by the server. */
export const isOfGraph = (assistant: Assistant) => assistant.metadata?.created_by === "system";

export function settingsOf(assistant: Assistant): Settings {
  const config = assistant.config as { recursion_limit?: number; tags?: string[] };
  const metadata = Object.fromEntries(Object.entries(assistant.metadata ?? {}).filter(([key]) => !OWN.has(key)));
  const context = isObject(assistant.context) ? assistant.context : {};
  return {
    name: assistant.name,
    ...(assistant.description ? { description: assistant.description } : {}),
    ...(Object.keys(context).length ? { context } : {}),
    ...(config.recursion_limit === undefined ? {} : { recursion_limit: config.recursion_limit }),
    ...(config.tags?.length ? { tags: config.tags } : {}),
    ...(Object.keys(metadata).length ? { metadata } : {}),
  };
}

/** The form of the settings. `context` is what the graph says of its configuration. */
export function schemaOf(context: AnySchema | null): Schema {
  const own: Schema = isObject(context) ? { ...context } : { type: "object" };
  const defs = isObject(own.$defs) ? own.$defs : {};
  delete own.$defs;
  delete own.$schema;
  return {
    type: "object",
    required: ["name"],
    // References of the graph's schema count from its root, which this is now.
    $defs: defs,
    properties: {
      name: { type: "string", title: "Name", minLength: 1, maxLength: 200, "x-widget": "line" },
      description: { type: "string", title: "Description", "x-widget": "textarea" },
      context: {
        ...own, title: "Configuration",
        description: context === null ? "This graph does not say what it reads." : own.description ?? "What the nodes of the graph read.",
      },
      recursion_limit: { type: "integer", title: "Supersteps at most", minimum: 1, maximum: 100_000, description: "A run that needs more ends with an error; what it saved stays." },
      tags: { type: "array", title: "Tags", items: { type: "string", minLength: 1, title: "Tag" } },
      metadata: { type: "object", title: "Metadata", description: "Free entries, which searches can filter by." },
    },
  };
}

/** The settings as the server takes them: the context once, and what is not set here as it was. */
export function bodyOf(settings: Settings, before?: Assistant) {
  const { configurable: _, recursion_limit: __, tags: ___, ...rest } = (before?.config ?? {}) as Record<string, unknown>;
  return {
    name: settings.name.trim(),
    description: settings.description ?? "",
    config: {
      ...rest,
      ...(settings.recursion_limit === undefined ? {} : { recursion_limit: settings.recursion_limit }),
      ...(settings.tags?.length ? { tags: settings.tags } : {}),
    },
    context: settings.context ?? {},
    metadata: settings.metadata ?? {},
  };
}

/** What is compared between versions. */
export function comparable(version: { name?: string; description?: string | null; graph_id: string; config: unknown; context?: unknown; metadata?: unknown }) {
  const { configurable: _, ...config } = (version.config ?? {}) as Record<string, unknown>;
  return {
    name: version.name ?? "", description: version.description ?? "", graph: version.graph_id,
    configuration: version.context ?? {}, settings: config, metadata: version.metadata ?? {},
  };
}
