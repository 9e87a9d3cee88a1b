import { createContext, useContext, useEffect, useId, useRef, useState, type ReactNode } from "react";
import { IconButton, Button } from "../parts/Button";
import { escaped, Unfinished, type Check, type Problem } from "./check";
import { DateTime, Line, LongText, NumberLine, Suggested } from "./inputs";
import { atRoot, fieldOf, isObject, labelOf, type AnySchema, type Field, type Option, type Place } from "./schema";
import type { FormState } from "./useForm";
import { begun, isFinished, variantOf, withEntry } from "./value";
import styles from "./Form.module.css";

interface Shared {
  id: string;
  check: Check;
  problems: readonly Problem[];
  locked: boolean;
}

const Around = createContext<Shared>({ id: "", check: { root: true }, problems: [], locked: false });

/** Choices up to which all are shown; and up to which they are in a list that opens. */
const RADIOS_MAX = 5;
const SELECT_MAX = 15;
/** Entries of a list that are shown as fields. */
const ENTRIES_SHOWN = 60;

interface Props {
  form: FormState;
  /** Nothing can be changed: it was sent, or answered elsewhere. */
  locked?: boolean;
  /** Without the switch to JSON. */
  plain?: boolean;
  /** Entries of the value that are asked for elsewhere. */
  without?: readonly string[];
  /** What the whole is called; read out, not shown. */
  label?: string;
}

/** The fields of a form. What sends it stands beside it, and is the caller's. */
export function Form({ form, locked = false, plain, without, label }: Props) {
  const id = useId();
  const [asJson, setAsJson] = useState(false);
  const summary = useRef<HTMLDivElement>(null);
  const check = { root: form.schema };
  const { field } = fieldOf(form.schema, form.value, atRoot(form.schema), check);
  const onlyJson = field.kind === "json";

  useEffect(() => {
    if (form.attempt === 0) return;
    const first = form.problems[0];
    if (first && focusAt(id, first.pointer)) return;
    summary.current?.focus();
    // Once per attempt, with the problems that it found.
  }, [form.attempt]);

  return (
    <Around value={{ id, check, problems: form.problems, locked }}>
      <div className={styles.form} role="group" aria-label={label}>
        {form.problems.length > 0 && (
          <div className={styles.summary} role="alert" ref={summary} tabIndex={-1}>
            <p>{form.problems.length === 1 ? "One answer needs another look." : `${form.problems.length} answers need another look.`}</p>
            <ul>
              {form.problems.slice(0, 12).map((problem, at) => (
                <li key={at}>
                  <button type="button" onClick={() => focusAt(id, problem.pointer)}>{placeWords(problem.pointer, form.schema, form.value)}</button> {problem.message}
                </li>
              ))}
            </ul>
          </div>
        )}
        {!plain && !onlyJson && (
          <div className={styles.switch}>
            <Button
              kind="quiet" aria-pressed={asJson} onClick={() => setAsJson(!asJson)}
              refused={asJson && !isFinished(form.value) && "the JSON is not finished"}
            >
              {asJson ? "As a form" : "As JSON"}
            </Button>
          </div>
        )}
        {asJson || onlyJson ? (
          <Frame field={{ ...field, kind: "json", why: "" }} at="" label={label ?? "JSON"} required kind="json">
            {(described) => <JsonField {...described} value={form.value} onChange={form.set} readOnly={locked} tall />}
          </Frame>
        ) : field.kind === "group" ? (
          <Group field={{ ...field, members: field.members.filter((member) => !without?.includes(member.key)) }} value={form.value} at="" place={{ ...atRoot(form.schema), depth: 1 }} onChange={form.set} />
        ) : (
          <Place schema={form.schema} value={form.value} at="" place={atRoot(form.schema)} label={label ?? "Answer"} required onChange={form.set} />
        )}
      </div>
    </Around>
  );
}

const idOf = (id: string, pointer: string) => `${id}f${pointer.replaceAll(/[^a-zA-Z0-9]/g, (mark) => `_${mark.codePointAt(0)}`)}`;

/** Moves the focus to the field at a pointer, or to what it is in. */
function focusAt(id: string, pointer: string): boolean {
  for (let at = pointer; ; at = at.slice(0, at.lastIndexOf("/"))) {
    const found = document.getElementById(idOf(id, at));
    if (found) {
      const target = found.matches("input, textarea, select, button") ? found : found.querySelector<HTMLElement>("input, textarea, select, button") ?? found;
      target.focus();
      return true;
    }
    if (at === "") return false;
  }
}

interface Spot {
  schema: AnySchema;
  value: unknown;
  place: Place;
}

/** `/sections/0/name` as a person reads it: by the labels that the fields have. */
function placeWords(pointer: string, schema: AnySchema, value: unknown): string {
  if (pointer === "") return "The whole";
  const check = { root: schema };
  const names: string[] = [];
  let at: Spot | null = { schema, value, place: atRoot(schema) };
  for (const part of pointer.slice(1).split("/").map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))) {
    const next: Spot | null = at && inside(at, part, check);
    const label = next && !/^\d+$/.test(part) ? fieldOf(next.schema, next.value, next.place, check).field.label : undefined;
    names.push(label ?? (/^\d+$/.test(part) ? `${Number(part) + 1}` : labelOf(part)));
    at = next;
  }
  return names.join(" › ");
}

/** The place of an entry inside of another place, where the form has one. */
function inside(spot: Spot, part: string, check: Check): Spot | null {
  const found = fieldOf(spot.schema, spot.value, spot.place, check);
  const { field } = found;
  const value = (spot.value as Record<string, unknown> | null | undefined)?.[part];
  switch (field.kind) {
    case "variants": {
      const variant = field.variants[variantOf(field, spot.value, check)];
      return variant ? inside({ schema: variant.schema, value: spot.value, place: found.inside }, part, check) : null;
    }
    case "group": {
      const member = field.members.find((one) => one.key === part);
      return member ? { schema: member.schema, value, place: found.inside } : null;
    }
    case "list": return { schema: field.items, value, place: found.inside };
    case "places": {
      const own = field.places[Number(part)];
      return own === undefined ? null : { schema: own, value, place: found.inside };
    }
    default: return null;
  }
}

interface PlaceProps {
  schema: AnySchema;
  value: unknown;
  at: string;
  place: Place;
  label: string;
  required: boolean;
  onChange: (value: unknown) => void;
  /** Its name is read out but not shown. */
  bare?: boolean;
  /** The label counts, whatever title the schema has. */
  numbered?: boolean;
}

/** One place of the schema with whatever field it is. */
function Place({ schema, value, at, place, label, required, onChange, bare, numbered }: PlaceProps) {
  const { check, locked } = useContext(Around);
  const { field, inside } = fieldOf(schema, value, place, check);
  const name = numbered ? label : field.label ?? label;
  const off = locked || field.readOnly;
  const frame = { field, at, label: name, required, bare };
  // A value of another shape than its field's is shown as what it is.
  if (value !== undefined && value !== null && !shapeFits(field, value)) {
    return (
      <Frame {...frame} kind="json">
        {(described) => <JsonField {...described} value={value} onChange={onChange} readOnly={off} />}
      </Frame>
    );
  }
  switch (field.kind) {
    case "fixed":
      return (
        <Frame {...frame} kind="fixed">
          {({ id }) => (
            <span id={id} className={styles.fixed}>
              <code>{JSON.stringify(field.value)}</code>
              {value === undefined && !off && <Button kind="quiet" onClick={() => onChange(field.value)}>Set</Button>}
              {value !== undefined && !required && !off && <Button kind="quiet" onClick={() => onChange(undefined)}>Leave out</Button>}
            </span>
          )}
        </Frame>
      );
    case "text": {
      const empty = field.nullable && required ? null : required && value !== undefined && !field.schema.minLength ? "" : undefined;
      const change = (text: string) => onChange(text === "" ? empty : text);
      const shown = typeof value === "string" ? value : "";
      const suggestions = field.examples.filter((one): one is string => typeof one === "string");
      return (
        <Frame {...frame} kind="input" hint={field.hint}>
          {(described) =>
            field.look !== "line" ? <LongText {...described} value={shown} onChange={change} readOnly={off} look={field.look} />
            : field.format === "date-time" || field.format === "time" || field.format === "date" ? (
              <DateTime {...described} kind={field.format} value={shown} onChange={change} readOnly={off} />
            ) : <Line {...described} value={shown} onChange={change} readOnly={off} format={field.format} secret={field.secret} suggestions={suggestions} />}
        </Frame>
      );
    }
    case "number": {
      const empty = field.nullable && required ? null : undefined;
      return (
        <Frame {...frame} kind="input" hint={field.hint}>
          {(described) => (
            <NumberLine
              {...described} value={value} readOnly={off} integer={field.integer}
              onChange={(next) => onChange(next === undefined ? empty : next)}
            />
          )}
        </Frame>
      );
    }
    case "flag":
      // A yes that has to be said is not a box that is empty by itself.
      if (field.nullable || (required && !Object.hasOwn(field.schema, "default"))) {
        const options = [{ value: true, label: "Yes" }, { value: false, label: "No" }];
        return <Choice {...frame} options={options} value={value} onChange={onChange} off={off} />;
      }
      return (
        <Frame {...frame} kind="flag">
          {(described) => (
            <input {...described} type="checkbox" checked={value === true} disabled={off} onChange={(event) => onChange(event.target.checked)} />
          )}
        </Frame>
      );
    case "choice": return <Choice {...frame} options={field.options} value={value} onChange={onChange} off={off} />;
    case "choices": return <Choices {...frame} options={field.options} value={value} onChange={onChange} off={off} />;
    case "group": {
      // What may stay away and is of its own kind again is shown once it is wanted.
      const closed = !required && value === undefined && (field.recursive || inside.depth > 4);
      return (
        <Frame {...frame} kind="group">
          {() => closed ? (
            <Button icon="plus" refused={off && "it cannot be changed"} onClick={() => onChange(begun(schema, { ...place, refs: [] }, check, true) ?? {})}>Add {name.toLowerCase()}</Button>
          ) : (
            <>
              <Group
                field={field} value={value} at={at} place={inside} locked={field.readOnly}
                onChange={(next) => onChange(!required && isObject(next) && Object.keys(next).length === 0 ? undefined : next)}
              />
              {!required && value !== undefined && (field.recursive || inside.depth > 4) && !off && (
                <Button kind="quiet" onClick={() => onChange(undefined)}>Leave out</Button>
              )}
            </>
          )}
        </Frame>
      );
    }
    case "places": {
      const all = Array.isArray(value) ? value : [];
      return (
        <Frame {...frame} kind="group">
          {() => field.places.map((own, index) => (
            <Place
              key={index} schema={own} value={all[index] ?? undefined} at={`${at}/${index}`} place={inside} label={`${singular(name)} ${index + 1}`} required numbered
              onChange={(next) => onChange(field.places.map((_, other) => (other === index ? next ?? null : all[other] ?? null)))}
            />
          ))}
        </Frame>
      );
    }
    case "list": return <List {...frame} field={field} inside={inside} value={value} onChange={onChange} off={off} />;
    case "variants": return <Variants {...frame} field={field} place={place} value={value} onChange={onChange} off={off} />;
    case "json":
      return (
        <Frame {...frame} kind="json" hint={field.why && `Written as JSON: ${field.why}`}>
          {(described) => <JsonField {...described} value={value} onChange={onChange} readOnly={off} optional={!required} />}
        </Frame>
      );
  }
}

function shapeFits(field: Field, value: unknown): boolean {
  if (value instanceof Unfinished) return field.kind === "json";
  switch (field.kind) {
    case "text": return typeof value === "string";
    case "number": return typeof value === "number" || typeof value === "string";
    case "flag": return typeof value === "boolean";
    case "choices": case "list": case "places": return Array.isArray(value);
    case "group": return isObject(value);
    default: return true;
  }
}

interface Described {
  id: string;
  "aria-describedby": string | undefined;
  "aria-invalid": true | undefined;
  "aria-required": true | undefined;
}

interface FrameProps {
  field: Field;
  at: string;
  label: string;
  required: boolean;
  kind: "input" | "flag" | "group" | "radios" | "json" | "fixed";
  hint?: string;
  bare?: boolean;
  children: (described: Described) => ReactNode;
}

/** Label, explanation and problems around a field. */
function Frame({ field, at, label, required, kind, hint, bare, children }: FrameProps) {
  const { id, problems } = useContext(Around);
  const own = idOf(id, at);
  const its = problems.filter((problem) => problem.pointer === at);
  // What the explanation says already is not said twice.
  const more = hint && !field.note?.toLowerCase().includes(hint.toLowerCase()) ? hint : undefined;
  const note = [field.note, more].filter(Boolean);
  const described = [note.length > 0 && `${own}-note`, its.length > 0 && `${own}-bad`].filter(Boolean).join(" ") || undefined;
  const given: Described = {
    id: own, "aria-describedby": described, "aria-invalid": its.length > 0 || undefined, "aria-required": required || undefined,
  };
  const name = (
    <>
      <span>{label}</span>{" "}
      {!required && !hasDefault(field) && kind !== "group" && kind !== "flag" && <span className={styles.optional}>optional</span>}
      {field.deprecated && <span className={styles.old}>deprecated</span>}
      {field.readOnly && <span className={styles.optional}>read only</span>}
    </>
  );
  const below = (
    <>
      {note.length > 0 && (
        <p id={`${own}-note`} className={styles.note}>
          {field.note} {more && <span className={styles.hint}>{more}</span>}
        </p>
      )}
      {its.length > 0 && <p id={`${own}-bad`} className={styles.bad}>{sentence(its.map((problem) => problem.message).join("; "))}</p>}
    </>
  );
  if (kind === "group" || kind === "radios") {
    return (
      <fieldset id={own} className={kind === "group" ? styles.group : styles.radios} data-bare={bare || undefined} aria-describedby={described} tabIndex={-1}>
        <legend className={bare ? "visually-hidden" : undefined}>{name}</legend>
        {below}
        {children(given)}
      </fieldset>
    );
  }
  if (kind === "flag") {
    return (
      <div className={styles.flag}>
        {children(given)}
        <label htmlFor={own}>{name}</label>
        {below}
      </div>
    );
  }
  return (
    <div className={styles.field}>
      {kind === "fixed" ? <span className={styles.label}>{name}</span> : <label className={styles.label} htmlFor={own}>{name}</label>}
      {children(given)}
      {below}
    </div>
  );
}

/** Whether it is something from the start. */
const hasDefault = (field: Field) => field.schema.default !== undefined && field.schema.default !== null;

const sentence = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

interface GroupProps {
  field: Extract<Field, { kind: "group" }>;
  value: unknown;
  at: string;
  place: Place;
  onChange: (value: unknown) => void;
  locked?: boolean;
}

function Group({ field, value, at, place, onChange, locked }: GroupProps) {
  const around = useContext(Around);
  const entries = isObject(value) ? value : {};
  const problems = around.problems.filter((problem) => problem.pointer === at && at === "");
  const members = field.members.map(({ key, schema, required }) => (
    <Place
      key={key} schema={schema} value={Object.hasOwn(entries, key) ? entries[key] : undefined} at={`${at}/${escaped(key)}`} place={place} label={labelOf(key)} required={required}
      onChange={(next) => onChange(withEntry(entries, key, next))}
    />
  ));
  // What the schema has no field for: refused, or kept as it was.
  const strays = around.problems.filter((problem) => {
    const [, key] = problem.pointer.startsWith(`${at}/`) ? problem.pointer.slice(at.length).split("/") : [];
    return key !== undefined && !field.members.some((member) => escaped(member.key) === key);
  });
  return (
    <Around value={{ ...around, locked: around.locked || Boolean(locked) }}>
      {problems.map((problem) => <p key={problem.message} className={styles.bad}>{problem.message}</p>)}
      {strays.map((problem) => <p key={problem.pointer} className={styles.bad}>{labelOf(problem.pointer.split("/").at(-1) ?? "")}: {problem.message}</p>)}
      {members.length > 0 ? members : <p className={styles.note}>Nothing to fill in.</p>}
    </Around>
  );
}

interface ChoiceProps {
  field: Field;
  at: string;
  label: string;
  required: boolean;
  bare?: boolean;
  options: Option[];
  value: unknown;
  onChange: (value: unknown) => void;
  off: boolean;
}

/** One of several values: all shown where they are few, else in a list, else found by their words. */
function Choice({ options, value, onChange, off, ...frame }: ChoiceProps) {
  const { id } = useContext(Around);
  const { field, required, at } = frame;
  const chosen = options.findIndex((option) => JSON.stringify(option.value) === JSON.stringify(value));
  const unset = field.nullable && required ? null : undefined;
  if (options.length <= RADIOS_MAX) {
    const name = idOf(id, at);
    return (
      <Frame {...frame} kind="radios">
        {() => (
          <div className={styles.options} data-noted={options.some((option) => option.note) || undefined}>
            {(!required && !hasDefault(field)) || field.nullable ? (
              <Radio name={name} label="Not set" checked={chosen < 0} off={off} onChoose={() => onChange(unset)} />
            ) : null}
            {options.map((option, place) => (
              <Radio
                key={place} name={name} label={option.label} note={option.note} checked={place === chosen} off={off}
                onChoose={() => onChange(option.value)}
              />
            ))}
          </div>
        )}
      </Frame>
    );
  }
  if (options.length <= SELECT_MAX) {
    return (
      <Frame {...frame} kind="input">
        {(described) => (
          <select
            {...described} className={styles.input} value={chosen} disabled={off}
            onChange={(event) => onChange(options[Number(event.target.value)]?.value ?? unset)}
          >
            <option value={-1}>{required && !field.nullable ? "Choose" : "Not set"}</option>
            {options.map((option, place) => <option key={place} value={place}>{option.label}</option>)}
          </select>
        )}
      </Frame>
    );
  }
  return (
    <Frame {...frame} kind="input" hint={`${options.length} choices; type to find one`}>
      {(described) => (
        <Suggested
          {...described} options={options} value={value} readOnly={off}
          onChange={(next) => onChange(next === undefined ? unset : next)}
        />
      )}
    </Frame>
  );
}

interface RadioProps {
  name: string;
  label: string;
  note?: string;
  checked: boolean;
  off: boolean;
  onChoose: () => void;
}

function Radio({ name, label, note, checked, off, onChoose }: RadioProps) {
  return (
    <label className={styles.option}>
      <input type="radio" name={name} checked={checked} disabled={off} onChange={onChoose} />
      <span>{label}{note && <small>{note}</small>}</span>
    </label>
  );
}

function Choices({ options, value, onChange, off, ...frame }: ChoiceProps) {
  const chosen = Array.isArray(value) ? value : [];
  const has = (option: Option) => chosen.some((one) => JSON.stringify(one) === JSON.stringify(option.value));
  const toggle = (option: Option) => {
    const next = has(option)
      ? chosen.filter((one) => JSON.stringify(one) !== JSON.stringify(option.value))
      // In the order of the choices, whatever was pressed first.
      : options.filter((other) => other === option || has(other)).map((other) => other.value);
    onChange(next.length === 0 && !frame.required ? undefined : next);
  };
  return (
    <Frame {...frame} kind="radios">
      {() => (
        <div className={styles.options}>
          {options.map((option, place) => (
            <label key={place} className={styles.option}>
              <input type="checkbox" checked={has(option)} disabled={off} onChange={() => toggle(option)} />
              <span>{option.label}{option.note && <small>{option.note}</small>}</span>
            </label>
          ))}
        </div>
      )}
    </Frame>
  );
}

interface ListProps {
  field: Extract<Field, { kind: "list" }>;
  inside: Place;
  at: string;
  label: string;
  required: boolean;
  bare?: boolean;
  value: unknown;
  onChange: (value: unknown) => void;
  off: boolean;
}

function List({ field, inside, value, onChange, off, ...frame }: ListProps) {
  const { check, id } = useContext(Around);
  const box = useRef<HTMLDivElement>(null);
  // Entries have no names of their own; these stay with them while they move.
  const keys = useRef<number[]>([]);
  const next = useRef(0);
  const all = Array.isArray(value) ? value : [];
  while (keys.current.length < all.length) keys.current.push((next.current += 1));
  keys.current.length = all.length;
  const [moved, setMoved] = useState("");
  const shown = all.slice(0, ENTRIES_SHOWN);
  const { field: entry } = fieldOf(field.items, undefined, inside, check);
  const isCard = entry.kind === "group" || entry.kind === "variants" || entry.kind === "list" || entry.kind === "places";
  const one = (entry.label ?? singular(frame.label)).toLowerCase();

  const set = (made: unknown[]) => onChange(made.length === 0 && !frame.required ? undefined : made);
  const focus = (place: number) => setTimeout(() => focusAt(id, `${frame.at}/${place}`));
  const add = () => {
    set([...all, begun(field.items, inside, check, true) ?? blank(entry)]);
    focus(all.length);
  };
  const remove = (place: number) => {
    keys.current.splice(place, 1);
    set(all.filter((_, other) => other !== place));
    setMoved(`Removed ${one} ${place + 1}`);
    if (all.length > 1) focus(Math.min(place, all.length - 2));
    else setTimeout(() => box.current?.querySelector<HTMLElement>("[data-add]")?.focus());
  };
  const move = (place: number, by: number) => {
    const to = place + by;
    if (to < 0 || to >= all.length) return;
    const made = [...all];
    [made[place], made[to]] = [made[to], made[place]];
    const names = keys.current;
    [names[place], names[to]] = [names[to] ?? 0, names[place] ?? 0];
    set(made);
    setMoved(`Moved to ${to + 1} of ${all.length}`);
  };
  return (
    <Frame {...frame} field={field} kind="group">
      {() => (
        <div ref={box} className={styles.list} data-cards={isCard || undefined}>
          {shown.map((own, place) => (
            <div
              key={keys.current[place]} className={isCard ? styles.card : styles.row} role="group" aria-label={`${one} ${place + 1} of ${all.length}`}
              onKeyDown={(event) => {
                const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
                if (!event.altKey || !by || off) return;
                event.preventDefault();
                event.stopPropagation();
                move(place, by);
              }}
            >
              <div className={styles.content}>
                <Place
                  schema={field.items} value={own === null && !entry.nullable ? undefined : own} at={`${frame.at}/${place}`} place={inside}
                  label={`${one.charAt(0).toUpperCase()}${one.slice(1)} ${place + 1}`} required bare={!isCard} numbered
                  onChange={(next) => set(all.map((other, at) => (at === place ? next ?? blank(entry) : other)))}
                />
              </div>
              {!off && (
                <div className={styles.tools}>
                  <IconButton icon="up" label={`Move ${one} ${place + 1} up (Alt+↑)`} refused={place === 0 && "it is the first"} onClick={() => move(place, -1)} />
                  <IconButton icon="down" label={`Move ${one} ${place + 1} down (Alt+↓)`} refused={place === all.length - 1 && "it is the last"} onClick={() => move(place, 1)} />
                  <IconButton icon="close" label={`Remove ${one} ${place + 1}`} refused={all.length <= field.least && `at least ${field.least} are needed`} onClick={() => remove(place)} />
                </div>
              )}
            </div>
          ))}
          {all.length > shown.length && <p className={styles.note}>{all.length - shown.length} more are not shown as fields. As JSON, all of them can be changed.</p>}
          {!off && (
            <Button data-add icon="plus" onClick={add} refused={all.length >= field.most && `at most ${field.most} fit`}>
              Add {one}
            </Button>
          )}
          <span className="visually-hidden" role="status">{moved}</span>
        </div>
      )}
    </Frame>
  );
}

/** What stands in a list where nothing was written yet. */
function blank(entry: Field): unknown {
  return entry.kind === "text" ? "" : null;
}

function singular(label: string): string {
  if (/ies$/i.test(label)) return label.replace(/ies$/i, "y");
  return /[^s]s$/i.test(label) ? label.slice(0, -1) : `${label} entry`;
}

interface VariantsProps {
  field: Extract<Field, { kind: "variants" }>;
  place: Place;
  at: string;
  label: string;
  required: boolean;
  bare?: boolean;
  value: unknown;
  onChange: (value: unknown) => void;
  off: boolean;
}

/** One of several shapes: which one first, then its fields. */
function Variants({ field, place, value, onChange, off, ...frame }: VariantsProps) {
  const { id, check } = useContext(Around);
  const [picked, setPicked] = useState<number | null>(null);
  const unset = field.nullable && frame.required ? null : undefined;
  const isSet = value !== undefined && value !== null;
  const found = variantOf(field, value, check);
  const chosen = isSet || picked !== null ? picked ?? found : -1;
  const pick = (at: number) => {
    setPicked(at < 0 ? null : at);
    const variant = field.variants[at];
    onChange(variant ? begun(variant.schema, { ...place, depth: place.depth + 1 }, check, true) : unset);
  };
  const name = `${idOf(id, frame.at)}-form`;
  const variant = field.variants[chosen];
  const optional = !frame.required || field.nullable;
  return (
    <Frame {...frame} field={field} kind="group">
      {() => (
        <>
          {field.variants.length <= RADIOS_MAX ? (
            <div className={styles.options} role="radiogroup" aria-label={`Form of ${frame.label.toLowerCase()}`}>
              {optional && <Radio name={name} label="Not set" checked={chosen < 0} off={off} onChoose={() => pick(-1)} />}
              {field.variants.map((one, at) => (
                <Radio key={at} name={name} label={one.label} note={one.note} checked={at === chosen} off={off} onChoose={() => pick(at)} />
              ))}
            </div>
          ) : (
            <select className={styles.input} aria-label={`Form of ${frame.label.toLowerCase()}`} value={chosen} disabled={off} onChange={(event) => pick(Number(event.target.value))}>
              <option value={-1} disabled={!optional}>{optional ? "Not set" : "Choose"}</option>
              {field.variants.map((one, at) => <option key={at} value={at}>{one.label}</option>)}
            </select>
          )}
          {variant && (
            <Inside key={chosen} schema={variant.schema} label={variant.label} value={value === null ? undefined : value} at={frame.at} place={{ ...place, depth: place.depth + 1 }} onChange={onChange} off={off} />
          )}
        </>
      )}
    </Frame>
  );
}

/** The fields of the shape that was chosen; its mark, such as `type`, is chosen with it. */
function Inside({ schema, value, at, place, onChange, off, label }: { schema: AnySchema; value: unknown; at: string; place: Place; onChange: (value: unknown) => void; off: boolean; label: string }) {
  const { check, ...around } = useContext(Around);
  const { field, inside } = fieldOf(schema, value, place, check);
  if (field.kind === "fixed") return null;
  if (field.kind !== "group") {
    return <Place schema={schema} value={value} at={at} place={place} label={label} required onChange={onChange} bare />;
  }
  const members = field.members.filter((member) => {
    const own = fieldOf(member.schema, undefined, inside, check).field;
    return own.kind !== "fixed" || !member.required;
  });
  if (members.length === 0) return null;
  return (
    <Around value={{ ...around, check, problems: around.problems.filter((problem) => problem.pointer !== at) }}>
      <Group field={{ ...field, members }} value={value} at={at} place={inside} onChange={onChange} locked={off} />
    </Around>
  );
}

interface JsonProps extends Partial<Described> {
  value: unknown;
  onChange: (value: unknown) => void;
  readOnly?: boolean;
  tall?: boolean;
  /** An empty text means: nothing. */
  optional?: boolean;
}

/** A value as JSON. What is not finished is kept as it is, and fits nothing until it is. */
export function JsonField({ value, onChange, readOnly, tall, optional, ...described }: JsonProps) {
  const [text, setText] = useState(() => textOf(value));
  const last = useRef(value);
  // Changed from outside: by another view of the same value.
  if (value !== last.current) {
    last.current = value;
    setText(textOf(value));
  }
  const change = (next: string) => {
    setText(next);
    let made: unknown;
    if (next.trim() === "" && (optional || value === undefined)) made = undefined;
    else {
      try {
        made = JSON.parse(next);
      } catch {
        made = new Unfinished(next);
      }
    }
    last.current = made;
    onChange(made);
  };
  const lines = Math.min(Math.max(text.split("\n").length, tall ? 8 : 3), 24);
  return (
    <textarea
      {...described} className={styles.json} value={text} rows={lines} readOnly={readOnly} spellCheck={false} autoCapitalize="off" autoComplete="off"
      onChange={(event) => change(event.target.value)}
    />
  );
}

function textOf(value: unknown): string {
  if (value instanceof Unfinished) return value.text;
  return value === undefined ? "" : JSON.stringify(value, null, 2);
}

