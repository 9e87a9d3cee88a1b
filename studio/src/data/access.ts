// Who asks, who may ask, and the models of the server.

import { queryOptions, useQuery } from "@tanstack/react-query";
import { usePreferences } from "../app/preferences";
import { request } from "./client";
import { queryClient } from "./queries";

export interface Me {
  identity: string | null;
  display_name: string | null;
  scopes: string[];
  admin: boolean;
}

export const meQuery = queryOptions({
  queryKey: ["me"], staleTime: 60_000,
  queryFn: ({ signal }) => request<Me>("/me", { signal }),
});

/** How this person is called: as the server knows them, else as they say in the settings. */
export function useOwnName(): string {
  const { data } = useQuery(meQuery);
  const { name } = usePreferences();
  return data?.display_name ?? name.trim();
}

export interface Key {
  id: string;
  state: "good" | "expired" | "revoked";
  identity: string;
  display_name: string;
  scopes: string[];
  admin: boolean;
  created_at: string;
  expires_at: string | null;
  revoked_at: string | null;
}

export const keysQuery = queryOptions({
  queryKey: ["keys"],
  queryFn: ({ signal }) => request<Key[]>("/keys", { signal }),
});

const keysChanged = () => queryClient.invalidateQueries({ queryKey: ["keys"] });

/** Makes a key; its secret is told this once. */
export async function createKey(wish: Record<string, unknown>): Promise<{ secret: string; key: Key }> {
  const made = await request<{ secret: string; key: Key }>("/keys", { json: wish });
  void keysChanged();
  return made;
}

export async function revokeKey(id: string) {
  await request<void>(`/keys/${encodeURIComponent(id)}`, { method: "DELETE" });
  await keysChanged();
}

export interface Model {
  role: string;
  name: string;
  host: string;
  max_tokens: number | null;
  temperature: number | null;
  has_key: boolean;
}

export const modelsQuery = queryOptions({
  queryKey: ["models"],
  queryFn: ({ signal }) => request<Model[]>("/models", { signal }),
});

export interface Tried {
  ok: boolean;
  took_ms: number;
  problem: string | null;
}

export const tryModel = (role: string) => request<Tried>(`/models/${encodeURIComponent(role)}/test`, { method: "POST" });
