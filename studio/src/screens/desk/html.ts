// A post as one HTML page: its style inside, nothing loaded from anywhere, no code. Pure.

import MarkdownIt from "markdown-it";
import { eachMark, withoutList } from "../../data/marks";
import { frontMatter, type Source } from "../../parts/Post";

const STYLE = `:root{color-scheme:light dark}body{max-width:42rem;margin:3rem auto;padding:0 1.25rem;font:1.0625rem/1.65 Georgia,"Times New Roman",serif;color:light-dark(#1c1b19,#e8e6e1);background:light-dark(#fdfdfb,#171715)}h1,h2,h3{font-family:system-ui,sans-serif;line-height:1.25;margin:2em 0 .5em}h1{font-size:1.9rem;margin-top:0}blockquote{margin:1em 0;padding-left:1em;border-left:3px solid light-dark(#9a958c,#77736b)}pre{overflow:auto;padding:1em;background:light-dark(#f1f0ec,#22211e);font-size:.875rem}code{font-family:ui-monospace,monospace;font-size:.9em}table{border-collapse:collapse}td,th{padding:.35em .7em;border:1px solid light-dark(#d4d0c7,#44423d);text-align:left}sup{line-height:0}a{color:light-dark(#174ea6,#9cc0ff)}.sources{font-size:.9375rem}`;

/** Around a mark while the text is parsed: no text keeps these characters. */
const OPEN = "\u{e000}";
const CLOSE = "\u{e001}";

const parser = new MarkdownIt("default", { html: false, linkify: false, typographer: false });
// A picture from elsewhere would tell its host who reads: it becomes a link.
parser.renderer.rules.image = (tokens, at) => {
  const token = tokens[at];
  const address = String(token?.attrGet("src") ?? "");
  const text = escaped(token?.content || address);
  return /^https?:/.test(address) ? `<a href="${escaped(address)}" rel="noopener noreferrer nofollow">${text}</a>` : text;
};

const escaped = (text: string) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

export interface Article {
  markdown: string;
  title: string;
  language: string;
  sources: Source[];
  generation: string;
}

export function htmlOf({ markdown, title, language, sources, generation }: Article): string {
  const { body } = frontMatter(markdown.replaceAll(/[\u{e000}\u{e001}]/gu, ""));
  const list = [...body.matchAll(/^\[\^([^\]]+)\]:\s*(.*)$/gm)].map(([, label = "", text = ""]) => ({ label, text }));
  const known = new Set(list.map((one) => one.label));
  const marked = eachMark(withoutList(body), (label) => (known.has(label) ? `${OPEN}${label}${CLOSE}` : `[^${label}]`));
  const used = new Set<string>();
  const text = parser.render(marked).replaceAll(new RegExp(`${OPEN}([^${CLOSE}]*)${CLOSE}`, "gu"), (_, label: string) => {
    const id = used.has(label) ? "" : ` id="mark-${escaped(label)}"`;
    used.add(label);
    return `<sup${id}><a href="#source-${escaped(label)}">${escaped(label)}</a></sup>`;
  });
  const ends = list.map(({ label, text: said }) =>
    `<li id="source-${escaped(label)}" value="${escaped(label)}">${parser.renderInline(said)} <a href="#mark-${escaped(label)}" aria-label="Back to the text">↩</a></li>`);
  const cited = sources.filter((source) => list.some((one) => one.text.includes(source.location)));
  const data = {
    "@context": "https://schema.org", "@type": "Article", headline: title, inLanguage: language,
    creativeWorkStatus: generation === "extractive" ? "Extracts: every quoted sentence is copied from a source" : "Written by a model from cited sources",
    citation: cited.map((source) => ({ "@type": "CreativeWork", name: source.title ?? source.location, ...(/^https?:/.test(source.location) ? { url: source.location } : {}) })),
  };
  // Data for machines; nothing in it can end its element.
  const json = JSON.stringify(data).replaceAll("<", "\\u003c");
  return `<!doctype html>
<html lang="${escaped(language)}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escaped(title)}</title>
<style>${STYLE}</style>
<script type="application/ld+json">${json}</script>
</head>
<body>
<main>
${text.trim()}
${ends.length ? `<section class="sources">\n<h2>Sources</h2>\n<ol>\n${ends.join("\n")}\n</ol>\n</section>\n` : ""}</main>
</body>
</html>
`;
}
