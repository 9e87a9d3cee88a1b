// JSON Schema read as what a person fills in: each place of it becomes a field of one kind, and what
// no kind fits becomes a field for JSON. Pure: schemas in, descriptions out.

import { same, type Check, matches } from "./check";

export type Schema = { [key: string]: unknown };
export type AnySchema = Schema | boolean;

/** Levels of fields inside of each other; what is deeper is written as JSON. */
export const DEPTH_MAX = 8;
/** Members of one object that are shown as fields. */
const MEMBERS_MAX = 200;
/** References followed to find what one place is. */
const REFS_MAX = 40;
/** Texts that may be longer than this are written in an editor. */
const LONG_TEXT = 200;

export interface Option {
  value: unknown;
  label: string;
  note?: string;
}

export interface Member {
  key: string;
  schema: AnySchema;
  required: boolean;
}

interface Base {
  /** The schema with references and parts of it put together. */
  schema: Schema;
  label?: string;
  note?: string;
  /** Whether null is an answer: "not set". */
  nullable: boolean;
  readOnly: boolean;
  deprecated: boolean;
  examples: unknown[];
  /** It is of a schema that it is itself in. */
  recursive: boolean;
}

export type Field = Base &
  (
    | { kind: "text"; look: "line" | "long" | "code" | "prompt" | "markdown"; format?: string; secret: boolean; hint?: string }
    | { kind: "number"; integer: boolean; hint?: string }
    | { kind: "flag" }
    | { kind: "choice"; options: Option[] }
    | { kind: "choices"; options: Option[] }
    | { kind: "list"; items: AnySchema; least: number; most: number }
    | { kind: "places"; places: AnySchema[] }
    | { kind: "group"; members: Member[] }
    | { kind: "variants"; variants: { label: string; note?: string; schema: Schema }[] }
    | { kind: "fixed"; value: unknown }
    | { kind: "json"; why: string }
  );

/** Where a field is: how deep, and through which references. */
export interface Place {
  root: AnySchema;
  depth: number;
  refs: readonly string[];
}

export const atRoot = (root: AnySchema): Place => ({ root, depth: 0, refs: [] });

export function isObject(value: unknown): value is Schema {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/** What `#/a/b` points to in the schema; only places inside of it are looked at. */
export function pointed(root: AnySchema, ref: string): AnySchema | undefined {
  if (ref === "#") return root;
  if (!ref.startsWith("#/")) return anchored(root, ref);
  let at: unknown = root;
  for (const part of ref.slice(2).split("/")) {
    let key: string;
    try {
      key = decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
    } catch {
      return undefined;
    }
    if (at === null || typeof at !== "object" || !Object.hasOwn(at, key)) return undefined;
    at = (at as Record<string, unknown>)[key];
  }
  return typeof at === "boolean" || isObject(at) ? at : undefined;
}

/** A definition with this `$anchor` or `$id`. */
function anchored(root: AnySchema, ref: string): AnySchema | undefined {
  if (!isObject(root)) return undefined;
  if (root.$id === ref) return root;
  for (const defs of [root.$defs, root.definitions]) {
    if (!isObject(defs)) continue;
    for (const one of Object.values(defs)) {
      if (isObject(one) && (one.$id === ref || (typeof one.$anchor === "string" && `#${one.$anchor}` === ref))) return one;
    }
  }
  return undefined;
}

interface Whole {
  schema: Schema | null;
  refs: string[];
  why: string;
}

/** One schema out of a place's: references followed, parts joined, conditions decided by the value. */
export function whole(given: AnySchema, root: AnySchema, value: unknown, check: Check): Whole {
  const refs: string[] = [];
  let why = "";
  const join = (part: AnySchema): Schema | null => {
    if (part === true) return {};
    if (part === false) {
      why ||= "nothing fits here";
      return null;
    }
    let joined: Schema = { ...part };
    if (typeof part.$ref === "string") {
      if (refs.length >= REFS_MAX || refs.includes(part.$ref)) {
        why ||= "the schema leads back to itself";
        return null;
      }
      refs.push(part.$ref);
      const target = pointed(root, part.$ref);
      if (target === undefined) {
        why ||= `${part.$ref} is not in the schema`;
        return null;
      }
      const found = join(target);
      if (!found) return null;
      const { $ref: _, ...own } = joined;
      joined = merged(found, own);
    }
    for (const one of Array.isArray(joined.allOf) ? (joined.allOf as AnySchema[]) : []) {
      const found = join(one);
      if (!found) return null;
      const { allOf: _, ...own } = joined;
      // What stands beside the parts names the whole; the parts do not.
      joined = { ...merged(found, own), allOf: [] };
    }
    delete joined.allOf;
    if (joined.if !== undefined) {
      const { if: condition, then, else: otherwise, ...own } = joined;
      const branch = matches(check, condition as AnySchema, value) ? then : otherwise;
      const found = branch === undefined ? {} : join(branch as AnySchema);
      if (!found) return null;
      joined = merged(found, own);
    }
    return joined;
  };
  return { schema: join(given), refs, why };
}

const LARGER = ["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"];
const SMALLER = ["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"];

/** Both schemas at once, for showing: of two texts that name it, the second's. Nothing is checked
 *  by it, so what cannot be joined may be left out. */
export function merged(first: Schema, second: Schema): Schema {
  const out: Schema = { ...first, ...second };
  if (isObject(first.properties) && isObject(second.properties)) {
    const properties: Schema = { ...first.properties };
    for (const [key, own] of Object.entries(second.properties)) {
      const other = Object.hasOwn(properties, key) ? properties[key] : undefined;
      properties[key] = other === undefined ? own : { allOf: [other, own] };
    }
    out.properties = properties;
  }
  if (Array.isArray(first.required) && Array.isArray(second.required)) {
    out.required = [...new Set([...first.required, ...second.required])];
  }
  if (Array.isArray(first.enum) && Array.isArray(second.enum)) {
    const both = second.enum as unknown[];
    out.enum = (first.enum as unknown[]).filter((one) => both.some((other) => same(one, other)));
  }
  if (first.type !== undefined && second.type !== undefined) {
    const types = typesOf(first).filter((type) => typesOf(second).includes(type) || (type === "integer" && typesOf(second).includes("number")));
    out.type = types.length === 1 ? types[0] : types;
  }
  if (first.additionalProperties === false || second.additionalProperties === false) out.additionalProperties = false;
  for (const [keys, pick] of [[LARGER, Math.max], [SMALLER, Math.min]] as const) {
    for (const key of keys) {
      const [a, b] = [first[key], second[key]];
      if (typeof a === "number" && typeof b === "number") out[key] = pick(a, b);
    }
  }
  return out;
}

export function typesOf(schema: Schema): string[] {
  if (typeof schema.type === "string") return [schema.type];
  if (Array.isArray(schema.type)) return schema.type.filter((type): type is string => typeof type === "string");
  return [];
}

/** The type that the other entries speak of, where none is written. */
function implied(schema: Schema): string | undefined {
  const has = (...keys: string[]) => keys.some((key) => schema[key] !== undefined);
  if (has("properties", "required", "additionalProperties", "patternProperties", "minProperties", "maxProperties")) return "object";
  if (has("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains")) return "array";
  if (has("minLength", "maxLength", "pattern", "format")) return "string";
  if (has("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")) return "number";
  return undefined;
}

/** What a person fills in at a place. `value` decides conditions only. */
export function fieldOf(given: AnySchema, value: unknown, place: Place, check: Check): { field: Field; inside: Place } {
  const { schema, refs, why } = whole(given, place.root, value, check);
  const inside: Place = { root: place.root, depth: place.depth + 1, refs: [...place.refs, ...refs] };
  const text = (key: string) => {
    const found = schema?.[key] ?? (isObject(given) ? given[key] : undefined);
    return typeof found === "string" && found.trim() ? found : undefined;
  };
  const base: Base = {
    schema: schema ?? {},
    label: text("title"),
    note: text("description"),
    nullable: false,
    readOnly: schema?.readOnly === true,
    deprecated: schema?.deprecated === true,
    examples: Array.isArray(schema?.examples) ? schema.examples : [],
    recursive: refs.some((ref) => place.refs.includes(ref)),
  };
  if (!schema) return { field: { ...base, kind: "json", why }, inside };
  return { field: kindOf(schema, base, place, check), inside };
}

function kindOf(schema: Schema, base: Base, place: Place, check: Check): Field {
  const json = (why: string): Field => ({ ...base, kind: "json", why });
  if (Object.hasOwn(schema, "const")) return { ...base, kind: "fixed", value: schema.const };
  if (Array.isArray(schema.enum)) {
    const values = schema.enum as unknown[];
    const nullable = values.includes(null);
    const options = values.filter((value) => value !== null).map((value) => ({ value, label: wordFor(value) }));
    if (options.length === 0) return { ...base, kind: "fixed", value: null };
    return { ...base, nullable, kind: "choice", options };
  }
  const alternatives = alternativesOf(schema, place, check);
  if (alternatives) {
    const { rest, nullable, options } = alternatives;
    const known = { ...base, schema: rest, nullable };
    if (options.length === 0) return { ...known, kind: "fixed", value: null };
    if (options.every((one) => one.choice)) {
      return { ...known, kind: "choice", options: options.flatMap((one) => one.choice ?? []) };
    }
    if (options.length === 1 && options[0]) {
      const only = options[0].schema;
      const field = kindOf(only, { ...known, schema: only, label: base.label ?? titleOf(only), note: base.note ?? noteOf(only) }, place, check);
      return { ...field, nullable: nullable || field.nullable };
    }
    if (place.depth >= DEPTH_MAX) return json("it is too deep for fields");
    return { ...known, kind: "variants", variants: options.map((one, at) => ({ label: nameOf(one.schema, at), note: noteOf(one.schema), schema: one.schema })) };
  }
  const written = typesOf(schema);
  const types = written.filter((type) => type !== "null");
  const nullable = written.includes("null");
  const known: Base = { ...base, nullable };
  if (nullable && types.length === 0) return { ...known, nullable: false, kind: "fixed", value: null };
  if (types.length > 1) {
    if (place.depth >= DEPTH_MAX) return json("it is too deep for fields");
    const variants = types.map((type) => ({ label: TYPE_WORDS[type] ?? type, schema: { ...schema, type, title: undefined, description: undefined } }));
    return { ...known, kind: "variants", variants };
  }
  switch (types[0] ?? implied(schema)) {
    case "string": return text(schema, known);
    case "integer":
    case "number": return { ...known, kind: "number", integer: types[0] === "integer", hint: rangeWords(schema) };
    case "boolean": return { ...known, kind: "flag" };
    case "array": return list(schema, known, place, check);
    case "object": return group(schema, known, place);
    default: return json("any value fits");
  }
}

function text(schema: Schema, base: Base): Field {
  const format = typeof schema.format === "string" ? schema.format : undefined;
  const widget = schema["x-widget"];
  const most = schema.maxLength;
  const secret = format === "password" || schema.writeOnly === true || schema.secret === true || widget === "secret";
  const asked = { textarea: "long", markdown: "markdown", code: "code", prompt: "prompt" }[String(widget)] as "long" | undefined;
  const look = asked ?? (widget !== "line" && typeof most === "number" && most > LONG_TEXT ? "long" : "line");
  return { ...base, kind: "text", look: secret ? "line" : look, format, secret, hint: lengthWords(schema) };
}

function list(schema: Schema, base: Base, place: Place, check: Check): Field {
  const number = (key: string, without: number) => (typeof schema[key] === "number" ? (schema[key] as number) : without);
  const least = number("minItems", 0);
  const most = number("maxItems", Infinity);
  const places = Array.isArray(schema.prefixItems) ? schema.prefixItems : Array.isArray(schema.items) ? schema.items : null;
  if (places) {
    const items = Array.isArray(schema.items) ? schema.additionalItems : schema.items;
    // A fixed number of places are fields; places with more behind them are not.
    if (items === false || most <= places.length || (items === undefined && least >= places.length && most <= places.length)) {
      if (place.depth >= DEPTH_MAX) return { ...base, kind: "json", why: "it is too deep for fields" };
      return { ...base, kind: "places", places: (places as AnySchema[]).slice(0, Math.min(places.length, most)) };
    }
    return { ...base, kind: "json", why: "the list has places of their own and more behind them" };
  }
  if (schema.items === undefined) return { ...base, kind: "json", why: "the list may hold anything" };
  const items = schema.items as AnySchema;
  const { field } = fieldOf(items, undefined, { ...place, depth: place.depth + 1 }, check);
  if (field.kind === "choice" && !field.nullable && least <= field.options.length) {
    return { ...base, kind: "choices", options: field.options };
  }
  if (place.depth >= DEPTH_MAX) return { ...base, kind: "json", why: "it is too deep for fields" };
  return { ...base, kind: "list", items, least, most };
}

function group(schema: Schema, base: Base, place: Place): Field {
  const properties = isObject(schema.properties) ? schema.properties : {};
  const required = new Set(Array.isArray(schema.required) ? (schema.required as string[]) : []);
  const keys = Object.keys(properties);
  // Names that are required are fields even where nothing else is said of them.
  for (const key of required) if (typeof key === "string" && !Object.hasOwn(properties, key)) keys.push(key);
  if (keys.length === 0 && schema.additionalProperties !== false) return { ...base, kind: "json", why: "its entries are free" };
  if (keys.length > MEMBERS_MAX) return { ...base, kind: "json", why: `it has ${keys.length} entries` };
  if (place.depth >= DEPTH_MAX) return { ...base, kind: "json", why: "it is too deep for fields" };
  const order = (key: string) => {
    const own = properties[key];
    const at = isObject(own) ? own["x-order"] : undefined;
    return typeof at === "number" ? at : Infinity;
  };
  const members = keys
    .map((key, at) => ({ key, at, member: { key, schema: (Object.hasOwn(properties, key) ? properties[key] : true) as AnySchema, required: required.has(key) } }))
    .sort((a, b) => (order(a.key) === order(b.key) ? a.at - b.at : order(a.key) - order(b.key)))
    .map((it) => it.member);
  return { ...base, kind: "group", members };
}

interface Alternative {
  schema: Schema;
  /** Where it is a single value. */
  choice?: Option[];
}

/** What `oneOf` or `anyOf` leave to choose; nothing where they only say which entries go together. */
function alternativesOf(schema: Schema, place: Place, check: Check) {
  for (const key of ["oneOf", "anyOf"] as const) {
    const given = schema[key];
    if (!Array.isArray(given) || given.length === 0) continue;
    const only = new Set(["required", "not", "$comment"]);
    if (given.every((one) => isObject(one) && Object.keys(one).every((name) => only.has(name)))) continue;
    const { [key]: _, ...rest } = schema;
    const options: Alternative[] = [];
    let nullable = false;
    for (const one of given as AnySchema[]) {
      const found = whole(one, place.root, undefined, check).schema;
      if (!found) {
        // Too tangled to be drawn: one of the ways to fill it in is JSON.
        if (one !== false) options.push({ schema: { title: "JSON" } });
        continue;
      }
      if (found.type === "null" || (Object.hasOwn(found, "const") && found.const === null)) {
        nullable = true;
        continue;
      }
      const { title: _title, description: _note, default: _default, ...shared } = rest;
      const own = Object.keys(shared).length > 0 ? merged(shared, found) : found;
      const choice = Object.hasOwn(found, "const")
        ? [{ value: found.const, label: titleOf(found) ?? wordFor(found.const), note: noteOf(found) }]
        : Array.isArray(found.enum) && !found.enum.includes(null)
          ? (found.enum as unknown[]).map((value) => ({ value, label: wordFor(value), note: noteOf(found) }))
          : undefined;
      options.push({ schema: own, choice });
    }
    return { rest, nullable, options };
  }
  return null;
}

const titleOf = (schema: Schema) => (typeof schema.title === "string" && schema.title.trim() ? schema.title : undefined);
const noteOf = (schema: Schema) => (typeof schema.description === "string" ? schema.description : undefined);

const TYPE_WORDS: Record<string, string> = {
  string: "Text", number: "Number", integer: "Whole number", boolean: "Yes or no", array: "List", object: "Entries",
};

/** What one of several ways is called: its title, the value that tells it from the others, its type. */
function nameOf(schema: Schema, at: number): string {
  const title = titleOf(schema);
  if (title) return title;
  const mark = markOf(schema);
  if (mark) return wordFor(mark.value);
  const [type] = typesOf(schema);
  const implies = type ?? implied(schema);
  if (implies === "object" && isObject(schema.properties)) {
    const names = Object.keys(schema.properties).slice(0, 3).map(labelOf);
    if (names.length) return names.join(", ");
  }
  return (implies && TYPE_WORDS[implies]) ?? `Form ${at + 1}`;
}

/** The entry that is the same in all values of this schema, such as `type`. */
export function markOf(schema: Schema): { key: string; value: unknown } | null {
  if (!isObject(schema.properties)) return null;
  for (const [key, own] of Object.entries(schema.properties)) {
    if (!isObject(own)) continue;
    if (Object.hasOwn(own, "const")) return { key, value: own.const };
    if (Array.isArray(own.enum) && own.enum.length === 1) return { key, value: own.enum[0] };
  }
  return null;
}

/** A value in words. */
export function wordFor(value: unknown): string {
  if (typeof value === "string") return value === "" ? "(empty)" : labelOf(value);
  if (value === true) return "Yes";
  if (value === false) return "No";
  return JSON.stringify(value);
}

/** `recursion_limit` as a person would write it; what has spaces or marks in it stays as it is. */
export function labelOf(key: string): string {
  if (!/^[a-z][a-z0-9]*([_-][a-z0-9]+)*$/.test(key)) {
    return /^[a-z]+([A-Z][a-z0-9]+)+$/.test(key) ? labelOf(key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)) : key;
  }
  const words = key.replaceAll(/[_-]/g, " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function rangeWords(schema: Schema): string | undefined {
  const number = (key: string) => (typeof schema[key] === "number" ? (schema[key] as number) : undefined);
  const least = number("minimum");
  const most = number("maximum");
  const above = number("exclusiveMinimum");
  const below = number("exclusiveMaximum");
  const from = least !== undefined ? `${plain(least)}` : above !== undefined ? `above ${plain(above)}` : undefined;
  const to = most !== undefined ? `${plain(most)}` : below !== undefined ? `below ${plain(below)}` : undefined;
  const step = number("multipleOf");
  const words = from && to ? (least !== undefined && most !== undefined ? `${from} to ${to}` : `${least !== undefined ? "at least " : ""}${from}, ${most !== undefined ? "at most " : ""}${to}`) : from ? (least !== undefined ? `at least ${from}` : from) : to ? (most !== undefined ? `at most ${to}` : to) : undefined;
  return [words, step !== undefined && `in steps of ${plain(step)}`].filter(Boolean).join(", ") || undefined;
}

const plain = (value: number) => value.toLocaleString("en", { maximumFractionDigits: 12 });

function lengthWords(schema: Schema): string | undefined {
  const least = typeof schema.minLength === "number" ? schema.minLength : 0;
  const most = typeof schema.maxLength === "number" ? schema.maxLength : undefined;
  if (most !== undefined) return least > 1 ? `${plain(least)} to ${plain(most)} characters` : `at most ${plain(most)} characters`;
  return least > 1 ? `at least ${plain(least)} characters` : undefined;
}
