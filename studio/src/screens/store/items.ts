// Items of the store, and the tree of their namespaces.

import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { request } from "../../data/client";
import { queryClient } from "../../data/queries";

export interface Item {
  namespace: string[];
  key: string;
  value: Record<string, unknown>;
  created_at: string;
  updated_at: string;
  /** Minutes that it is remembered after it was written or read. */
  ttl?: number;
  score?: number | null;
}

const PAGE = 100;
/** Namespaces that one listing gives at most. */
const NAMESPACES = 1000;

export const namespacesQuery = queryOptions({
  queryKey: ["store", "namespaces"],
  queryFn: async ({ signal }) => {
    const all: string[][] = [];
    for (;;) {
      const { namespaces } = await request<{ namespaces: string[][] }>("/store/namespaces", { json: { limit: NAMESPACES, offset: all.length }, signal });
      all.push(...namespaces);
      if (namespaces.length < NAMESPACES || all.length >= 20 * NAMESPACES) return all;
    }
  },
});

export const itemsQuery = (namespace: string[], about: string) =>
  infiniteQueryOptions({
    queryKey: ["store", "items", namespace, about],
    initialPageParam: 0,
    queryFn: async ({ pageParam, signal }) => {
      // Looking at an item from here does not make it live longer.
      const body = { namespace_prefix: namespace, limit: PAGE, offset: pageParam, refresh_ttl: false, ...(about ? { query: about } : {}) };
      const { items } = await request<{ items: Item[] }>("/store/items/search", { json: body, signal });
      return { items, next: items.length === PAGE ? pageParam + PAGE : null };
    },
    getNextPageParam: (last) => last.next,
  });

/** An item; null where there is none. */
export const itemQuery = (namespace: string[], key: string) =>
  queryOptions({
    queryKey: ["store", "item", namespace, key],
    queryFn: ({ signal }) =>
      request<Item | null>(`/store/items?namespace=${encodeURIComponent(namespace.join("."))}&key=${encodeURIComponent(key)}&refresh_ttl=false`, { signal }),
  });

export async function putItem(item: Pick<Item, "namespace" | "key" | "value" | "ttl">) {
  const { namespace, key, value, ttl } = item;
  await request<void>("/store/items", { method: "PUT", json: { namespace, key, value, ...(ttl === undefined ? {} : { ttl }) } });
  await queryClient.invalidateQueries({ queryKey: ["store"] });
}

export async function deleteItem({ namespace, key }: Pick<Item, "namespace" | "key">) {
  await request<void>("/store/items", { method: "DELETE", json: { namespace, key } });
  await queryClient.invalidateQueries({ queryKey: ["store"] });
}

export interface Branch {
  label: string;
  path: string[];
  /** Whether it is a namespace itself, and not only a part of one. */
  whole: boolean;
  inside: Branch[];
}

export function treeOf(namespaces: string[][]): Branch[] {
  const root: Branch[] = [];
  for (const labels of namespaces) {
    let at = root;
    labels.forEach((label, depth) => {
      let branch = at.find((one) => one.label === label);
      if (!branch) {
        branch = { label, path: labels.slice(0, depth + 1), whole: false, inside: [] };
        at.push(branch);
      }
      if (depth === labels.length - 1) branch.whole = true;
      at = branch.inside;
    });
  }
  const sort = (all: Branch[]) => {
    all.sort((a, b) => a.label.localeCompare(b.label));
    for (const one of all) sort(one.inside);
  };
  sort(root);
  return root;
}
