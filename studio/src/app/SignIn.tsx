import { useId, useState } from "react";
import { signedIn } from "../data/connection";
import { Refused, request } from "../data/client";
import { queryClient } from "../data/queries";
import { keep } from "../data/session";
import { reconnect } from "../data/socket";
import { Button } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import styles from "./SignIn.module.css";

/** Asks for a key when the server wants to know who asks. What is behind it stays as it is. */
export function SignIn() {
  const [key, setKey] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const field = useId();
  const submit = async () => {
    keep(key.trim());
    try {
      await request("/threads/count", { json: {} });
      signedIn();
      reconnect();
      await queryClient.invalidateQueries();
    } catch (error) {
      keep(null);
      if (!(error instanceof Refused)) setProblem("The server did not answer.");
      else setProblem(error.status === 401 ? "The server does not know this key." : error.message);
    }
  };
  return (
    <Dialog title="Sign in" actions={<Button kind="primary" onClick={() => void submit()}>Sign in</Button>}>
      <form
        className={styles.form}
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <p>This server asks who you are. Its operator makes a key with <code>genesis-mesh keys create</code>.</p>
        <label htmlFor={field}>Key or token</label>
        <input
          id={field} data-first type="password" autoComplete="current-password" value={key} required
          aria-invalid={problem !== null} aria-describedby={problem ? `${field}-problem` : undefined}
          onChange={(event) => setKey(event.target.value)}
        />
        {problem && <p id={`${field}-problem`} className={styles.problem} role="alert">{problem}</p>}
        <p className={styles.soft}>It is kept until this tab is closed, and sent to this server only.</p>
      </form>
    </Dialog>
  );
}
