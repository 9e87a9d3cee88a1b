// Shows /openapi.json: operations by resource, schemas that open, and a way to try each.
// Everything that comes from the document is set as text, never as markup.

const at = (id) => document.getElementById(id);

/** An element with a class, children and attributes. */
function make(tag, name, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const METHODS = ["get", "post", "put", "patch", "delete"];

let api = {};

/** What a reference leads to, with its name. */
function resolve(schema) {
  const name = schema?.$ref?.replace("#/components/schemas/", "");
  return name === undefined ? [null, schema] : [name, api.components.schemas[name] ?? {}];
}

/** A type in one line. */
function short(schema) {
  if (schema === true || schema === undefined) return "any";
  if (schema.$ref) return resolve(schema)[0];
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  const options = schema.anyOf ?? schema.oneOf;
  if (options) return options.map(short).join(" | ");
  const types = [schema.type ?? "any"].flat();
  return types
    .map((type) => {
      if (type === "array") return `[${short(schema.items)}]`;
      if (type === "object" && typeof schema.additionalProperties === "object")
        return `{…: ${short(schema.additionalProperties)}}`;
      return schema.format && type !== "null" ? `${type} (${schema.format})` : type;
    })
    .join(" | ");
}

/** The parts of a schema that have members to show. */
function parts(schema) {
  if (!schema || schema === true) return [];
  if (schema.$ref) return [schema];
  const inner = [...(schema.anyOf ?? schema.oneOf ?? []), schema.items, schema.additionalProperties];
  return inner.filter((one) => one && typeof one === "object").flatMap(parts);
}

/** A schema as a tree; what it refers to is made when it is opened. */
function tree(schema) {
  const [, whole] = resolve(schema);
  const list = make("ul");
  const required = new Set(whole.required ?? []);
  const all = [whole, ...(whole.allOf ?? []).map((one) => resolve(one)[1])];
  for (const [key, member] of all.flatMap((one) => Object.entries(one.properties ?? {}))) {
    const line = [
      make("span", "key", key),
      required.has(key) ? "" : "?",
      ": ",
      short(member),
      member.description ? make("span", "note", ` — ${member.description}`) : null,
    ];
    list.append(make("li", "", below(member, line)));
  }
  for (const option of whole.oneOf ?? whole.anyOf ?? []) {
    const note = option.description ? make("span", "note", ` — ${option.description}`) : null;
    list.append(make("li", "", below(option, [short(option), note])));
  }
  return list;
}

/** A line, or one that opens to what it refers to. */
function below(schema, line) {
  const inner = parts(schema);
  if (inner.length === 0) return make("span", "", ...line);
  const details = make("details", "", make("summary", "", ...line));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) {
      details.append(...inner.map((one) => tree(one)));
    }
  });
  return details;
}

function shown(title, content) {
  const blocks = Object.entries(content ?? {}).map(([kind, { schema }]) => {
    const line = [short(schema), make("span", "note", ` ${kind}`)];
    return make("div", "schema", below(schema, line));
  });
  return blocks.length ? make("div", "", make("h3", "", title), ...blocks) : null;
}

function parameters(operation) {
  if (!operation.parameters?.length) return null;
  const rows = operation.parameters.map((one) =>
    make(
      "tr",
      "",
      make("td", "path", one.name + (one.required ? "" : "?")),
      make("td", "", one.in),
      make("td", "path", short(one.schema)),
      make("td", "", one.description ?? ""),
    ),
  );
  return make("div", "", make("h3", "", "Parameters"), make("table", "", ...rows));
}

function answers(operation) {
  const rows = Object.entries(operation.responses).map(([status, response]) => {
    const name = response.$ref?.replace("#/components/responses/", "");
    const whole = name ? api.components.responses[name] : response;
    const bodies = Object.values(whole.content ?? {}).map(({ schema }) =>
      make("div", "schema", below(schema, [short(schema)])),
    );
    const headers = Object.keys(whole.headers ?? {}).map((header) => make("div", "path", header));
    return make(
      "tr",
      "",
      make("td", "path", status),
      make("td", "", whole.description ?? "", ...headers),
      make("td", "", ...bodies),
    );
  });
  return make("div", "", make("h3", "", "Answers"), make("table", "", ...rows));
}

/** A beginning for a body: the members that have to be there. */
function example(schema) {
  const [, whole] = resolve(schema);
  const type = [whole.type ?? "object"].flat()[0];
  if (whole.enum) return whole.enum[0];
  if (type === "string") return "";
  if (type === "integer" || type === "number") return whole.minimum ?? 0;
  if (type === "boolean") return false;
  if (type === "array") return [];
  const body = {};
  for (const key of whole.required ?? []) body[key] = example(whole.properties?.[key] ?? {});
  return body;
}

/** A form that asks the server. */
function attempt(method, path, operation) {
  const form = make("form", "try", make("h3", "", "Try it"));
  const fields = (operation.parameters ?? []).map((one) => {
    const input = make("input");
    input.autocomplete = "off";
    form.append(make("label", "", one.name, input));
    return { ...one, input };
  });
  let body = null;
  const schema = operation.requestBody?.content["application/json"]?.schema;
  if (schema !== undefined) {
    body = make("textarea");
    body.value = JSON.stringify(example(schema), null, 2);
    form.append(make("label", "", "Body", body));
  }
  const answer = make("pre", "answer");
  answer.hidden = true;
  form.append(make("button", "", "Send"), answer);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    answer.hidden = false;
    answer.textContent = "…";
    answer.textContent = await ask(method, path, fields, body).catch(String);
  });
  return form;
}

/** Longest answer that is shown, in characters. */
const SHOWN_MAX = 100_000;
/** How long an answer is waited for: streams can be endless. */
const WAIT_MS = 15_000;

async function ask(method, path, fields, body) {
  let target = path;
  const query = new URLSearchParams();
  for (const { name, in: place, input } of fields) {
    if (place === "path") target = target.replace(`{${name}}`, encodeURIComponent(input.value));
    else if (input.value !== "") query.set(name, input.value);
  }
  const headers = {};
  if (body) headers["content-type"] = "application/json";
  const credential = at("credential").value.trim();
  if (credential) headers.authorization = `Bearer ${credential}`;
  const address = `.${target}${query.size ? `?${query}` : ""}`;
  const signal = AbortSignal.timeout(WAIT_MS);
  const response = await fetch(address, { method: method.toUpperCase(), headers, body: body?.value, signal });
  let text = "";
  try {
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    while (reader && text.length < SHOWN_MAX) {
      const { done, value } = await reader.read();
      if (done) break;
      text += value;
    }
    reader?.cancel();
  } catch (error) {
    text += `\n${error}`;
  }
  try {
    text = JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    // Not JSON: shown as it is.
  }
  return `${response.status} ${response.statusText}\n\n${text.slice(0, SHOWN_MAX)}`;
}

function operation(method, path, described) {
  const summary = make(
    "summary",
    "",
    make("span", "method", method.toUpperCase()),
    make("span", "path", path),
    make("span", "says", described.summary ?? ""),
  );
  const details = make("details", "operation", summary);
  details.id = described.operationId ?? `${method}-${path}`;
  details.dataset.words =
    `${method} ${path} ${described.operationId} ${described.summary} ${described.description ?? ""}`.toLowerCase();
  details.addEventListener("toggle", () => {
    if (!details.open || details.childElementCount > 1) return;
    const inside = make(
      "div",
      "",
      described.description ? make("p", "", described.description) : null,
      parameters(described),
      shown("Body", described.requestBody?.content),
      answers(described),
      path.startsWith("/ws/") ? null : attempt(method, path, described),
    );
    details.append(inside);
  });
  return details;
}

function show() {
  document.title = `${api.info.title}: reference`;
  at("title").textContent = api.info.title;
  at("version").textContent = api.info.version;
  at("about").textContent = api.info.description;
  const contents = make("ul");
  for (const { name, description } of api.tags) {
    const found = Object.entries(api.paths).flatMap(([path, item]) =>
      METHODS.filter((method) => item[method]?.tags?.includes(name)).map((method) =>
        operation(method, path, item[method]),
      ),
    );
    if (found.length === 0) continue;
    const heading = make("h2", "", name);
    heading.id = `of-${name.toLowerCase()}`;
    const link = make("a", "", name);
    link.href = `#${heading.id}`;
    contents.append(make("li", "", link));
    at("resources").append(make("section", "", heading, make("p", "", description ?? ""), ...found));
  }
  at("contents").append(contents);
  const named = decodeURIComponent(location.hash.slice(1));
  const target = named ? document.getElementById(named) : null;
  if (target instanceof HTMLDetailsElement) target.open = true;
  target?.scrollIntoView();
}

at("find").addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase().split(/\s+/);
  for (const section of at("resources").children) {
    let any = false;
    for (const one of section.querySelectorAll(":scope > .operation")) {
      one.hidden = !words.every((word) => one.dataset.words.includes(word));
      any ||= !one.hidden;
    }
    section.hidden = !any;
  }
});

/** Reads the document, with the credential if there is one. */
async function load() {
  const credential = at("credential").value.trim();
  const headers = credential ? { authorization: `Bearer ${credential}` } : {};
  const problem = at("problem");
  try {
    const response = await fetch("openapi.json", { headers });
    if (!response.ok) throw new Error(`openapi.json: ${response.status}`);
    api = await response.json();
    problem.hidden = true;
    show();
  } catch (error) {
    problem.textContent = `The document cannot be shown: ${error.message}`;
    problem.hidden = false;
    at("credential").addEventListener("change", load, { once: true });
  }
}

load();
