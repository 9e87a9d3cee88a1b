// One item: its value as a form or JSON, how long it is kept, and the way out.

import { useMemo, useState } from "react";
import { Form, isObject, useBegun, useForm, type Schema } from "../../forms";
import { Button } from "../../parts/Button";
import { CopyRequest } from "../../parts/CopyRequest";
import { JsonTree } from "../../parts/JsonTree";
import { Failed } from "../../parts/notices";
import { Tabs } from "../../parts/Tabs";
import { Ago } from "../../parts/time";
import { useSure } from "../../parts/useSure";
import { deleteItem, putItem, type Item } from "./items";
import { minutes } from "./Store";
import styles from "./Store.module.css";

const TTL = { type: "number", title: "Forget after minutes", exclusiveMinimum: 0, maximum: 525_600_000, description: "Counted from each writing and reading. Kept for ever without." };
const VALUE = { type: "object", title: "Value", description: "A JSON object." };

const EDITED: Schema = { type: "object", required: ["value"], properties: { value: VALUE, ttl: TTL } };
const MADE: Schema = {
  type: "object", required: ["namespace", "key", "value"],
  properties: {
    namespace: {
      type: "array", title: "Namespace", minItems: 1, maxItems: 20, description: "From the outermost label inwards.",
      items: { type: "string", title: "Label", minLength: 1, pattern: "^[^.]+$" },
    },
    key: { type: "string", title: "Key", minLength: 1, maxLength: 1000, "x-widget": "line" },
    value: VALUE, ttl: TTL,
  },
};

export const begunName = (item: Pick<Item, "namespace" | "key">) => `item ${JSON.stringify([item.namespace, item.key])}`;

export function ItemPanel({ item, onGone }: { item: Item; onGone: () => void }) {
  const initial = useMemo(() => ({ value: item.value, ...(item.ttl === undefined ? {} : { ttl: item.ttl }) }), [item]);
  const { form, changed, moved, discard, done } = useBegun(begunName(item), item.updated_at, EDITED, initial);
  // What was begun is what one came back for.
  const [part, setPart] = useState<"see" | "edit">(changed ? "edit" : "see");
  const [sending, setSending] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const doing = async (work: () => Promise<void>) => {
    setSending(true);
    setProblem(null);
    try {
      await work();
    } catch (error) {
      if (!form.refuse(error)) setProblem(error);
    } finally {
      setSending(false);
    }
  };
  const save = () => {
    const checked = form.check();
    if (!checked.ok) return;
    const { value, ttl } = checked.value as { value: Record<string, unknown>; ttl?: number };
    void doing(async () => {
      await putItem({ namespace: item.namespace, key: item.key, value, ttl });
      done();
    });
  };
  const [sure, remove] = useSure(() => void doing(async () => {
    await deleteItem(item);
    onGone();
  }));
  return (
    <article className={styles.panel} aria-label={item.key}>
      <header>
        <h2>{item.key}</h2>
        <p className={styles.where}>{item.namespace.join(" › ")}</p>
        <p className={styles.times}>
          <span>written <Ago at={item.updated_at} /></span>
          <span>first <Ago at={item.created_at} /></span>
          <span>{item.ttl === undefined ? "kept for ever" : `forgotten ${minutes(item.ttl)} after it was written or read`}</span>
        </p>
      </header>
      <Tabs label="Views of the item" tabs={[{ id: "see", label: "Value" }, { id: "edit", label: "Edit" }]} chosen={part} onChoose={setPart}>
        <div className={styles.value}>
          {part === "see" ? <JsonTree value={item.value} open /> : (
            <>
              {moved && <p className={styles.hint} role="status"><b>It was written meanwhile.</b> Saving puts what you began in the place of what is there now.</p>}
              <Form form={form} plain label={`Item ${item.key}`} />
              <div className={styles.buttons}>
                <Button kind="primary" busy={sending} refused={!changed && "nothing is changed"} onClick={save}>Save</Button>
                <Button refused={!changed && "nothing is changed"} onClick={discard}>Discard</Button>
                {changed && <span className={styles.hint}>Kept while this page is open.</span>}
              </div>
            </>
          )}
        </div>
      </Tabs>
      {problem !== null && <Failed what="The item was not changed" error={problem} />}
      <footer className={styles.buttons}>
        <Button kind="danger" busy={sending} onClick={remove}>{sure ? "Press again to delete it" : "Delete"}</Button>
        <span className="visually-hidden" role="status">{sure ? "Press again to be sure" : ""}</span>
        <CopyRequest path={`/store/items?namespace=${encodeURIComponent(item.namespace.join("."))}&key=${encodeURIComponent(item.key)}`} />
      </footer>
    </article>
  );
}

interface NewProps {
  namespace: string[];
  onMade: (item: { namespace: string[]; key: string }) => void;
  onCancel: () => void;
}

export function NewItem({ namespace, onMade, onCancel }: NewProps) {
  const form = useForm(MADE, { namespace: namespace.length ? namespace : [""], value: {} });
  const [sending, setSending] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const make = async () => {
    const checked = form.check();
    if (!checked.ok || sending || !isObject(checked.value)) return;
    setSending(true);
    setProblem(null);
    try {
      const item = checked.value as unknown as Item;
      await putItem(item);
      onMade(item);
    } catch (error) {
      if (!form.refuse(error)) setProblem(error);
      setSending(false);
    }
  };
  return (
    <section className={styles.panel} aria-labelledby="new-item">
      <h2 id="new-item">New item</h2>
      <p className={styles.hint}>An item that is there under this key already is replaced.</p>
      <Form form={form} plain label="New item" />
      <div className={styles.buttons}>
        <Button kind="primary" icon="plus" busy={sending} onClick={() => void make()}>Write it</Button>
        <Button onClick={onCancel}>Cancel</Button>
      </div>
      {problem !== null && <Failed what="The item was not written" error={problem} safe="What you wrote is still here." />}
    </section>
  );
}
