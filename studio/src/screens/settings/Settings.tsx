// Settings: what this browser is to do, who one is, and what the server says of itself.

import { useQuery } from "@tanstack/react-query";
import { useId, type ReactNode } from "react";
import { Keys } from "../../app/Help";
import { preferences, usePreferences } from "../../app/preferences";
import { groups } from "../../app/shortcuts";
import { meQuery } from "../../data/access";
import { signedOut } from "../../data/connection";
import { credential, keep } from "../../data/session";
import { infoQuery } from "../../data/queries";
import { reconnect } from "../../data/socket";
import { useWatched } from "../../data/store";
import { Button } from "../../parts/Button";
import { Failed, Loading } from "../../parts/notices";
import { Page } from "../../parts/Page";
import { span } from "../../parts/time";
import { KeyTable } from "./KeyTable";
import { ModelTable } from "./ModelTable";
import styles from "./Settings.module.css";

export default function Settings() {
  return (
    <Page title="Settings">
      <div className={styles.sections}>
        <Look />
        <Shortcuts />
        <Access />
        <Models />
        <About />
      </div>
    </Page>
  );
}

function Section({ title, children }: { title: string; children: ReactNode }) {
  const id = useId();
  return (
    <section className={styles.section} aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      <div>{children}</div>
    </section>
  );
}

function Look() {
  const { theme, railOpen } = usePreferences();
  const name = useId();
  return (
    <Section title="Look">
      <fieldset className={styles.choices}>
        <legend>Theme</legend>
        {(["system", "light", "dark"] as const).map((it) => (
          <label key={it}>
            <input type="radio" name={name} checked={theme === it} onChange={() => preferences.set({ theme: it })} />
            {{ system: "As the system has it", light: "Light", dark: "Dark" }[it]}
          </label>
        ))}
      </fieldset>
      <label className={styles.check}>
        <input type="checkbox" checked={railOpen} onChange={(event) => preferences.set({ railOpen: event.target.checked })} />
        The rail shows words beside its icons
      </label>
    </Section>
  );
}

function Shortcuts() {
  const { shortcuts } = usePreferences();
  const all = useWatched(groups);
  const everywhere = all.find((group) => group.title === "Everywhere")?.shortcuts ?? [];
  return (
    <Section title="Keys">
      <label className={styles.check}>
        <input type="checkbox" checked={shortcuts} onChange={(event) => preferences.set({ shortcuts: event.target.checked })} />
        Single keys do something
      </label>
      <dl className={styles.keys}>
        {everywhere.map(({ keys, label }) => <div key={keys}><dt><Keys keys={keys} /></dt><dd>{label}</dd></div>)}
      </dl>
      <p className={styles.soft}>Each screen has keys of its own: <kbd>?</kbd> shows them there.</p>
    </Section>
  );
}

function Access() {
  const { data: info } = useQuery(infoQuery);
  const { data: me } = useQuery(meQuery);
  const { name } = usePreferences();
  const key = credential();
  return (
    <Section title="Access">
      {me?.identity == null ? (
        <label className={styles.name}>
          Your name
          <input value={name} maxLength={100} autoComplete="name" onChange={(event) => preferences.set({ name: event.target.value })} />
          <small>Stands beside questions that you take or answer. Kept in this browser; the server asks nobody who they are.</small>
        </label>
      ) : <p>The server knows you as <b>{me.display_name}</b>{me.admin ? ", an administrator" : me.scopes.length ? `, who may: ${me.scopes.join(", ")}` : ""}.</p>}
      {info && (
        <p>
          {info.authentication
            ? key ? "You are signed in with a key. It is kept until this tab is closed." : "This server asks who you are."
            : "This server asks nobody who they are: whoever reaches it can do everything."}
        </p>
      )}
      {info?.authentication && (
        <p>
          <Button onClick={() => {
            keep(null);
            signedOut();
            reconnect();
          }}>{key ? "Sign out" : "Sign in"}</Button>
        </p>
      )}
      {info?.authentication && me?.admin ? <KeyTable /> : (
        <>
          <p>{info?.authentication ? "Only an administrator sees the keys here. On the machine of the server they are made, listed and taken back with:" : "Keys are made, listed and taken back on the machine of the server; once there is one, an administrator does that here, too:"}</p>
          <pre tabIndex={0} aria-label="Commands for keys">{`genesis-mesh keys create --identity laptop --admin
genesis-mesh keys list
genesis-mesh keys revoke ID`}</pre>
        </>
      )}
      {info && info.unsafe_settings.length > 0 && (
        <p className={styles.unsafe}>Set against good advice: {info.unsafe_settings.join(", ")}.</p>
      )}
    </Section>
  );
}

function Models() {
  const { data: info } = useQuery(infoQuery);
  return (
    <Section title="Models">
      <ModelTable />
      <p className={styles.soft}>
        {info ? `${info.assistants.length} ${info.assistants.length === 1 ? "assistant answers" : "assistants answer"} on a socket of its own: ${info.assistants.map((it) => it.name).join(", ")}.` : null}
      </p>
    </Section>
  );
}

/** The name of a limit without its unit, which stands at the value. */
function limitWords(name: string): string {
  const words = name.replace(/_s$|_max$/g, "").replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

const KIB = 1024;

function limitValue(name: string, value: number): string {
  const told = /bytes(_max)?$/.test(name)
    ? value >= KIB * KIB ? `${(value / KIB / KIB).toLocaleString("en")} MiB` : `${(value / KIB).toLocaleString("en")} KiB`
    : `${value.toLocaleString("en")}${name.endsWith("_s") ? " s" : ""}`;
  return name.endsWith("_max") ? `at most ${told}` : told;
}

function About() {
  const { data: info, error, refetch } = useQuery(infoQuery);
  if (error) return <Failed what="The server did not say what it is" error={error} onRetry={() => void refetch()} />;
  if (!info) return <Loading what="the server's own words" />;
  return (
    <Section title="About">
      <dl className={styles.facts}>
        <dt>Product</dt><dd>{info.description}</dd>
        <dt>Version</dt><dd>{info.version}</dd>
        <dt>Up for</dt><dd>{span(info.uptime_s * 1000)}</dd>
        {Object.entries(info.limits).map(([name, value]) => (
          <div key={name} className={styles.limit}><dt>{limitWords(name)}</dt><dd>{limitValue(name, value)}</dd></div>
        ))}
      </dl>
      <p>
        <a href="/docs">Reference of the API</a> · <a href="/openapi.json">OpenAPI document</a> · <a href="/metrics">Metrics</a> ·{" "}
        <a href="/studio/licenses.txt">Licences of what the Studio uses</a>
      </p>
      <p className={styles.soft}>The Studio is made to meet WCAG 2.2 AA. It loads nothing from anywhere but this server.</p>
    </Section>
  );
}
