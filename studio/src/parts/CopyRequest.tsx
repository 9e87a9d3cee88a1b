import { Button } from "./Button";
import { useCopy } from "./CopyText";

interface Props {
  method?: string;
  path: string;
  body?: unknown;
  /** On a phone it is its icon alone. */
  short?: boolean;
}

/** Copies what was asked of the server here as a command for a terminal. */
export function CopyRequest({ method = "GET", path, body, short }: Props) {
  const [copied, copy] = useCopy();
  const quote = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
  const command = [
    `curl -s ${method === "GET" ? "" : `-X ${method} `}${quote(location.origin + path)}`,
    `-H "x-api-key: $TOKEN"`,
    ...(body === undefined ? [] : [`-H 'Content-Type: application/json'`, `-d ${quote(JSON.stringify(body))}`]),
  ].join(" \\\n  ");
  return (
    <Button kind="quiet" icon="copy" onClick={() => copy(command)} title={command}>
      <span role="status" className={short ? "hidden-on-phones" : undefined}>{copied ? "Copied" : "Copy as request"}</span>
    </Button>
  );
}
