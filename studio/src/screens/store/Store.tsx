// The store: what graphs remember across threads, by namespace and key.

import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";
import { useSearchParams } from "wouter";
import { useShortcuts } from "../../app/shortcuts";
import { Button } from "../../parts/Button";
import { CopyRequest } from "../../parts/CopyRequest";
import { Empty, Failed, Loading } from "../../parts/notices";
import { leaveField } from "../../parts/leaveField";
import { Page } from "../../parts/Page";
import { Ago } from "../../parts/time";
import { useIsBegun } from "../../forms";
import { ItemPanel, NewItem, begunName } from "./ItemPanel";
import { itemQuery, itemsQuery, namespacesQuery, treeOf, type Branch, type Item } from "./items";
import styles from "./Store.module.css";

const EXAMPLE = `client.store.put_item(
    ["users", "ana"], "profile",
    {"name": "Ana", "likes": ["trains"]},
)`;

export default function Store() {
  const [query, setQuery] = useSearchParams();
  const namespaces = useQuery(namespacesQuery);
  const namespace = useMemo(() => query.get("ns")?.split(".").filter(Boolean) ?? [], [query]);
  const key = query.get("key");
  const isNew = query.get("new") !== null;
  const go = (to: { ns?: string[]; key?: string; new?: true }) =>
    setQuery({ ...(to.ns?.length ? { ns: to.ns.join(".") } : {}), ...(to.key === undefined ? {} : { key: to.key }), ...(to.new ? { new: "1" } : {}) });
  const add = () => go({ ns: namespace, new: true });
  useShortcuts("Store", [
    { keys: "n", label: "New item", run: add },
    ...(key !== null || isNew ? [{ keys: "Escape", label: "Back to the list", run: () => leaveField() || go({ ns: namespace }) }] : []),
  ]);
  const tree = useMemo(() => treeOf(namespaces.data ?? []), [namespaces.data]);
  const button = <Button kind="primary" icon="plus" onClick={add}>New item</Button>;
  if (namespaces.error && !namespaces.data) {
    return <Page title="Store"><Failed what="The namespaces could not be read" error={namespaces.error} onRetry={() => void namespaces.refetch()} /></Page>;
  }
  if (!namespaces.data) return <Page title="Store"><Loading what="the store" /></Page>;
  if (namespaces.data.length === 0 && !isNew) {
    return (
      <Page title="Store">
        <Empty
          title="Nothing is remembered yet."
          action={<><pre className={styles.example} tabIndex={0} aria-label="Example">{EXAMPLE}</pre>{button}</>}
        >
          Graphs and clients write items here, for all threads. In Python:
        </Empty>
      </Page>
    );
  }
  return (
    <Page
      title="Store" fills actions={button}
      note={<span>{namespaces.data.length} {namespaces.data.length === 1 ? "namespace" : "namespaces"}</span>}
    >
      <div className={styles.panes} data-open={key !== null || isNew}>
        <nav className={styles.side} aria-label="Namespaces">
          <ul>
            <li><Label path={[]} label="All namespaces" chosen={namespace} onChoose={(ns) => go({ ns })} /></li>
            {tree.map((branch) => <Twig key={branch.label} branch={branch} chosen={namespace} onChoose={(ns) => go({ ns })} />)}
          </ul>
        </nav>
        <Items namespace={namespace} chosen={key} onChoose={(item) => go({ ns: item.namespace, key: item.key })} />
        <div className={styles.detail}>
          <Button kind="quiet" className={styles.back} onClick={() => go({ ns: namespace })}>‹ All items</Button>
          {isNew ? <NewItem namespace={namespace} onMade={(item) => go({ ns: item.namespace, key: item.key })} onCancel={() => go({ ns: namespace })} />
            : key !== null ? <Chosen namespace={namespace} itemKey={key} onGone={() => go({ ns: namespace })} />
            : <Empty title="Choose an item to see and change it." />}
        </div>
      </div>
    </Page>
  );
}

interface LabelProps {
  path: string[];
  label: string;
  chosen: string[];
  onChoose: (path: string[]) => void;
}

function Label({ path, label, chosen, onChoose }: LabelProps) {
  const here = path.join(".") === chosen.join(".");
  return <button type="button" className={styles.label} aria-current={here ? "true" : undefined} onClick={() => onChoose(path)}>{label}</button>;
}

function Twig({ branch, chosen, onChoose }: { branch: Branch; chosen: string[]; onChoose: (path: string[]) => void }) {
  const leads = branch.path.every((label, at) => chosen[at] === label);
  const [open, setOpen] = useState(leads);
  useEffect(() => {
    if (leads) setOpen(true);
  }, [leads]);
  const more = branch.inside.length > 0;
  return (
    <li>
      <span className={styles.twig}>
        {more ? (
          <button type="button" className={styles.toggle} aria-expanded={open} aria-label={`${open ? "Close" : "Open"} ${branch.label}`} onClick={() => setOpen(!open)}>
            <span aria-hidden="true">{open ? "▾" : "▸"}</span>
          </button>
        ) : <span className={styles.toggle} aria-hidden="true" />}
        <Label path={branch.path} label={branch.label} chosen={chosen} onChoose={onChoose} />
      </span>
      {more && open && <ul>{branch.inside.map((one) => <Twig key={one.label} branch={one} chosen={chosen} onChoose={onChoose} />)}</ul>}
    </li>
  );
}

function Items({ namespace, chosen, onChoose }: { namespace: string[]; chosen: string | null; onChoose: (item: Item) => void }) {
  const [words, setWords] = useState("");
  const [about, setAbout] = useState("");
  const field = useRef<HTMLInputElement>(null);
  const [meaning, setMeaning] = useState(false);
  const { data, error, isPending, hasNextPage, isFetchingNextPage, fetchNextPage, refetch } = useInfiniteQuery(itemsQuery(namespace, meaning ? about : ""));
  const all = useMemo(() => data?.pages.flatMap((page) => page.items) ?? [], [data]);
  const shown = useMemo(() => (meaning ? all : matching(all, words)), [all, meaning, words]);
  const box = useRef<HTMLUListElement>(null);
  const move = (by: number) => {
    const rows = [...(box.current?.querySelectorAll<HTMLButtonElement>("button") ?? [])];
    const at = rows.indexOf(document.activeElement as HTMLButtonElement);
    rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by))]?.focus();
  };
  useShortcuts("Items", [
    { keys: "j", label: "Next item", run: () => move(1) },
    { keys: "k", label: "Previous item", run: () => move(-1) },
    { keys: "/", label: "Search the items", run: () => field.current?.focus() },
  ]);
  // An order by meaning needs an index over the values.
  const unscored = meaning && about !== "" && all.length > 0 && all.every((item) => item.score === null || item.score === undefined);
  return (
    <section className={styles.items} aria-label="Items">
      <div className={styles.filters} role="search">
        <input
          ref={field} type="search" value={words} placeholder={meaning ? "What it should be about" : "Filter by words"} aria-label={meaning ? "What it should be about" : "Filter by words"}
          onChange={(event) => setWords(event.target.value)} onBlur={() => setAbout(words.trim())}
          onKeyDown={(event) => event.key === "Enter" && setAbout(words.trim())}
        />
        <select aria-label="How to search" value={meaning ? "meaning" : "words"} onChange={(event) => { setMeaning(event.target.value === "meaning"); setAbout(words.trim()); }}>
          <option value="words">by words</option>
          <option value="meaning">by meaning</option>
        </select>
      </div>
      {error && <Failed what="The items could not be read" error={error} onRetry={() => void refetch()} />}
      {isPending && <Loading what="items" />}
      {unscored && <p className={styles.hint} role="status">This store has no index for meaning, so the newest items come first.</p>}
      {data && shown.length === 0 && (
        <Empty title={words ? "No item matches." : "No item is here."} action={words ? <Button onClick={() => { setWords(""); setAbout(""); }}>Clear the search</Button> : undefined}>
          {words && `“${words}” in ${namespace.length ? namespace.join(" › ") : "all namespaces"}`}
        </Empty>
      )}
      <ul ref={box} className={styles.list}>
        {shown.map((item) => (
          <li key={`${item.namespace.join(".")}/${item.key}`}>
            <button type="button" className={styles.item} aria-current={item.key === chosen && item.namespace.join(".") === namespace.join(".") ? "true" : undefined} onClick={() => onChoose(item)}>
              <span className={styles.key}>{item.key}</span>
              <span className={styles.where}>{item.namespace.join(" › ")}</span>
              <span className={styles.preview}>{preview(item.value)}</span>
              <span className={styles.facts}>
                {typeof item.score === "number" && <span>{item.score.toFixed(2)} close</span>}
                {item.ttl !== undefined && <span>kept {minutes(item.ttl)}</span>}
                <Unsaved item={item} />
                <Ago at={item.updated_at} />
              </span>
            </button>
          </li>
        ))}
      </ul>
      {hasNextPage && <Button busy={isFetchingNextPage} onClick={() => void fetchNextPage()}>Show more</Button>}
      <footer className={styles.foot}><CopyRequest method="POST" path="/store/items/search" body={{ namespace_prefix: namespace, limit: 100 }} /></footer>
    </section>
  );
}

function Unsaved({ item }: { item: Item }) {
  return useIsBegun(begunName(item)) ? <span>not saved</span> : null;
}

function Chosen({ namespace, itemKey, onGone }: { namespace: string[]; itemKey: string; onGone: () => void }) {
  const { data: item, error, refetch } = useQuery(itemQuery(namespace, itemKey));
  if (error) return <Failed what="The item could not be read" error={error} onRetry={() => void refetch()} />;
  if (item === undefined) return <Loading what="the item" />;
  if (item === null) return <Empty title="This item is gone." action={<Button onClick={onGone}>See what is there</Button>}>It was deleted, or its time was up.</Empty>;
  return <ItemPanel key={`${namespace.join(".")}/${itemKey}/${item.updated_at}`} item={item} onGone={onGone} />;
}

function matching(items: Item[], words: string): Item[] {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  if (wanted.length === 0) return items;
  return items.filter((item) => {
    const all = `${item.key} ${item.namespace.join(" ")} ${JSON.stringify(item.value)}`.toLowerCase();
    return wanted.every((word) => all.includes(word));
  });
}

/** Characters of a value that a row shows. */
const PREVIEW_CHARS = 160;

function preview(value: Record<string, unknown>): string {
  return Object.entries(value).map(([key, own]) => `${key}: ${typeof own === "string" ? own : JSON.stringify(own)}`.slice(0, PREVIEW_CHARS)).join(" · ").slice(0, PREVIEW_CHARS);
}

/** A span in minutes, in words. */
export function minutes(count: number): string {
  const units: [number, string][] = [[1440, "day"], [60, "hour"], [1, "minute"]];
  const [size, word] = units.find(([size]) => count >= size && Number.isInteger(count / size)) ?? [1, "minute"];
  const many = count / size;
  return `${many.toLocaleString("en", { maximumFractionDigits: 2 })} ${word}${many === 1 ? "" : "s"}`;
}
