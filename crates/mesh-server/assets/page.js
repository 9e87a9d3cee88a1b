// The plain page: one topic in, one post out, over the same socket that every client uses.
// Text from the server reaches the document as text nodes only.

const CUSTOM_CHARS_MAX = 200;

const $ = (id) => document.getElementById(id);
const form = $("form"), topic = $("topic"), run = $("run"), stop = $("stop");
const problem = $("problem"), progress = $("progress"), status = $("status"), steps = $("steps");
const post = $("post"), actions = $("actions"), choice = $("choice"), assistant = $("assistant");

let socket = null;
let markdown = "";

// ---- what this server offers ----

async function learn() {
  let info;
  try {
    info = await (await fetch("info")).json();
  } catch {
    return complain("The server does not answer.");
  }
  $("version").textContent = info.version;
  const usable = info.assistants.filter((one) => one.input_schema?.properties?.topic);
  if (usable.length === 0) {
    topic.disabled = true;
    $("hint").textContent = info.assistants.length === 0
      ? "This mesh serves no assistants yet."
      : "No assistant of this mesh takes a topic. Their sockets are listed under “What it serves”.";
    return;
  }
  for (const { name } of usable) assistant.append(element("option", name));
  const blogger = usable.findIndex(({ name }) => name === "blogger");
  assistant.selectedIndex = Math.max(blogger, 0);
  choice.hidden = usable.length === 1;
  const { minLength, maxLength } = usable[assistant.selectedIndex].input_schema.properties.topic;
  if (minLength && maxLength) {
    $("hint").textContent = `${minLength} to ${maxLength} characters. A question works best.`;
  }
  run.disabled = false;
}

// ---- one run ----

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (socket || run.disabled) return;
  if (topic.value.trim() === "") topic.value = topic.placeholder;
  start(assistant.value, topic.value.trim());
});

const stopByHand = () => finish("Stopped. The run is cancelled.");
stop.addEventListener("click", stopByHand);
document.addEventListener("keydown", ({ key }) => {
  if (key === "Escape" && socket) stopByHand();
});

function start(name, text) {
  problem.hidden = post.hidden = actions.hidden = true;
  steps.replaceChildren();
  post.replaceChildren();
  markdown = "";
  progress.hidden = false;
  run.disabled = true;
  stop.hidden = false;

  const address = new URL(`ws/${encodeURIComponent(name)}`, document.baseURI);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  address.search = "?stream_mode=updates,custom";
  const mine = new WebSocket(address);
  socket = mine;

  const started = Date.now();
  let said = "Connecting";
  const show = () => {
    if (socket !== mine) return; // stopped by hand
    const seconds = Math.round((Date.now() - started) / 1000);
    status.textContent = seconds < 3 ? `${said} …` : `${said} … ${seconds} s`;
  };
  const say = (what) => { said = what; show(); };
  show();
  const ticking = setInterval(show, 1000);
  let opened = false, failed = false;

  mine.onopen = () => {
    opened = true;
    say("Working");
    mine.send(JSON.stringify({ topic: text }));
  };
  mine.onmessage = ({ data }) => {
    if (socket !== mine) return;
    const frame = JSON.parse(data);
    if (frame.error) {
      failed = true;
      complain(frame.error.message, frame.error.reference);
    } else if (frame.event === "custom") {
      const words = inWords(frame.data);
      if (words) say(words);
    } else if (frame.event === "updates") {
      for (const [node, update] of Object.entries(frame.data)) take(node, update, say);
    }
  };
  mine.onclose = ({ code }) => {
    clearInterval(ticking);
    if (socket !== mine) return; // stopped by hand
    const seconds = (Date.now() - started) / 1000;
    if (code === 1000) {
      return finish(seconds < 0.1 ? "Done at once." : `Done in ${seconds.toFixed(1)} s.`);
    }
    if (!failed) {
      complain(opened
        ? `The connection ended early (code ${code}).`
        : "The socket did not open. Is the server still there?");
    }
    finish("");
  };
}

function finish(words) {
  const closing = socket;
  socket = null;
  closing?.close();
  stop.hidden = true;
  run.disabled = false;
  status.textContent = words;
  progress.hidden = words === "" && steps.childElementCount === 0;
  for (const item of steps.querySelectorAll(".open .state")) item.textContent = "";
  if (markdown) {
    post.hidden = actions.hidden = false;
    post.focus({ preventScroll: true });
    post.scrollIntoView({ block: "start" });
  } else {
    topic.focus();
  }
}

/** An update of a node: sections go to the list of sections, anything else is a step. */
function take(node, update, say) {
  for (const one of Array.isArray(update) ? update : [update]) {
    for (const section of one?.sections ?? []) list(section, false);
    for (const section of one?.completed_sections ?? []) list(section, true);
    if (typeof one?.final_blog === "string") {
      markdown = one.final_blog;
      post.replaceChildren(...render(markdown));
      post.hidden = false;
    }
  }
  if (node === "__interrupt__") {
    complain("The run asks a question, and this page cannot answer it.");
  } else {
    say(sentence(node));
  }
}

/** Adds a section, or marks one that is listed. */
function list(section, done) {
  const name = String(section?.name ?? "");
  if (name === "") return;
  const key = String(section.id ?? name);
  let item = [...steps.children].find((one) => one.dataset.key === key);
  if (!item) {
    item = element("li");
    item.dataset.key = key;
    item.append(element("span", "○", "mark"), element("span", name), element("span", "", "state"));
    if (section.description) item.append(element("span", String(section.description), "about"));
    steps.append(item);
  }
  const [kind, mark, state] = !done ? ["open", "○", "waiting"]
    : section.content === "" ? ["empty", "–", "left out"]
    : ["done", "✓", "written"];
  item.className = kind;
  item.querySelector(".mark").textContent = mark;
  item.querySelector(".state").textContent = state;
}

/** `build_section_with_web_research` as people write it. */
function sentence(node) {
  const words = node.replaceAll("_", " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** What a custom event says, if it says it in words. */
function inWords(data) {
  const about = data?.name ?? data?.location ?? data?.query;
  const known = {
    "run.mode": () => `Mode ${data.mode}: ${data.reason}`,
    "source.collection": () => `Read ${data.chosen} of ${data.considered} documents of ${about}`,
    "source.found": () => `${data.hits} hits for ${about}`,
    "source.fetched": () => `Read ${about}`,
    "source.skipped": () => `Left out ${about}: ${data.reason}`,
    "section.done": () => `Wrote ${about}`,
  };
  const words = typeof data === "string" ? data : known[data?.type]?.() ?? data?.message;
  return typeof words === "string" ? words.slice(0, CUSTOM_CHARS_MAX) : "";
}

function complain(words, reference) {
  problem.replaceChildren(element("p", words));
  if (reference) problem.append(element("small", `Reference in the server's log: ${reference}`));
  problem.hidden = false;
}

// ---- taking the post away ----

$("copy").hidden = !navigator.clipboard;
$("copy").addEventListener("click", async ({ target }) => {
  try {
    await navigator.clipboard.writeText(markdown);
    target.textContent = "Copied";
  } catch {
    target.textContent = "The browser did not allow it";
  }
  setTimeout(() => { target.textContent = "Copy Markdown"; }, 2000);
});

$("save").addEventListener("click", () => {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([markdown], { type: "text/markdown" }));
  link.download = "post.md";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
});

// ---- Markdown, as far as posts use it ----

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

const FENCE = /^ {0,3}(```+|~~~+)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)(?:\s+#+)?\s*$/;
const RULE = /^ {0,3}(?:(?:\*\s*){3,}|(?:-\s*){3,}|(?:_\s*){3,})$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])\s+/;
const NOTE = /^\[\^([^\]]+)\]:\s*(.*)$/;
const TABLE_RULE = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;
const DEPTH_MAX = 8;

/** The whole post: its blocks, then its notes. What a site generator reads at its head is left out. */
function render(text) {
  const notes = [];
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  const end = lines[0] === "---" ? lines.indexOf("---", 1) : -1;
  const made = blocks(lines.slice(end + 1), notes, 0);
  if (notes.length > 0) {
    const section = element("section", undefined, "notes");
    const items = element("ol");
    for (const [label, words] of notes) {
      const item = element("li");
      item.id = noteId(label);
      item.tabIndex = -1;
      const body = element("span");
      body.append(...inline(words, 0));
      item.append(element("span", label), body);
      items.append(item);
    }
    section.append(element("h2", "Sources and notes"), items);
    made.push(section);
  }
  return made;
}

function blocks(lines, notes, depth) {
  const made = [];
  let at = 0;
  const until = (stops) => {
    const taken = [];
    while (at < lines.length && !stops(lines[at])) taken.push(lines[at++]);
    return taken;
  };
  const special = (line) => line.trim() === "" || FENCE.test(line) || HEADING.test(line)
    || RULE.test(line) || QUOTE.test(line) || NOTE.test(line);
  while (at < lines.length) {
    const line = lines[at];
    let found;
    if (line.trim() === "") {
      at += 1;
    } else if ((found = FENCE.exec(line))) {
      at += 1;
      const code = until((next) => next.trim().startsWith(found[1]));
      at += 1;
      const pre = element("pre");
      pre.tabIndex = 0;
      pre.append(element("code", code.join("\n")));
      made.push(pre);
    } else if ((found = HEADING.exec(line))) {
      at += 1;
      const heading = element(`h${found[1].length}`);
      heading.append(...inline(found[2], 0));
      made.push(heading);
    } else if (RULE.test(line)) {
      at += 1;
      made.push(element("hr"));
    } else if ((found = NOTE.exec(line))) {
      at += 1;
      const more = until((next) => !/^ {2,}\S/.test(next)).map((next) => next.trim());
      notes.push([found[1], [found[2], ...more].join(" ")]);
    } else if (QUOTE.test(line) && depth < DEPTH_MAX) {
      const inner = until((next) => !QUOTE.test(next)).map((next) => next.replace(QUOTE, ""));
      const quote = element("blockquote");
      quote.append(...blocks(inner, notes, depth + 1));
      made.push(quote);
    } else if (ITEM.test(line) && depth < DEPTH_MAX) {
      made.push(listOf(until((next) => next.trim() !== "" && !ITEM.test(next)
        && !/^\s{2,}/.test(next) && (special(next) || lines[at - 1].trim() === "")), notes, depth));
    } else if (line.includes("|") && TABLE_RULE.test(lines[at + 1] ?? "")
      && lines[at + 1].includes("-")) {
      made.push(tableOf(until((next) => !next.includes("|"))));
    } else {
      at += 1;
      const rest = until((next) => special(next) || ITEM.test(next));
      const paragraph = element("p");
      paragraph.append(...inline([line, ...rest].map((one) => one.trim()).join("\n"), 0));
      made.push(paragraph);
    }
  }
  return made;
}

function listOf(lines, notes, depth) {
  const ordered = /^\s*\d/.test(lines[0]);
  const made = element(ordered ? "ol" : "ul");
  if (ordered) made.start = Number.parseInt(lines[0], 10);
  const base = ITEM.exec(lines[0])[1].length;
  let item = [], width = 0;
  const push = () => {
    if (item.length === 0) return;
    const entry = element("li");
    const inner = blocks(item, notes, depth + 1);
    // A list of one-liners is set tight.
    const only = inner.length === 1 && inner[0].tagName === "P";
    entry.append(...(only ? inner[0].childNodes : inner));
    made.append(entry);
  };
  for (const line of lines) {
    const found = ITEM.exec(line);
    if (found && found[1].length < base + 2) {
      push();
      width = found[0].length;
      item = [line.slice(width)];
    } else {
      // What belongs to an item stands below its text.
      item.push(line.slice(Math.min(width, line.search(/\S|$/))));
    }
  }
  push();
  return made;
}

function tableOf(lines) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/)
    .map((cell) => cell.trim().replaceAll("\\|", "|"));
  const rowOf = (line, kind) => {
    const row = element("tr");
    for (const text of cells(line)) {
      const cell = element(kind);
      cell.append(...inline(text, 0));
      row.append(cell);
    }
    return row;
  };
  const head = element("thead"), body = element("tbody"), table = element("table");
  head.append(rowOf(lines[0], "th"));
  body.append(...lines.slice(2).map((line) => rowOf(line, "td")));
  table.append(head, body);
  const frame = element("div", undefined, "table");
  frame.tabIndex = 0;
  frame.append(table);
  return frame;
}

const INLINE = new RegExp([
  /\\([\\`*_{}[\]()#+\-.!<>|~])/, // 1: escaped
  /(`+)(.+?)\2(?!`)/, // 2, 3: code
  /\[\^([^\]\s]+)\]/, // 4: note
  /!?\[((?:[^\][\\]|\\.)*)\]\(<?([^\s)>]+)>?(?:\s+"[^"]*")?\)/, // 5, 6: link or picture
  /<((?:https?:\/\/|mailto:)[^\s<>]+)>/, // 7: bare address
  /\*\*(?=\S)(.+?)(?<=\S)\*\*/, // 8: strong
  /(?<![\p{L}\p{N}])__(?=\S)(.+?)(?<=\S)__(?![\p{L}\p{N}])/, // 9: strong
  /\*(?=[^\s*])(.+?)(?<=[^\s*])\*(?!\*)/, // 10: emphasis
  /(?<![\p{L}\p{N}_])_(?=[^\s_])(.+?)(?<=[^\s_])_(?![\p{L}\p{N}_])/, // 11: emphasis
].map((part) => part.source).join("|"), "gsu");

function inline(text, depth) {
  if (depth > DEPTH_MAX) return [document.createTextNode(text)];
  const made = [];
  let from = 0;
  for (const found of text.matchAll(INLINE)) {
    made.push(document.createTextNode(text.slice(from, found.index)));
    from = found.index + found[0].length;
    const [whole, escaped, , code, note, label, target, bare, strong1, strong2, soft1, soft2] = found;
    const strong = strong1 ?? strong2, soft = soft1 ?? soft2;
    if (escaped !== undefined) {
      made.push(document.createTextNode(escaped));
    } else if (code !== undefined) {
      made.push(element("code", code.trim()));
    } else if (note !== undefined) {
      made.push(noteMark(note));
    } else if (label !== undefined) {
      made.push(linkTo(target, inline(label, depth + 1), whole));
    } else if (bare !== undefined) {
      made.push(linkTo(bare, [document.createTextNode(bare)], whole));
    } else {
      const kind = element(strong !== undefined ? "strong" : "em");
      kind.append(...inline(strong ?? soft, depth + 1));
      made.push(kind);
    }
  }
  made.push(document.createTextNode(text.slice(from)));
  return made;
}

function noteId(label) {
  return `note-${label.replace(/[^\p{L}\p{N}-]/gu, "_")}`;
}

function noteMark(label) {
  const mark = element("sup"), link = element("a", label);
  link.href = `#${noteId(label)}`;
  link.setAttribute("aria-label", `Source ${label}`);
  mark.append(link);
  return mark;
}

/** A link to the web; anything else a post may point at stays the text it is. */
function linkTo(target, content, whole) {
  let address;
  try {
    address = new URL(target);
  } catch {
    return document.createTextNode(whole);
  }
  if (!["http:", "https:", "mailto:"].includes(address.protocol)) {
    return document.createTextNode(whole);
  }
  const link = element("a");
  link.href = address.href;
  link.rel = "noreferrer noopener";
  link.append(...content);
  return link;
}

learn();
