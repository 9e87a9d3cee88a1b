// The form library on every schema of the corpus: it becomes the field it should, renders to
// something that can be filled in, and tells what fits from what does not.

/// <reference types="node" />
import assert from "node:assert/strict";
import { test } from "node:test";
import { renderToStaticMarkup } from "react-dom/server";
import { Form, initialOf, problemsOf, useForm, type AnySchema } from "../../src/forms";
import { Unfinished } from "../../src/forms/check";
import { atRoot, fieldOf, labelOf } from "../../src/forms/schema";
import { withEntry } from "../../src/forms/value";
// Plain data, without types.
import { corpus } from "../corpus.mjs";

interface Case {
  name: string;
  schema: AnySchema;
  kind: string;
  look?: string;
  secret?: boolean;
  nullable?: boolean;
  begins?: unknown;
  order?: string[];
  good: unknown[];
  bad: unknown[];
}

const cases = corpus as Case[];

function Shown({ schema, value, checked }: { schema: AnySchema; value?: unknown; checked?: boolean }) {
  const form = useForm(schema, value);
  return <Form form={checked ? { ...form, problems: problemsOf(schema, form.value) } : form} label="Answer" />;
}

for (const it of cases) {
  test(`${it.name}: is the field it should be`, () => {
    const { field } = fieldOf(it.schema, undefined, atRoot(it.schema), { root: it.schema });
    assert.equal(field.kind, it.kind);
    if (it.look && field.kind === "text") assert.equal(field.look, it.look);
    if (it.secret && field.kind === "text") assert.equal(field.secret, true);
    if (it.nullable) assert.equal(field.nullable, true);
    if (it.order && field.kind === "group") assert.deepEqual(field.members.map((member) => member.key), it.order);
    if (it.begins !== undefined) assert.deepEqual(initialOf(it.schema), it.begins);
  });

  test(`${it.name}: what fits passes, what does not is told with its place`, () => {
    for (const good of it.good) assert.deepEqual(problemsOf(it.schema, good), [], `refuses ${JSON.stringify(good)}`);
    for (const bad of it.bad) {
      const found = problemsOf(it.schema, bad);
      assert.notEqual(found.length, 0, `passes ${JSON.stringify(bad)}`);
      for (const problem of found) assert.match(problem.pointer, /^(\/.*)?$/s);
    }
  });

  test(`${it.name}: renders, empty, filled and wrong`, () => {
    for (const value of [undefined, ...it.good, ...it.bad]) {
      const html = renderToStaticMarkup(<Shown schema={it.schema} value={value} checked />);
      assert.match(html, /<(input|textarea|select|button|code|p)\b/);
      assert.doesNotMatch(html, /<script|<img|<b>/);
      assert.doesNotMatch(html, /\[object Object\]|undefined/);
    }
  });
}

test("problems stand at the fields that they are about", () => {
  const tree = cases.find((it) => it.name === "a list of entries")!;
  const html = renderToStaticMarkup(<Shown schema={tree.schema} value={[{ name: "" }]} checked />);
  assert.match(html, /aria-invalid="true"/);
  assert.match(html, /aria-describedby="[^"]*-bad/);
  assert.match(html, /1 › Name/);
});

test("a secret is never written into the page as text", () => {
  const html = renderToStaticMarkup(<Shown schema={{ type: "object", properties: { key: { type: "string", format: "password" } } }} value={{ key: "s3cret" }} />);
  assert.match(html, /type="password"/);
});

test("a condition brings its fields with it", () => {
  const { schema } = cases.find((it) => it.name === "a condition with other entries")!;
  const names = (value: unknown) => {
    const { field } = fieldOf(schema, value, atRoot(schema), { root: schema });
    return field.kind === "group" ? field.members.map((member) => member.key) : [];
  };
  assert.deepEqual(names({ kind: "page" }), ["url", "kind"]);
  assert.deepEqual(names({ kind: "note" }), ["text", "kind"]);
});

test("the problems of alternatives are those of the one that was meant", () => {
  const { schema } = cases.find((it) => it.name === "shapes with a mark, as Rust describes them")!;
  const found = problemsOf(schema, { type: "edit", sections: [{ name: "" }] });
  assert.deepEqual(found.map((problem) => problem.pointer), ["/sections/0/name"]);
});

test("JSON that is not finished fits nothing", () => {
  for (const it of cases) {
    assert.deepEqual(problemsOf(it.schema, new Unfinished("{")).map((problem) => problem.pointer).slice(0, 1), [""]);
  }
  assert.equal(problemsOf({}, { a: [new Unfinished("x")] })[0]?.pointer, "/a/0");
});

test("an entry is set and taken out without touching the value before", () => {
  const before = { a: 1 };
  assert.deepEqual(withEntry(before, "b", 2), { a: 1, b: 2 });
  assert.deepEqual(withEntry(before, "a", undefined), {});
  assert.deepEqual(before, { a: 1 });
  assert.equal(({} as { x?: number }).x, undefined);
  assert.deepEqual(Object.keys(withEntry({}, "__proto__", 1)), ["__proto__"]);
});

test("names become words, and what is no name stays", () => {
  assert.equal(labelOf("recursion_limit"), "Recursion limit");
  assert.equal(labelOf("maxTokens"), "Max tokens");
  assert.equal(labelOf("BLOGGER_LLM"), "BLOGGER_LLM");
});
