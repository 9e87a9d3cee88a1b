import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useId, useMemo, useRef, useState, type KeyboardEvent } from "react";
import { useLocation } from "wouter";
import { assistantsQuery, threadsQuery } from "../data/queries";
import { titleOf } from "../data/titles";
import { Dialog } from "../parts/Dialog";
import { Icon, type IconName } from "../parts/icons";
import { screens } from "../screens";
import { Keys } from "./Help";
import { preferences } from "./preferences";
import { groups } from "./shortcuts";
import styles from "./Palette.module.css";

interface Choice {
  id: string;
  label: string;
  kind: string;
  icon: IconName;
  keys?: string;
  run: () => void;
}

/** Choices shown at most. */
const SHOWN_MAX = 40;

/** Goes to any screen, thread or assistant, and does what keys do, by its name. */
export function Palette({ onClose }: { onClose: () => void }) {
  const [, go] = useLocation();
  const [text, setText] = useState("");
  const [place, setPlace] = useState(0);
  const list = useRef<HTMLUListElement>(null);
  const id = useId();
  const { data: threads } = useInfiniteQuery(threadsQuery({}));
  const { data: assistants } = useQuery(assistantsQuery);

  const choices = useMemo<Choice[]>(() => [
    ...screens.map((screen) => ({
      id: screen.path, label: screen.label, kind: "Screen", icon: screen.icon, keys: `g ${screen.key}`,
      run: () => go(screen.path),
    })),
    ...(threads?.pages.flatMap((page) => page.rows) ?? []).map((row) => ({
      id: row.thread_id, label: titleOf(row), kind: "Thread", icon: "threads" as const,
      run: () => go(`/threads/${row.thread_id}`),
    })),
    ...(assistants ?? []).filter(() => screens.some((it) => it.path === "/graphs")).map((it) => ({
      id: it.assistant_id, label: it.name, kind: "Graph", icon: "graphs" as const,
      run: () => go(`/graphs/${encodeURIComponent(it.graph_id)}`),
    })),
    ...(["light", "dark", "system"] as const).map((theme) => ({
      id: `theme-${theme}`, label: `Theme: ${theme}`, kind: "Command", icon: "settings" as const,
      run: () => preferences.set({ theme }),
    })),
    // Going to screens is above already.
    ...groups.get().flatMap((group) => group.shortcuts)
      .filter((it) => !it.keys.startsWith("g ") && it.keys !== "Mod+k")
      .map((it) => ({
        id: it.keys, label: it.label, kind: "Command", icon: "chevron" as const, keys: it.keys, run: it.run,
      })),
  ], [threads, assistants, go]);

  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = choices
    .filter(({ label, kind, id }) => {
      const all = `${label} ${kind} ${id}`.toLowerCase();
      return words.every((word) => all.includes(word));
    })
    .slice(0, SHOWN_MAX);
  const at = Math.min(place, found.length - 1);

  const choose = (choice: Choice | undefined) => {
    if (!choice) return;
    onClose();
    choice.run();
  };
  const onKey = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      const next = (at + step + found.length) % Math.max(1, found.length);
      setPlace(next);
      list.current?.children[next]?.scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter") {
      event.preventDefault();
      choose(found[at]);
    }
  };
  return (
    <Dialog title="Go to anything" onClose={onClose} bare>
      <div className={styles.field}>
        <Icon name="search" />
        <input
          data-first value={text} placeholder="A screen, a thread, a graph, a command"
          role="combobox" aria-expanded="true" aria-controls={`${id}-list`} aria-label="Go to"
          aria-activedescendant={found[at] ? `${id}-${at}` : undefined} autoComplete="off" spellCheck={false}
          onChange={(event) => {
            setText(event.target.value);
            setPlace(0);
          }}
          onKeyDown={onKey}
        />
      </div>
      <ul ref={list} id={`${id}-list`} role="listbox" aria-label="Found" className={styles.list}>
        {found.map((choice, index) => (
          // The field keeps the focus and its keys choose; this is for the pointer.
          // eslint-disable-next-line jsx-a11y/click-events-have-key-events
          <li
            key={`${choice.kind}-${choice.id}`} id={`${id}-${index}`} role="option" aria-selected={index === at}
            className={styles.choice} onClick={() => choose(choice)} onMouseMove={() => setPlace(index)}
          >
            <Icon name={choice.icon} />
            <span className={styles.label}>{choice.label}</span>
            <span className={styles.kind}>{choice.kind}</span>
            {choice.keys && <span className={styles.keys}><Keys keys={choice.keys} /></span>}
          </li>
        ))}
      </ul>
      {found.length === 0 && <p className={styles.none}>Nothing is called “{text}”.</p>}
    </Dialog>
  );
}
