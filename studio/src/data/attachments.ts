// Files as parts of a message: pictures and documents as blocks of their own, texts as text.

/** Files of one message. */
export const FILES_MAX = 10;
/** Bytes of a text that is put into the message as it is. */
const TEXT_BYTES_MAX = 256 * 1024;
/** Bytes of a request that are left for everything but files. */
const REST_BYTES = 256 * 1024;

const PICTURE = /^image\/(png|jpeg|gif|webp)$/;
const TEXT = /^(text\/|application\/(json|xml|yaml|x-yaml|toml)$)/;
const TEXT_NAME = /\.(md|markdown|txt|csv|tsv|json|ya?ml|toml|xml|log|rs|py|ts|js|html?|css)$/i;

export interface Attachment {
  id: number;
  name: string;
  bytes: number;
  kind: "picture" | "text" | "file";
  block: Record<string, unknown>;
}

/** A file that cannot be sent, and why. */
export class Unfit extends Error {
  constructor(name: string, why: string) {
    super(`${name}: ${why}`);
    this.name = "Unfit";
  }
}

let last = 0;

/** Reads a file. `room` is how many bytes a request may still grow by. */
export async function attach(file: File, room: number): Promise<Attachment> {
  const base = { id: (last += 1), name: file.name || "pasted picture", bytes: file.size };
  const cost = Math.ceil(file.size / 3) * 4;
  if (cost > room) throw new Unfit(base.name, `${size(file.size)} are more than a request may hold`);
  if (PICTURE.test(file.type)) {
    return { ...base, kind: "picture", block: { type: "image", base64: await base64(file), mime_type: file.type } };
  }
  if ((TEXT.test(file.type) || TEXT_NAME.test(file.name)) && file.size <= TEXT_BYTES_MAX) {
    return { ...base, kind: "text", block: { type: "text", text: `${base.name}:\n\n${await file.text()}` } };
  }
  const type = file.type || "application/octet-stream";
  return { ...base, kind: "file", block: { type: "file", base64: await base64(file), mime_type: type, filename: base.name } };
}

/** How many bytes files may add to a request, with those that it has. */
export function roomFor(bodyMax: number | undefined, has: readonly Attachment[]): number {
  const taken = has.reduce((sum, it) => sum + Math.ceil(it.bytes / 3) * 4, 0);
  return (bodyMax ?? 0) - REST_BYTES - taken;
}

/** The content of a message: a text alone, or blocks. */
export function contentOf(text: string, attachments: readonly Attachment[]): unknown {
  if (attachments.length === 0) return text;
  return [...(text.trim() ? [{ type: "text", text }] : []), ...attachments.map((it) => it.block)];
}

/** `12 KB`. */
export function size(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`;
  return bytes < 1_000_000 ? `${Math.round(bytes / 1_000)} KB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}

function base64(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).split(",", 2)[1] ?? "");
    reader.onerror = () => reject(new Unfit(file.name, "it could not be read"));
    reader.readAsDataURL(file);
  });
}
