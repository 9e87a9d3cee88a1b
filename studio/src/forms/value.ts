// Values of forms: what they begin with, and how a change deep inside makes a new whole.

import { matches, same, Unfinished, type Check } from "./check";
import { atRoot, fieldOf, isObject, markOf, whole, type AnySchema, type Field, type Place, type Schema } from "./schema";

/** What a form begins with: defaults, and what could not be otherwise. */
export function initialOf(schema: AnySchema): unknown {
  return begun(schema, atRoot(schema), { root: schema }, true);
}

/** The same for a place inside; `undefined` for one that may stay empty. */
export function begun(schema: AnySchema, place: Place, check: Check, required: boolean): unknown {
  const { field, inside } = fieldOf(schema, undefined, place, check);
  if (Object.hasOwn(field.schema, "default")) return structuredClone(field.schema.default);
  if (field.kind === "fixed") return required ? structuredClone(field.value) : undefined;
  if (!required || field.nullable) return undefined;
  switch (field.kind) {
    case "group": {
      if (field.recursive && inside.depth > 1) return undefined;
      const made: Schema = {};
      for (const member of field.members) {
        const value = begun(member.schema, inside, check, member.required);
        if (value !== undefined) made[member.key] = value;
      }
      return made;
    }
    case "places": return field.places.map((own) => begun(own, inside, check, true) ?? null);
    case "list": return Array.from({ length: Math.min(field.least, 20) }, () => begun(field.items, inside, check, true) ?? null);
    case "choices": return [];
    // Which of several shapes it has is the person's to say.
    case "variants": return undefined;
    default: return undefined;
  }
}

/** The value with one entry set; `undefined` takes it out. */
export function withEntry(value: unknown, key: string, entry: unknown): Schema {
  const made: Schema = isObject(value) && !(value instanceof Unfinished) ? { ...value } : {};
  if (entry === undefined) delete made[key];
  // An own entry, whatever it is called.
  else Object.defineProperty(made, key, { value: entry, enumerable: true, configurable: true, writable: true });
  return made;
}

/** Which of several ways a value is written in: the one it fits, else the one it was meant to fit. */
export function variantOf(field: Extract<Field, { kind: "variants" }>, value: unknown, check: Check): number {
  if (value === undefined) return 0;
  const fitting = field.variants.findIndex((variant) => matches(check, variant.schema, value));
  if (fitting >= 0) return fitting;
  const meant = field.variants.findIndex((variant) => {
    const found = whole(variant.schema, check.root, value, check).schema;
    const mark = found && markOf(found);
    return mark && isObject(value) && same(value[mark.key], mark.value);
  });
  if (meant >= 0) return meant;
  const typed = field.variants.findIndex((variant) => {
    const type = variant.schema.type;
    return type === (Array.isArray(value) ? "array" : value === null ? "null" : typeof value);
  });
  return Math.max(typed, 0);
}

/** Whether a text that is no JSON yet is anywhere in it. */
export function isFinished(value: unknown): boolean {
  if (value instanceof Unfinished) return false;
  if (Array.isArray(value)) return value.every(isFinished);
  return !isObject(value) || Object.values(value).every(isFinished);
}
