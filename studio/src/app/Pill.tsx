import { observed, type Observed } from "../data/driver";
import { connection, lastHeard, type Connection } from "../data/connection";
import { retryNow } from "../data/socket";
import { useWatched } from "../data/store";
import { span, useNow } from "../parts/time";
import styles from "./Pill.module.css";

/** How the Studio is connected: always a word, never only a colour. */
export function Pill() {
  const now = useWatched(connection);
  const heardAt = useWatched(lastHeard);
  const other = useWatched(observed);
  // Whose run one looks at matters only as long as one can do something about it.
  const looksOn = IS_LIVE.has(now.state) ? other : null;
  const asOf = heardAt === null ? "" : new Date(heardAt).toLocaleTimeString();
  return (
    <div className={styles.pill} data-state={looksOn ? "observing" : now.state}>
      <span className={styles.dot} aria-hidden="true" />
      <span role="status">
        {looksOn ? <Observing by={looksOn} /> : <Words now={now} />}
      </span>
      {looksOn && <button type="button" className={styles.action} onClick={looksOn.take} title="Steer the run from here">Take over</button>}
      {now.state === "reconnecting" && (
        <>
          {asOf && <span className={styles.soft}>as of {asOf}</span>}
          <button type="button" className={styles.action} onClick={retryNow}>Now</button>
        </>
      )}
      {now.state === "offline" && asOf && <span className={styles.soft}>as of {asOf}</span>}
      {now.state === "version" && (
        <button type="button" className={styles.action} onClick={() => location.reload()}>Reload</button>
      )}
      {now.state === "live" && !looksOn && now.ms !== null && (
        <span className={styles.ms} aria-label={`${now.ms} milliseconds`}>{now.ms} ms</span>
      )}
    </div>
  );
}

const IS_LIVE = new Set<Connection["state"]>(["live", "slow", "caught-up", "gap"]);

function Observing({ by: { who, problem } }: { by: Observed }) {
  if (problem !== null) return `Not taken over: ${problem}`;
  return <>Observing<span className="hidden-on-phones">; {who} drives</span></>;
}

function Words({ now }: { now: Connection }) {
  switch (now.state) {
    case "connecting": return "Connecting";
    case "live": return "Live";
    case "reconnecting": return <Reconnecting attempt={now.attempt} at={now.at} />;
    case "catching-up": return <CatchingUp done={now.done} of={now.of} />;
    case "caught-up": return `Caught up: ${now.events === 1 ? "1 event" : `${now.events.toLocaleString("en")} events`}, ${span(now.seconds * 1000)}`;
    case "slow": return "Slow view: text merged";
    case "gap": return "History trimmed; reloaded";
    case "offline": return "Offline";
    case "signed-out": return "Signed out";
    case "version": return "Server updated";
  }
}

function CatchingUp({ done, of }: { done: number; of: number }) {
  return <>Catching up{of > 0 && <span aria-hidden="true"> {done.toLocaleString("en")} / {of.toLocaleString("en")}</span>}</>;
}

function Reconnecting({ attempt, at }: { attempt: number; at: number }) {
  const seconds = Math.max(0, Math.ceil((at - useNow(1000)) / 1000));
  return (
    <>
      Reconnecting<span aria-hidden="true">, try {attempt} in {seconds} s</span>
    </>
  );
}
