// The API of this server: the stock client over a fetch that notes what it does. Paths that the
// stock client does not know go through `request`.

import { Client } from "@langchain/langgraph-sdk/client";
import { heard, signedOut } from "./connection";
import { credential } from "./session";
import { note } from "./wire";

/** An answer that is a refusal, as the server words it. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly code?: string,
    /** JSON pointer to what is to blame in the request. */
    readonly pointer?: string,
    readonly requestId?: string,
    /** Method and path that were refused. */
    readonly request?: string,
  ) {
    super(message);
    this.name = "Refused";
  }
}

async function observed(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const url = new URL(input instanceof Request ? input.url : input, location.href);
  const headers = new Headers(init?.headers);
  const key = credential();
  if (key) headers.set("x-api-key", key);
  const method = init?.method ?? "GET";
  const path = url.pathname + url.search;
  const body = typeof init?.body === "string" ? init.body : "";
  note({ direction: "out", kind: "request", path, name: method, bytes: body.length, summary: body });
  const began = performance.now();
  const response = await fetch(url, { ...init, headers });
  const took = performance.now() - began;
  const length = Number(response.headers.get("content-length"));
  note({
    direction: "in", kind: "request", path, name: method, status: response.status, took,
    bytes: Number.isFinite(length) && length > 0 ? length : undefined,
    summary: response.statusText,
  });
  heard();
  if (response.status === 401) signedOut();
  if (!response.ok) throw await refusal(response, `${method} ${path}`);
  return response;
}

/** The refusal in an answer. */
async function refusal(response: Response, request: string): Promise<Refused> {
  const text = await response.text().catch(() => "");
  try {
    const told = JSON.parse(text) as Record<string, unknown>;
    const detail = told.detail ?? (told.error as { message?: unknown } | undefined)?.message;
    return new Refused(
      response.status,
      typeof detail === "string" ? detail : JSON.stringify(detail ?? told),
      told.code as string | undefined,
      told.pointer as string | undefined,
      (told.request_id as string | undefined) ?? response.headers.get("x-request-id") ?? undefined,
      request,
    );
  } catch {
    const said = text.slice(0, 500) || `status ${response.status}`;
    const id = response.headers.get("x-request-id") ?? undefined;
    return new Refused(response.status, said, undefined, undefined, id, request);
  }
}

/** Asks once. `signal` ends it early. */
export async function request<T>(path: string, init?: RequestInit & { json?: unknown }): Promise<T> {
  const { json, ...rest } = init ?? {};
  const headers = new Headers(rest.headers);
  if (json !== undefined) headers.set("content-type", "application/json");
  const body = json === undefined ? rest.body : JSON.stringify(json);
  const response = await observed(path, {
    ...rest, body, headers, method: rest.method ?? (json === undefined ? "GET" : "POST"),
  });
  if (response.status === 204) return undefined as T;
  const type = response.headers.get("content-type") ?? "";
  return (type.includes("json") ? await response.json() : await response.text()) as T;
}

/** The total of a search, from its headers. */
export async function searched<T>(path: string, json: unknown, signal?: AbortSignal) {
  const response = await observed(path, {
    method: "POST", body: JSON.stringify(json), signal,
    headers: { "content-type": "application/json" },
  });
  const next = response.headers.get("x-pagination-next");
  return { rows: (await response.json()) as T[], next: next === null ? null : Number(next) };
}

export const client = new Client({
  apiUrl: location.origin,
  apiKey: null,
  // Tries are made where it is known whether they can do harm.
  callerOptions: { maxRetries: 0, fetch: observed },
});
