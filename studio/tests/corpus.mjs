// Schemas that a form has to bear, each with answers that fit and answers that do not. `kind` is
// what the field at `at` (the root without) becomes. The unit tests render every one of them; the
// tests against the server ask every one as a question and answer it both ways.

const many = (count) => Array.from({ length: count }, (_, at) => `choice ${at + 1}`);
const object = (properties, required = []) => ({ type: "object", properties, required });

export const corpus = [
  // Texts.
  { name: "a text", schema: { type: "string" }, kind: "text", good: ["", "x"], bad: [1, null, {}] },
  { name: "a text with bounds", schema: { type: "string", minLength: 2, maxLength: 5 }, kind: "text", good: ["ab", "äöüßé"], bad: ["", "a", "abcdef"] },
  { name: "a long text", schema: { type: "string", maxLength: 4000 }, kind: "text", look: "long", good: ["a\nb"], bad: ["x".repeat(4001)] },
  { name: "a text in an editor", schema: { type: "string", "x-widget": "prompt" }, kind: "text", look: "prompt", good: ["Say {topic}"], bad: [false] },
  { name: "Markdown", schema: { type: "string", "x-widget": "markdown" }, kind: "text", look: "markdown", good: ["# A"], bad: [[]] },
  { name: "code", schema: { type: "string", "x-widget": "code" }, kind: "text", look: "code", good: ["fn main() {}"], bad: [2] },
  { name: "a pattern", schema: { type: "string", pattern: "^[a-z]{2}-\\d+$" }, kind: "text", good: ["ab-12"], bad: ["AB-12", "ab-"] },
  { name: "a pattern that no browser knows", schema: { type: "string", pattern: "^(?i)abc$" }, kind: "text", good: [], bad: [7] },
  { name: "a date", schema: { type: "string", format: "date" }, kind: "text", good: ["2024-02-29"], bad: ["2023-02-29", "tomorrow", "2024-13-01"] },
  { name: "a time", schema: { type: "string", format: "time" }, kind: "text", good: ["14:30:00Z"], bad: ["25:00:00Z", "noon"] },
  { name: "a point of time", schema: { type: "string", format: "date-time" }, kind: "text", good: ["2026-03-31T14:30:00Z", "2026-03-31T14:30:00.5+02:00"], bad: ["2026-03-31", "2026-02-31T00:00:00Z"] },
  { name: "an address on the web", schema: { type: "string", format: "uri" }, kind: "text", good: ["https://example.com/a?b=c"], bad: ["example com"] },
  { name: "an address for mail", schema: { type: "string", format: "email" }, kind: "text", good: ["ana@example.com"], bad: ["ana", "a b@c"] },
  { name: "a UUID", schema: { type: "string", format: "uuid" }, kind: "text", good: ["2ecb98d2-5d50-4ff3-9f5c-1a5ddcd5c1ac"], bad: ["2ecb98d2"] },
  { name: "a format nobody knows", schema: { type: "string", format: "star-sign" }, kind: "text", good: ["lion"], bad: [3] },
  { name: "a secret", schema: { type: "string", format: "password", minLength: 3 }, kind: "text", secret: true, good: ["abc"], bad: ["a"] },
  { name: "a secret that is written only", schema: { type: "string", writeOnly: true }, kind: "text", secret: true, good: ["abc"], bad: [null] },
  { name: "a text with examples", schema: { type: "string", examples: ["one", "two"] }, kind: "text", good: ["three"], bad: [0] },
  // Numbers.
  { name: "a whole number", schema: { type: "integer", minimum: 1, maximum: 10 }, kind: "number", good: [1, 10], bad: [0, 11, 1.5, "3"] },
  { name: "a number between", schema: { type: "number", exclusiveMinimum: 0, exclusiveMaximum: 1 }, kind: "number", good: [0.5], bad: [0, 1] },
  { name: "a number in steps", schema: { type: "number", multipleOf: 0.1 }, kind: "number", good: [0.3, 2], bad: [0.25] },
  { name: "a number that may be none", schema: { type: ["number", "null"] }, kind: "number", nullable: true, good: [null, 3], bad: ["3"] },
  // Yes or no.
  { name: "yes or no", schema: { type: "boolean" }, kind: "flag", good: [true, false], bad: ["yes", 1] },
  { name: "yes by default", schema: { type: "boolean", default: true }, kind: "flag", begins: true, good: [false], bad: [null] },
  // Choices.
  { name: "few choices", schema: { type: "string", enum: ["red", "green", "blue"] }, kind: "choice", good: ["red"], bad: ["pink"] },
  { name: "some choices", schema: { enum: many(9) }, kind: "choice", good: ["choice 9"], bad: ["choice 10"] },
  { name: "many choices", schema: { enum: many(400) }, kind: "choice", good: ["choice 400"], bad: ["choice 401"] },
  { name: "choices with words", schema: { oneOf: [{ const: "a", title: "The first", description: "It comes first." }, { const: "b", title: "The second" }] }, kind: "choice", good: ["a"], bad: ["c"] },
  { name: "choices of several kinds", schema: { enum: [1, "one", true] }, kind: "choice", good: [1, "one", true], bad: [2, false] },
  { name: "choices of which one is nothing", schema: { enum: ["a", "b", null] }, kind: "choice", nullable: true, good: ["a", null], bad: ["c"] },
  { name: "choices as Rust describes them", schema: { oneOf: [{ type: "string", enum: ["auto", "model"] }, { type: "string", const: "extractive", description: "No model." }] }, kind: "choice", good: ["auto", "extractive"], bad: ["none"] },
  { name: "one value only", schema: { const: { fixed: true } }, kind: "fixed", good: [{ fixed: true }], bad: [{ fixed: false }] },
  // Lists.
  { name: "several of a few", schema: { type: "array", uniqueItems: true, items: { enum: ["a", "b", "c"] } }, kind: "choices", good: [[], ["a", "c"]], bad: [["d"], ["a", "a"]] },
  { name: "a list of texts", schema: { type: "array", items: { type: "string", minLength: 1 }, maxItems: 3 }, kind: "list", good: [[], ["a"]], bad: [[""], ["a", "b", "c", "d"]] },
  { name: "a list of entries", schema: { type: "array", minItems: 1, items: object({ name: { type: "string", minLength: 1 }, aim: { type: "string" } }, ["name"]) }, kind: "list", good: [[{ name: "a" }]], bad: [[], [{ aim: "b" }], [{ name: "" }]] },
  { name: "a list in a list", schema: { type: "array", items: { type: "array", items: { type: "number" } } }, kind: "list", good: [[[1], []]], bad: [[["a"]]] },
  { name: "places", schema: { type: "array", prefixItems: [{ type: "string" }, { type: "integer" }], minItems: 2, maxItems: 2 }, kind: "places", good: [["a", 1]], bad: [["a"], [1, "a"], ["a", 1, 2]] },
  { name: "places with more behind them", schema: { type: "array", prefixItems: [{ type: "string" }], items: { type: "number" } }, kind: "json", good: [["a", 1, 2]], bad: [["a", "b"]] },
  { name: "a list of anything", schema: { type: "array" }, kind: "json", good: [[1, "a"]], bad: [{}] },
  // Entries.
  { name: "entries", schema: object({ a: { type: "string", minLength: 1 }, b: { type: "integer" } }, ["a"]), kind: "group", good: [{ a: "x" }, { a: "x", b: 1 }], bad: [{}, { a: "" }, { a: "x", b: "y" }] },
  { name: "entries in entries", schema: object({ outer: object({ inner: { type: "integer", minimum: 3 } }, ["inner"]) }, ["outer"]), kind: "group", good: [{ outer: { inner: 3 } }], bad: [{ outer: {} }, { outer: { inner: 2 } }] },
  { name: "no entries at all", schema: { type: "object", additionalProperties: false }, kind: "group", good: [{}], bad: [{ a: 1 }] },
  { name: "free entries", schema: { type: "object", additionalProperties: { type: "number" } }, kind: "json", good: [{ a: 1 }], bad: [{ a: "b" }] },
  { name: "entries named by a pattern", schema: { type: "object", patternProperties: { "^x-": { type: "string" } }, additionalProperties: false }, kind: "group", good: [{ "x-a": "b" }], bad: [{ a: "b" }, { "x-a": 1 }] },
  { name: "no unknown entries", schema: { ...object({ a: { type: "string" } }), additionalProperties: false }, kind: "group", good: [{}, { a: "" }], bad: [{ b: 1 }] },
  { name: "entries with odd names", schema: object({ "a/b": { type: "string", minLength: 1 }, "c~d": { type: "string" }, "": { type: "string" }, __proto__x: { type: "string" } }, ["a/b"]), kind: "group", good: [{ "a/b": "x", "c~d": "y", "": "z" }], bad: [{}, { "a/b": "" }] },
  { name: "entries in an order of their own", schema: object({ last: { type: "string" }, first: { type: "string", "x-order": 1 }, second: { type: "string", "x-order": 2 } }), kind: "group", order: ["first", "second", "last"], good: [{}], bad: [[]] },
  { name: "entries that belong together", schema: { ...object({ card: { type: "string" }, holder: { type: "string" } }), dependentRequired: { card: ["holder"] } }, kind: "group", good: [{}, { card: "1", holder: "A" }], bad: [{ card: "1" }] },
  { name: "an entry that is required and not described", schema: { type: "object", required: ["name"] }, kind: "group", good: [{ name: 1 }], bad: [{}] },
  { name: "entries to read only, or old", schema: object({ id: { type: "string", readOnly: true, default: "7" }, old: { type: "string", deprecated: true } }), kind: "group", begins: { id: "7" }, good: [{}], bad: [{ id: 7 }] },
  { name: "defaults", schema: object({ words: { type: "integer", default: 1200 }, tone: { enum: ["dry", "warm"], default: "dry" }, name: { type: "string" } }), kind: "group", begins: { words: 1200, tone: "dry" }, good: [{}], bad: [{ tone: "loud" }] },
  { name: "hundreds of entries", schema: object(Object.fromEntries(many(300).map((name) => [name, { type: "string" }]))), kind: "json", good: [{}], bad: [{ "choice 1": 1 }] },
  // Alternatives.
  { name: "one of two shapes", schema: { oneOf: [{ title: "By mail", ...object({ mail: { type: "string", minLength: 1 } }, ["mail"]) }, { title: "By phone", ...object({ phone: { type: "integer" } }, ["phone"]) }] }, kind: "variants", good: [{ mail: "a" }, { phone: 1 }], bad: [{}, { mail: "" }, { mail: "a", phone: 1 }] },
  {
    name: "shapes with a mark, as Rust describes them", kind: "variants",
    schema: {
      oneOf: [
        { description: "It is good.", ...object({ type: { type: "string", const: "approve" } }, ["type"]) },
        { description: "This is better.", ...object({ type: { type: "string", const: "edit" }, sections: { type: "array", minItems: 1, items: { $ref: "#/$defs/Section" } } }, ["type", "sections"]) },
      ],
      $defs: { Section: { ...object({ name: { type: "string", minLength: 1 }, research: { type: "boolean", default: false } }, ["name"]), additionalProperties: false } },
    },
    good: [{ type: "approve" }, { type: "edit", sections: [{ name: "A", research: true }] }], bad: [{ type: "edit" }, { type: "edit", sections: [] }, { type: "edit", sections: [{ name: "" }] }, { type: "burn" }],
  },
  { name: "something or nothing", schema: { anyOf: [{ type: "string", format: "uri" }, { type: "null" }] }, kind: "text", nullable: true, good: [null, "https://example.com"], bad: ["not a web address", 1] },
  { name: "a text or a number", schema: { type: ["string", "integer"] }, kind: "variants", good: ["a", 1], bad: [true, 1.5] },
  { name: "a text or texts", schema: { anyOf: [{ type: "string" }, { type: "array", items: { type: "string" } }] }, kind: "variants", good: ["a", ["b"]], bad: [1, [1]] },
  { name: "one entry or the other", schema: { ...object({ a: { type: "string" }, b: { type: "string" } }), anyOf: [{ required: ["a"] }, { required: ["b"] }] }, kind: "group", good: [{ a: "" }, { b: "" }], bad: [{}] },
  { name: "shapes over common entries", schema: { ...object({ name: { type: "string", minLength: 1 } }, ["name"]), oneOf: [object({ kind: { const: "a" }, a: { type: "integer" } }, ["kind", "a"]), object({ kind: { const: "b" } }, ["kind"])] }, kind: "variants", good: [{ name: "n", kind: "a", a: 1 }, { name: "n", kind: "b" }], bad: [{ kind: "b" }, { name: "n", kind: "a" }] },
  // Parts, references, conditions.
  { name: "parts", schema: { allOf: [object({ a: { type: "string", minLength: 1 } }, ["a"]), object({ b: { type: "integer" } }, ["b"])] }, kind: "group", good: [{ a: "x", b: 1 }], bad: [{ a: "x" }, { b: 1 }] },
  { name: "a reference", schema: { $ref: "#/$defs/Name", $defs: { Name: { type: "string", minLength: 2 } } }, kind: "text", good: ["ab"], bad: ["a"] },
  { name: "a reference with words beside it", schema: { ...object({ words: { $ref: "#/$defs/Words", description: "How long it is to be.", default: { target: 1200 } } }), $defs: { Words: { description: "Length.", ...object({ target: { type: "integer", minimum: 150, maximum: 6000 } }, ["target"]), additionalProperties: false } } }, kind: "group", begins: { words: { target: 1200 } }, good: [{}, { words: { target: 150 } }], bad: [{ words: { target: 149 } }, { words: {} }] },
  { name: "a tree", schema: { $ref: "#/$defs/Node", $defs: { Node: object({ name: { type: "string" }, children: { type: "array", items: { $ref: "#/$defs/Node" } } }, ["name"]) } }, kind: "group", good: [{ name: "a", children: [{ name: "b", children: [] }] }], bad: [{ children: [] }, { name: "a", children: [{}] }] },
  { name: "two branches", schema: { $ref: "#/$defs/Node", $defs: { Node: object({ left: { $ref: "#/$defs/Node" }, right: { $ref: "#/$defs/Node" }, value: { type: "number" } }, ["value"]) } }, kind: "group", good: [{ value: 1, left: { value: 2 } }], bad: [{}, { value: 1, left: {} }] },
  { name: "a condition", schema: { ...object({ ship: { type: "boolean" }, address: { type: "string", minLength: 1 } }, ["ship"]), if: { properties: { ship: { const: true } }, required: ["ship"] }, then: { required: ["address"] } }, kind: "group", good: [{ ship: false }, { ship: true, address: "here" }], bad: [{ ship: true }, {}] },
  { name: "a condition with other entries", schema: { ...object({ kind: { enum: ["page", "note"] } }, ["kind"]), if: { properties: { kind: { const: "page" } } }, then: { properties: { url: { type: "string", format: "uri" } }, required: ["url"] }, else: { properties: { text: { type: "string", minLength: 1 } }, required: ["text"] } }, kind: "group", good: [{ kind: "note", text: "a" }, { kind: "page", url: "https://a.example" }], bad: [{ kind: "note" }, { kind: "page", text: "a" }] },
  // Whatever else.
  { name: "anything", schema: {}, kind: "json", good: [1, "a", null, { a: [1] }], bad: [] },
  { name: "anything at all", schema: true, kind: "json", good: [1], bad: [] },
  { name: "nothing at all", schema: false, kind: "json", good: [], bad: [1, {}] },
  { name: "not a text", schema: { not: { type: "string" } }, kind: "json", good: [1], bad: ["a"] },
  { name: "a schema that leads back to itself", schema: { ...object({ a: { $ref: "#/$defs/A" } }), $defs: { A: { $ref: "#/$defs/B" }, B: { $ref: "#/$defs/A" } } }, kind: "group", clientOnly: true, good: [{}], bad: [] },
  { name: "a reference to nowhere", schema: object({ a: { $ref: "#/$defs/Gone" } }), kind: "group", clientOnly: true, good: [{}], bad: [] },
  { name: "hostile words", schema: { type: "object", title: "<script>alert(1)</script>", properties: { "<img src=x onerror=alert(1)>": { type: "string", title: "\u202Egnp.exe", description: "<b>bold</b> [x](javascript:alert(1))", minLength: 1 } }, required: ["<img src=x onerror=alert(1)>"] }, kind: "group", good: [{ "<img src=x onerror=alert(1)>": "a" }], bad: [{}] },
  { name: "deep entries", schema: deep(14), kind: "group", good: [{}], bad: [[]] },
  {
    name: "decisions about tools", kind: "group",
    schema: {
      ...object({
        decisions: {
          type: "array", minItems: 2, maxItems: 2,
          prefixItems: [0, 1].map(() => ({
            oneOf: [
              object({ type: { const: "approve" } }, ["type"]),
              object({ type: { const: "edit" }, edited_action: object({ name: { type: "string" }, args: { type: "object" } }, ["name", "args"]) }, ["type", "edited_action"]),
              object({ type: { const: "reject" }, message: { type: "string" } }, ["type"]),
            ],
          })),
        },
      }, ["decisions"]),
    },
    // Nothing is approved by not looking.
    begins: { decisions: [null, null] },
    good: [{ decisions: [{ type: "approve" }, { type: "reject", message: "no" }] }], bad: [{ decisions: [] }, { decisions: [{ type: "approve" }, { type: "edit" }] }],
  },
];

function deep(levels) {
  let schema = { type: "string" };
  for (let level = 0; level < levels; level += 1) schema = { type: "object", properties: { below: schema } };
  return schema;
}
