// Whether a value fits a JSON Schema, and where it does not. No code is made of a schema, so it runs
// under any policy. The server checks again: what this does not know, it lets pass.

import { isObject, markOf, pointed, typesOf, type AnySchema, type Schema } from "./schema";

/** What is wrong, and where: a JSON pointer into the value. */
export interface Problem {
  pointer: string;
  message: string;
}

/** JSON that a person is still writing. Fits nothing. */
export class Unfinished {
  constructor(readonly text: string) {}
}

export interface Check {
  root: AnySchema;
}

/** Problems that are told of one value. */
const PROBLEMS_MAX = 100;
/** Depth of schemas inside of each other. */
const NESTING_MAX = 120;
/** Characters of a text that a pattern is tried on. */
const PATTERN_CHARS_MAX = 10_000;

export function problemsOf(schema: AnySchema, value: unknown): Problem[] {
  const found: Problem[] = [];
  const seen = new Set<string>();
  function* all() {
    yield* unfinished(value, "");
    yield* run({ root: schema }, schema, value, "", 0);
  }
  for (const one of all()) {
    const key = `${one.pointer}\n${one.message}`;
    if (seen.has(key)) continue;
    seen.add(key);
    found.push(one);
    if (found.length >= PROBLEMS_MAX) break;
  }
  return found;
}

/** Texts that are no JSON yet. */
function* unfinished(value: unknown, at: string): Generator<Problem> {
  if (value instanceof Unfinished) yield { pointer: at, message: notJson(value.text) };
  else if (Array.isArray(value)) for (const [place, one] of value.entries()) yield* unfinished(one, `${at}/${place}`);
  else if (isObject(value)) for (const [key, one] of Object.entries(value)) yield* unfinished(one, `${at}/${escaped(key)}`);
}

export function matches(check: Check, schema: AnySchema, value: unknown): boolean {
  return run(check, schema, value, "", 0).next().done === true;
}

export function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (a === null || b === null || typeof a !== "object" || typeof b !== "object") return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length
    && keys.every((key) => Object.hasOwn(b, key) && same((a as Schema)[key], (b as Schema)[key]));
}

export const escaped = (key: string) => key.replaceAll("~", "~0").replaceAll("/", "~1");

function* run(check: Check, schema: AnySchema, value: unknown, at: string, depth: number): Generator<Problem> {
  const say = (message: string, pointer = at): Problem => ({ pointer, message });
  if (schema === true || depth > NESTING_MAX) return;
  if (schema === false) {
    yield say("nothing may stand here");
    return;
  }
  // Told already, wherever it stands.
  if (value instanceof Unfinished) return;
  const inside = (part: unknown, own: unknown = value, pointer = at) =>
    run(check, isObject(part) || typeof part === "boolean" ? part : true, own, pointer, depth + 1);
  const fits = (part: unknown) => inside(part).next().done === true;

  if (typeof schema.$ref === "string") {
    const target = pointed(check.root, schema.$ref);
    if (target !== undefined) yield* inside(target);
  }
  const types = typesOf(schema);
  if (types.length && !types.some((type) => isOf(type, value))) {
    yield say(wanted(types, value));
    return;
  }
  if (Object.hasOwn(schema, "const") && !same(schema.const, value)) yield say(`has to be ${told(schema.const)}`);
  if (Array.isArray(schema.enum) && !schema.enum.some((one) => same(one, value))) {
    yield say(schema.enum.length <= 6 ? `has to be one of ${schema.enum.map(told).join(", ")}` : "is none of the choices");
  }
  if (typeof value === "string") yield* texts(schema, value, say);
  if (typeof value === "number") yield* numbers(schema, value, say);
  if (Array.isArray(value)) {
    yield* counts(value.length, schema.minItems, schema.maxItems, "entry", "entries", say);
    if (schema.uniqueItems === true) {
      const twice = value.findIndex((one, place) => value.slice(0, place).some((other) => same(one, other)));
      if (twice >= 0) yield say("is there already", `${at}/${twice}`);
    }
    const first = Array.isArray(schema.prefixItems) ? schema.prefixItems : Array.isArray(schema.items) ? schema.items : [];
    const rest = Array.isArray(schema.items) ? schema.additionalItems : schema.items;
    for (const [place, one] of value.entries()) {
      const own = place < first.length ? first[place] : rest;
      if (own !== undefined) yield* inside(own, one, `${at}/${place}`);
    }
    if (schema.contains !== undefined && schema.minContains !== 0) {
      const has = value.some((one) => inside(schema.contains, one).next().done === true);
      if (!has) yield say("lacks an entry that it has to have");
    }
  }
  if (isObject(value)) yield* entries(check, schema, value, at, depth, say);

  for (const part of Array.isArray(schema.allOf) ? schema.allOf : []) yield* inside(part);
  if (schema.if !== undefined) {
    const branch = fits(schema.if) ? schema.then : schema.else;
    if (branch !== undefined) yield* inside(branch);
  }
  for (const key of ["anyOf", "oneOf"] as const) {
    const given = schema[key];
    if (!Array.isArray(given) || given.length === 0) continue;
    const fitting = given.filter(fits).length;
    if (fitting === 0) yield* nearest(check, given as AnySchema[], value, at, depth);
    else if (key === "oneOf" && fitting > 1) yield say("fits more than one of the forms it may have");
  }
  if (schema.not !== undefined && fits(schema.not)) yield say("is what it must not be");
}

/** The problems of the alternative that was most likely meant. */
function nearest(check: Check, given: AnySchema[], value: unknown, at: string, depth: number): Problem[] {
  if (value === undefined || value === null) return [{ pointer: at, message: "is needed" }];
  const tried = given.map((one) => {
    const flat = flattened(check, one);
    const mark = flat && markOf(flat);
    const meant = mark && isObject(value) && same(value[mark.key], mark.value);
    const problems: Problem[] = [];
    for (const problem of run(check, one, value, at, depth + 1)) {
      problems.push(problem);
      if (problems.length >= PROBLEMS_MAX) break;
    }
    const deepest = Math.max(...problems.map((problem) => problem.pointer.length));
    return { problems, meant, rank: problems.length - (deepest > at.length ? 1000 : 0) };
  });
  const meant = tried.filter((one) => one.meant);
  if (meant.length === 0 && given.length > 1 && tried.every((one) => one.problems.every((problem) => problem.pointer === at))) {
    return [{ pointer: at, message: "fits none of the forms it may have" }];
  }
  const best = (meant.length ? meant : tried).sort((a, b) => a.rank - b.rank)[0];
  return best?.problems ?? [];
}

function flattened(check: Check, schema: AnySchema): Schema | null {
  if (!isObject(schema)) return null;
  if (typeof schema.$ref !== "string") return schema;
  const target = pointed(check.root, schema.$ref);
  return isObject(target) ? target : null;
}

type Say = (message: string, pointer?: string) => Problem;

function* entries(check: Check, schema: Schema, value: Schema, at: string, depth: number, say: Say): Generator<Problem> {
  const keys = Object.keys(value).filter((key) => value[key] !== undefined);
  const inside = (part: unknown, own: unknown, pointer: string) =>
    run(check, isObject(part) || typeof part === "boolean" ? part : true, own, pointer, depth + 1);
  const below = (key: string) => `${at}/${escaped(key)}`;
  yield* counts(keys.length, schema.minProperties, schema.maxProperties, "entry", "entries", say);
  for (const key of Array.isArray(schema.required) ? (schema.required as string[]) : []) {
    if (!keys.includes(key)) yield say("is needed", below(key));
  }
  const dependent = isObject(schema.dependentRequired) ? schema.dependentRequired : {};
  for (const [key, needed] of Object.entries(dependent)) {
    if (!keys.includes(key) || !Array.isArray(needed)) continue;
    for (const other of needed as string[]) if (!keys.includes(other)) yield say(`is needed together with ${key}`, below(other));
  }
  const schemas = isObject(schema.dependentSchemas) ? schema.dependentSchemas : {};
  for (const [key, part] of Object.entries(schemas)) if (keys.includes(key)) yield* inside(part, value, at);
  const properties = isObject(schema.properties) ? schema.properties : {};
  const patterns = Object.entries(isObject(schema.patternProperties) ? schema.patternProperties : {});
  for (const key of keys) {
    let known = Object.hasOwn(properties, key);
    if (known) yield* inside(properties[key], value[key], below(key));
    for (const [pattern, part] of patterns) {
      if (!tried(pattern, key)) continue;
      known = true;
      yield* inside(part, value[key], below(key));
    }
    if (!known && schema.additionalProperties === false) yield say("is not known here", below(key));
    else if (!known && schema.additionalProperties !== undefined) yield* inside(schema.additionalProperties, value[key], below(key));
    if (schema.propertyNames !== undefined) {
      for (const problem of inside(schema.propertyNames, key, below(key))) yield say(`its name ${problem.message}`, below(key));
    }
  }
}

function* texts(schema: Schema, value: string, say: Say): Generator<Problem> {
  const long = [...value].length;
  const { minLength: least, maxLength: most, pattern, format } = schema;
  if (typeof least === "number" && long < least) {
    yield say(long === 0 ? "is needed" : `has ${long} characters, expected at least ${least}`);
  }
  if (typeof most === "number" && long > most) yield say(`has ${long} characters, expected at most ${most}`);
  if (typeof pattern === "string" && !tried(pattern, value)) yield say(`does not have the form ${pattern}`);
  if (typeof format === "string") {
    const known = Object.hasOwn(FORMATS, format) ? FORMATS[format] : undefined;
    if (known && !known.fits(value)) yield say(`expected ${known.words}`);
  }
}

function* numbers(schema: Schema, value: number, say: Say): Generator<Problem> {
  const { minimum, maximum, exclusiveMinimum: above, exclusiveMaximum: below, multipleOf: step } = schema;
  if (typeof minimum === "number" && value < minimum) yield say(`is ${value}, expected at least ${minimum}`);
  if (typeof maximum === "number" && value > maximum) yield say(`is ${value}, expected at most ${maximum}`);
  if (typeof above === "number" && value <= above) yield say(`is ${value}, expected more than ${above}`);
  if (typeof below === "number" && value >= below) yield say(`is ${value}, expected less than ${below}`);
  if (typeof step === "number" && step > 0) {
    const times = value / step;
    if (Math.abs(times - Math.round(times)) > 1e-9 * Math.max(1, Math.abs(times))) yield say(`is ${value}, expected a multiple of ${step}`);
  }
}

function* counts(count: number, least: unknown, most: unknown, one: string, many: string, say: Say): Generator<Problem> {
  const words = (number: number) => `${number} ${number === 1 ? one : many}`;
  if (typeof least === "number" && count < least) yield say(`has ${words(count)}, expected at least ${least}`);
  if (typeof most === "number" && count > most) yield say(`has ${words(count)}, expected at most ${most}`);
}

/** Whether the pattern is found; one that cannot be tried here is left to the server. */
function tried(pattern: string, text: string): boolean {
  if (text.length > PATTERN_CHARS_MAX) return true;
  try {
    return new RegExp(pattern, "u").test(text);
  } catch {
    return true;
  }
}

function isOf(type: string, value: unknown): boolean {
  switch (type) {
    case "null": return value === null;
    case "array": return Array.isArray(value);
    case "object": return isObject(value);
    case "integer": return typeof value === "number" && Number.isInteger(value);
    case "number": return typeof value === "number" && Number.isFinite(value);
    case "string": return typeof value === "string";
    case "boolean": return typeof value === "boolean";
    default: return false;
  }
}

const WORDS: Record<string, string> = {
  null: "nothing", array: "a list", object: "entries", integer: "a whole number", number: "a number",
  string: "a text", boolean: "yes or no",
};

function wanted(types: string[], value: unknown): string {
  if (value === undefined || value === "") return "is needed";
  return `expected ${types.map((type) => WORDS[type] ?? type).join(" or ")}`;
}

function told(value: unknown): string {
  return JSON.stringify(value) ?? "nothing";
}

/** Why a text is no JSON. */
export function notJson(text: string): string {
  try {
    JSON.parse(text);
    return "is not finished";
  } catch (error) {
    return `is no JSON: ${error instanceof Error ? error.message : String(error)}`;
  }
}

const DAY = /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/;
const CLOCK = /^([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$/i;
const isDay = (text: string) => {
  if (!DAY.test(text)) return false;
  const date = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text);
};

const FORMATS: Record<string, { fits: (text: string) => boolean; words: string }> = {
  date: { fits: isDay, words: "a date such as 2026-03-31" },
  time: { fits: (text) => CLOCK.test(text), words: "a time such as 14:30:00Z" },
  "date-time": {
    fits: (text) => /^.{10}[Tt ]/.test(text) && isDay(text.slice(0, 10)) && CLOCK.test(text.slice(11)),
    words: "a date and time such as 2026-03-31T14:30:00Z",
  },
  email: { fits: (text) => /^[^\s@]+@[^\s@]+$/.test(text), words: "an address such as ana@example.com" },
  uri: { fits: (text) => /^[a-z][a-z0-9+.-]*:[^\s]*$/i.test(text), words: "an address such as https://example.com" },
  uuid: { fits: (text) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text), words: "a UUID" },
  ipv4: { fits: (text) => /^(\d{1,3}\.){3}\d{1,3}$/.test(text) && text.split(".").every((part) => Number(part) < 256 && String(Number(part)) === part), words: "an IPv4 address" },
};
