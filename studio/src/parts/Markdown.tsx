// Markdown of models and sources: untrusted. Parsed without raw HTML into elements of our own, so
// that nothing in it becomes markup. Links show where they lead; pictures are not loaded.

import MarkdownIt from "markdown-it";
import { Fragment, memo, useMemo, type ReactNode } from "react";
import styles from "./Markdown.module.css";

const parser = new MarkdownIt("default", { html: false, linkify: false, typographer: false });
type Token = ReturnType<typeof parser.parse>[number];

/** Characters that are rendered; beyond them text is shown as it is. */
const RENDERED_MAX = 200_000;
/** Depth of lists and quotes that is rendered; deeper ones are shown flat. */
const DEPTH_MAX = 40;

interface Props {
  text: string;
  /** In place of a footnote's mark, by its label. */
  footnote?: (label: string, key: string) => ReactNode;
  serif?: boolean;
}

/** The text, rendered block by block: a finished block is not rendered again while text comes in. */
export const Markdown = memo(function Markdown({ text, footnote, serif }: Props) {
  const blocks = useMemo(() => split(text), [text]);
  return (
    <div className={serif ? `${styles.text} ${styles.serif}` : styles.text}>
      {blocks.map((block, place) => <Block key={place} text={block} footnote={footnote} />)}
    </div>
  );
});

/** Blocks that can be rendered by themselves: cut at empty lines outside of fences. */
function split(text: string): string[] {
  const blocks: string[] = [];
  let lines: string[] = [];
  let fence: string | null = null;
  for (const line of text.slice(0, RENDERED_MAX).split("\n")) {
    const mark = /^\s{0,3}(```+|~~~+)/.exec(line)?.[1];
    if (mark && !fence) fence = mark;
    else if (mark && fence && line.trim().startsWith(fence)) fence = null;
    // Lists and what is indented belong together across empty lines.
    const opens = line !== "" && !/^(\s|[-*+>|]|\d+[.)])/.test(line);
    if (!fence && opens && lines.length > 0 && lines.at(-1) === "") {
      blocks.push(lines.join("\n"));
      lines = [];
    }
    lines.push(line);
  }
  if (lines.length) blocks.push(lines.join("\n"));
  if (text.length > RENDERED_MAX) blocks.push(`\n\n*${text.length - RENDERED_MAX} more characters are not shown.*`);
  return blocks;
}

const Block = memo(function Block({ text, footnote }: { text: string; footnote?: Props["footnote"] }) {
  return <>{nodes(parser.parse(text, {}), footnote)}</>;
});

interface Open {
  tag: string;
  token: Token | null;
  children: ReactNode[];
}

/** Elements for tokens. Tokens come as openings and closings; a stack makes a tree of them. */
function nodes(tokens: Token[], footnote: Props["footnote"]): ReactNode {
  const root: Open = { tag: "", token: null, children: [] };
  const stack: Open[] = [root];
  const top = () => stack.at(-1) ?? root;
  const add = (node: ReactNode) => top().children.push(node);
  const key = () => top().children.length;
  for (const token of tokens) {
    if (token.hidden) continue;
    if (token.nesting === 1) {
      stack.push({ tag: token.tag, token, children: [] });
      continue;
    }
    if (token.nesting === -1) {
      const done = stack.length > 1 ? stack.pop() : undefined;
      if (done) add(element(done, key(), stack.length));
      continue;
    }
    switch (token.type) {
      case "inline": add(<Fragment key={key()}>{nodes(token.children ?? [], footnote)}</Fragment>); break;
      case "text": add(<Fragment key={key()}>{marked(token.content, footnote)}</Fragment>); break;
      case "code_inline": add(<code key={key()}>{token.content}</code>); break;
      case "fence":
      case "code_block": add(<pre key={key()} tabIndex={0} aria-label="Code"><code>{token.content}</code></pre>); break;
      case "hr": add(<hr key={key()} />); break;
      case "hardbreak": add(<br key={key()} />); break;
      case "softbreak": add("\n"); break;
      case "image": add(<Picture key={key()} src={attribute(token, "src")} text={token.content} />); break;
      default: add(token.content);
    }
  }
  while (stack.length > 1) {
    const open = stack.pop();
    if (open) add(element(open, key(), stack.length));
  }
  return root.children;
}

const TAGS = new Set(["p", "ul", "ol", "li", "blockquote", "em", "strong", "s", "table", "thead", "tbody", "tr", "th", "td"]);

function element({ tag, token, children }: Open, key: number, depth: number): ReactNode {
  if (tag === "a" && token) return <Anchor key={key} href={attribute(token, "href")}>{children}</Anchor>;
  // The page has one heading of its own; those of a text come below it.
  const level = /^h([1-6])$/.exec(tag)?.[1];
  if (level) {
    const Heading = `h${Math.min(6, Number(level) + 1)}` as "h2";
    return <Heading key={key} data-level={level}>{children}</Heading>;
  }
  if (tag === "table") return <div key={key} className={styles.table} role="group" tabIndex={0} aria-label="Table"><table>{children}</table></div>;
  if (!TAGS.has(tag) || depth > DEPTH_MAX) return <Fragment key={key}>{children}</Fragment>;
  const Tag = tag as "p";
  return <Tag key={key}>{children}</Tag>;
}

function attribute(token: Token, name: string): string {
  const value = token.attrGet(name);
  return typeof value === "string" ? value : "";
}

/** Text with the marks of footnotes in it: `[^3]`. */
function marked(text: string, footnote: Props["footnote"]): ReactNode {
  if (!footnote || !text.includes("[^")) return text;
  return text.split(/(\[\^[^\]\s]{1,40}\])/).map((part, place) => {
    const label = /^\[\^(.+)\]$/.exec(part)?.[1];
    return label ? footnote(label, String(place)) : part;
  });
}

/** The address, if it is one that may be followed. */
function safe(href: string): URL | null {
  try {
    const url = new URL(href);
    return url.protocol === "http:" || url.protocol === "https:" || url.protocol === "mailto:" ? url : null;
  } catch {
    return null;
  }
}

/** A link out: the host stands beside it, and the page there learns nothing of this one. */
function Anchor({ href, children }: { href: string; children: ReactNode }) {
  const url = safe(href);
  if (!url) return <span title={href}>{children}</span>;
  return (
    <a href={url.href} target="_blank" rel="noopener noreferrer nofollow">
      {children}
      <span className={styles.host}>{url.host || url.protocol}</span>
    </a>
  );
}

/** A picture from elsewhere: named, not loaded. */
function Picture({ src, text }: { src: string; text: string }) {
  const url = safe(src);
  return (
    <span className={styles.picture}>
      Picture{text && `: ${text}`}
      {url && <> (<a href={url.href} target="_blank" rel="noopener noreferrer nofollow">open at {url.host}</a>)</>}
    </span>
  );
}
