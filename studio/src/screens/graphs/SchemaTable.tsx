// JSON Schema for people: what there is, of which kind, and what is asked of it.

import { useState } from "react";
import type { JsonSchema } from "../../data/queries";
import { resolve } from "../../data/schemas";
import { Button } from "../../parts/Button";
import { useCopy } from "../../parts/CopyText";
import styles from "./SchemaTable.module.css";

type Node = Record<string, unknown>;

/** Depth to which members are shown; deeper ones stand in the JSON. */
const DEPTH_MAX = 4;

export function SchemaTable({ schema }: { schema: JsonSchema }) {
  const [raw, setRaw] = useState(false);
  const [copied, copy] = useCopy();
  const text = JSON.stringify(schema, null, 2);
  const root = typeof schema === "object" ? (schema as Node) : {};
  return (
    <div className={styles.schema}>
      <p className={styles.bar}>
        {typeof root.description === "string" && <span>{root.description}</span>}
        <Button kind="quiet" onClick={() => setRaw(!raw)} aria-pressed={raw}>{raw ? "As a table" : "As JSON"}</Button>
        <Button kind="quiet" icon="copy" onClick={() => copy(text)}><span role="status">{copied ? "Copied" : "Copy"}</span></Button>
      </p>
      {raw ? <pre tabIndex={0} aria-label="Schema as JSON">{text}</pre> : (
        <table>
          <thead><tr><th scope="col">Member</th><th scope="col">Kind</th><th scope="col">What it is</th></tr></thead>
          <tbody><Members node={root} root={root} depth={0} prefix="" /></tbody>
        </table>
      )}
    </div>
  );
}

function Members({ node, root, depth, prefix }: { node: Node; root: Node; depth: number; prefix: string }) {
  const properties = Object.entries((node.properties ?? {}) as Record<string, Node>);
  const required = Array.isArray(node.required) ? (node.required as string[]) : [];
  return properties.map(([name, member]) => {
    const path = prefix ? `${prefix}.${name}` : name;
    const found = followed(member, root);
    const inner = found.properties ? found : followed((found.items ?? {}) as Node, root);
    return [
      <tr key={path}>
        <th scope="row" style={{ paddingInlineStart: depth * 16 }}>
          <code>{name}</code>{required.includes(name) && <span className={styles.required}>required</span>}
        </th>
        <td>{kind(member, root)}</td>
        <td>
          {(member.description ?? found.description) as string | undefined}
          <span className={styles.limits}>{limits({ ...found, ...member })}</span>
        </td>
      </tr>,
      depth < DEPTH_MAX && inner.properties ? <Members key={`${path}-in`} node={inner} root={root} depth={depth + 1} prefix={path} /> : null,
    ];
  });
}

function followed(node: Node, root: Node): Node {
  return typeof node.$ref === "string" ? resolve(node.$ref, root) ?? {} : node;
}

/** The kind of a value in a few words. */
function kind(node: Node, root: Node, depth = 0): string {
  if (depth > DEPTH_MAX) return "…";
  if (typeof node.$ref === "string") {
    const found = resolve(node.$ref, root);
    return found ? kind(found, root, depth + 1) : "any";
  }
  if (Array.isArray(node.enum)) return `one of ${node.enum.map((it) => JSON.stringify(it)).join(", ")}`;
  if ("const" in node) return JSON.stringify(node.const);
  const choices = (node.oneOf ?? node.anyOf) as Node[] | undefined;
  if (Array.isArray(choices)) {
    return choices.every((it) => "const" in it)
      ? `one of ${choices.map((it) => JSON.stringify(it.const)).join(", ")}`
      : choices.map((it) => kind(it, root, depth + 1)).join(" or ");
  }
  const type = Array.isArray(node.type) ? node.type.join(" or ") : (node.type as string | undefined);
  const words: Record<string, string> = { string: "text", integer: "whole number", boolean: "yes or no", null: "nothing" };
  if (type === "array") return `list of ${kind((node.items ?? {}) as Node, root, depth + 1)}`;
  return (type ?? "any").split(" or ").map((it) => words[it] ?? it).join(" or ") + (node.format && type === "string" ? ` (${node.format})` : "");
}

function limits(node: Node): string {
  const told: string[] = [];
  if (node.minLength !== undefined || node.maxLength !== undefined) told.push(`${node.minLength ?? 0} to ${node.maxLength ?? "any number of"} characters`);
  if (node.minimum !== undefined || node.maximum !== undefined) told.push(`${node.minimum ?? "any"} to ${node.maximum ?? "any"}`);
  if (node.default !== undefined) told.push(`default ${JSON.stringify(node.default)}`);
  return told.join("; ");
}
