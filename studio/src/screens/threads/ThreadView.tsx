// One thread: its steps and its graph, what it says, its state at any moment, and what can be done.

import { useQuery } from "@tanstack/react-query";
import { useMemo, useRef, useState } from "react";
import { Link, useLocation } from "wouter";
import { useShortcuts } from "../../app/shortcuts";
import { Refused } from "../../data/client";
import { factsOf, takenEdges, type TaskFact } from "../../data/facts";
import { useDrawing } from "../../data/drawing";
import { useObserved } from "../../data/driver";
import { leaves, type Step } from "../../data/history";
import { drawingQuery, type ThreadRow } from "../../data/queries";
import { questionsOf } from "../../data/questions";
import { useStops, type Where } from "../../data/stops";
import { tagsOf, titleOfValues } from "../../data/titles";
import { useStop } from "../../data/useStop";
import { Button } from "../../parts/Button";
import { Canvas } from "../../parts/Canvas";
import { CopyRequest } from "../../parts/CopyRequest";
import { Menu } from "../../parts/Menu";
import { Empty, Failed, Loading } from "../../parts/notices";
import { OpenMounts } from "../../parts/OpenMounts";
import { Page } from "../../parts/Page";
import { Split } from "../../parts/Split";
import { StateMark, ofThread, wordOfThread } from "../../parts/StateMark";
import { Tabs } from "../../parts/Tabs";
import { AnswerForm } from "../inbox/AnswerForm";
import { shown } from "../inbox/asked";
import { Composer } from "./Composer";
import { Again, Fork, Remove, Rename, Tags } from "./Changes";
import { Inspector, TABS } from "./Inspector";
import { Scrubber } from "./Scrubber";
import { StepList } from "./StepList";
import { TextStream } from "./TextStream";
import { Waterfall } from "./Waterfall";
import { useChosen, useThread, type View } from "./useThread";
import styles from "./ThreadView.module.css";

const VIEWS = [
  { id: "both", label: "Both" },
  { id: "steps", label: "Steps" },
  { id: "canvas", label: "Canvas" },
  { id: "text", label: "Text" },
  { id: "time", label: "Time" },
] as const satisfies readonly { id: View; label: string }[];

type Open = "fork" | "again" | "rename" | "tags" | "remove" | null;

export function ThreadView({ id }: { id: string }) {
  const [chosen, choose] = useChosen();
  const data = useThread(id, chosen);
  const { thread, runs, run, active, live, steps, head, at } = data;
  const [open, setOpen] = useState<Open>(null);
  const [follow, setFollow] = useState(true);
  const [stopMenu, setStopMenu] = useState(0);
  const [composing, setComposing] = useState(false);
  const [, go] = useLocation();
  const main = useRef<HTMLDivElement>(null);

  const other = useObserved(thread.data, run);
  const { stop, asked } = useStop(id, run?.run_id);
  const values = thread.data?.values;
  const title = titleOfValues(id, thread.data?.metadata, values);
  const questions = thread.data ? questionsOf(thread.data as unknown as ThreadRow) : [];
  const isLive = chosen.cp === null || at?.id === head?.id;
  const moments = steps.filter((step) => step.checkpoint);
  const place = moments.findIndex((step) => step.checkpoint?.id === at?.id);
  const assistant = data.assistant ?? data.graph;

  const select = (step: Step, one: string | null) => {
    const cp = step.checkpoint?.id ?? null;
    // A step that has no checkpoint yet is chosen by its own name.
    const task = one ?? (cp === null ? step.key : null);
    choose({ cp: cp === moments.at(-1)?.checkpoint?.id ? null : cp, task, ...(task && { tab: "task" }) });
  };
  const move = (by: number, wanted: (step: Step) => boolean = () => true) => {
    for (let index = place + by; index >= 0 && index < moments.length; index += by) {
      const step = moments[index];
      if (step && wanted(step)) return select(step, null);
    }
  };
  const matters = (step: Step) => step.state !== "done" || step.kind === "fork" || step.kind === "update" || step.tasks.some((task) => task.interrupts.length > 0);
  useShortcuts("This thread", [
    { keys: "[", label: "Step before", run: () => move(-1) },
    { keys: "]", label: "Step after", run: () => move(1) },
    { keys: "Shift+[", label: "Question, error or fork before", run: () => move(-1, matters) },
    { keys: "Shift+]", label: "Question, error or fork after", run: () => move(1, matters) },
    ...TABS.map((tab, index) => ({ keys: String(index + 1), label: `Inspector: ${tab.label}`, run: () => choose({ tab: tab.id }) })),
    { keys: "d", label: "Differences", run: () => choose({ tab: "diff" }) },
    { keys: "c", label: "Pin for comparing", run: () => at && choose(chosen.cmp === at.id ? { cmp: null } : { cmp: at.id }) },
    { keys: "f", label: "Edit and fork", run: () => at && !other && setOpen("fork") },
    { keys: "r", label: "Run from here", run: () => at && !other && setOpen("again") },
    { keys: "l", label: "Back to live", run: () => choose({ cp: null, task: null }) },
    { keys: ".", label: "Follow the text, or not", run: () => setFollow(!follow) },
    ...(other ? [{ keys: "t", label: "Take the run over", run: other.take }] : []),
    { keys: "x", label: "Stop menu", run: () => active && setStopMenu(stopMenu + 1) },
    { keys: "v", label: "Next view", run: () => choose({ view: VIEWS[(VIEWS.findIndex((it) => it.id === chosen.view) + 1) % VIEWS.length]?.id }) },
  ]);

  if (thread.error) {
    const gone = thread.error instanceof Refused && thread.error.status === 404;
    return (
      <Page title="Thread" fills>
        {gone ? (
          <Empty title="This thread is not there." action={<Button onClick={() => go("/threads")}>All threads</Button>}>
            It was deleted, or it belongs to somebody else.
          </Empty>
        ) : <Failed what="The thread could not be read" error={thread.error} onRetry={() => void thread.refetch()} />}
      </Page>
    );
  }
  if (!thread.data) return <Page title="Thread" fills><Loading what="the thread" lines={6} onRetry={() => void thread.refetch()} /></Page>;

  const started = (target: string, run: string) => {
    if (target === id) choose({ run, cp: null, task: null });
    setFollow(true);
    setComposing(false);
  };
  return (
    <Page
      title={title} fills
      note={
        <span className={styles.note}>
          <StateMark
            state={ofThread(thread.data.status, questions.length > 0)}
            word={questions.length === 0 ? wordOfThread(thread.data.status, 0) : undefined}
          />
          {data.graph && <span>{data.graph}</span>}
          {tagsOf(thread.data.metadata).map((tag) => <span key={tag} className={styles.tag}>{tag}</span>)}
        </span>
      }
      actions={
        <>
          <Link href="/threads" className={styles.back}>All threads</Link>
          {active && run && (
            <Menu
              label="Stop the run" kind="danger" icon="stop" openOn={stopMenu} refused={other?.refused}
              items={[
                { label: "Stop after this step", note: "What runs now comes to its end, and all of it is saved.", run: () => stop("after_step") },
                { label: "Stop now", note: "What it saved stays, and it can go on from there.", run: () => stop("interrupt") },
                { label: "Stop and roll back", note: "The run is removed with everything that it saved.", danger: true, run: () => stop("rollback") },
              ]}
            >
              Stop
            </Menu>
          )}
          <Button icon="plus" onClick={() => setComposing(!composing)} aria-expanded={composing} refused={!composing && other?.refused}>New run</Button>
          <Menu
            label="More" icon="more"
            items={[
              { label: "Rename", run: () => setOpen("rename") },
              { label: "Tags", run: () => setOpen("tags") },
              { label: "Copy the id", note: id, run: () => void navigator.clipboard.writeText(id) },
              { label: "Delete", danger: true, run: () => setOpen("remove") },
            ]}
          />
        </>
      }
    >
      <Split
        name="thread" label="Width of the inspector" first={400} least={280} most={720} tall
        main={
          <div className={styles.main} ref={main}>
            <Tabs
              label="View" tabs={VIEWS} chosen={chosen.view} onChoose={(view) => choose({ view })}
              aside={
                <span className={styles.aside}>
                  <Forks data={data} onChoose={(cp) => choose({ cp, task: null })} />
                  <CopyRequest method="POST" path={`/threads/${id}/history`} body={{ limit: 1000 }} short />
                </span>
              }
            />
            <Scrubber
              steps={steps} at={at?.id ?? null} live={isLive} active={active} onSelect={(step) => select(step, null)}
              onLive={() => choose({ cp: null, task: null })}
            />
            {!isLive && at && (
              <p className={styles.banner} role="status">Viewing step {at.step} of {head?.step ?? at.step}. Nothing here changes what is live.</p>
            )}
            {active && asked?.how === "after_step" && !asked.problem && <p className={styles.banner} role="status">The run stops after this step.</p>}
            {active && asked?.problem !== undefined && <Failed what="The run was not stopped" error={asked.problem} />}
            {data.history.error && <Failed what="The history could not be read" error={data.history.error} onRetry={() => void data.history.refetch()} />}
            {data.history.data?.cut && <p className={styles.banner}>Only the newest {data.history.data.checkpoints.length.toLocaleString("en")} checkpoints are shown.</p>}
            <RunError data={data} onAgain={() => setOpen("again")} onEdit={() => setOpen("fork")} />
            <div className={styles.views} data-view={chosen.view}>
              {(chosen.view === "both" || chosen.view === "steps") && (
                <div className={styles.steps}>
                  {steps.length === 0 ? (data.history.data ? <Empty title={active ? "The run is about to begin." : "Nothing has run on this thread."} /> : <Loading what="the steps" />)
                    : <StepList steps={steps} live={live} runs={runs.data ?? []} at={at?.id ?? null} task={chosen.task} onSelect={select} />}
                </div>
              )}
              {chosen.view === "canvas" && assistant && <Drawn data={data} assistant={assistant} task={chosen.task} onSelect={select} onTasks={() => choose({ tab: "task" })} />}
              {chosen.view === "time" && (
                <Waterfall live={live} active={active} task={chosen.task} onSelect={(task) => choose({ task, tab: "task" })} />
              )}
              {(chosen.view === "both" || chosen.view === "text") && (
                <TextStream live={live} told={data.told} active={active} problem={data.problem} follow={follow} onFollow={setFollow} />
              )}
            </div>
            <div className={styles.below}>
              {questions.length > 0 && !active && isLive && (
                <section className={styles.questions} aria-label="Questions">
                  {questions.map((question) => (
                    <div key={question.id}>
                      <StateMark state="waiting" word={shown(question.value).title} />
                      <AnswerForm question={question} onAnswered={(run) => started(id, run)} />
                    </div>
                  ))}
                </section>
              )}
              {composing && (
                <Composer thread={id} assistant={assistant} busy={active} onStarted={started} />
              )}
            </div>
          </div>
        }
        side={
          <Inspector
            id={id} data={data} chosen={chosen} onChoose={(change) => choose(change)} onEdit={() => setOpen("fork")}
            onAgain={() => setOpen("again")} refused={other?.refused}
          />
        }
      />
      {open === "fork" && at && assistant && (
        <WithNodes assistant={assistant}>
          {(nodes) => (
            <Fork
              id={id} at={at} assistant={assistant} nodes={nodes} onClose={() => setOpen(null)}
              onForked={(cp, run) => {
                setOpen(null);
                choose({ cp: run ? null : cp, run, task: null });
              }}
            />
          )}
        </WithNodes>
      )}
      {open === "again" && at && assistant && (
        <WithNodes assistant={assistant}>
          {(nodes) => (
            <Again
              id={id} at={at} assistant={assistant} nodes={nodes} onClose={() => setOpen(null)}
              onStarted={(run) => {
                setOpen(null);
                choose({ cp: null, run, task: null });
              }}
            />
          )}
        </WithNodes>
      )}
      {open === "rename" && <Rename id={id} title={title} onClose={() => setOpen(null)} />}
      {open === "tags" && <Tags id={id} tags={tagsOf(thread.data.metadata)} onClose={() => setOpen(null)} />}
      {open === "remove" && <Remove id={id} title={title} onClose={() => setOpen(null)} onRemoved={() => go("/threads")} />}
    </Page>
  );
}

function WithNodes({ assistant, children }: { assistant: string; children: (nodes: string[]) => React.ReactNode }) {
  const { data } = useQuery(drawingQuery(assistant, false));
  return children((data?.nodes ?? []).map((node) => node.id).filter((node) => !/^__(start|end)__$/.test(node)));
}

/** The other ways through the thread. */
function Forks({ data, onChoose }: { data: ReturnType<typeof useThread>; onChoose: (cp: string | null) => void }) {
  const all = data.history.data ? leaves(data.history.data) : [];
  if (all.length < 2) return null;
  const shown = data.head?.id;
  return (
    <select className={styles.forks} aria-label="Fork" value={shown} onChange={(event) => onChoose(event.target.value === all[0]?.id ? null : event.target.value)}>
      {all.map((leaf, place) => (
        <option key={leaf.id} value={leaf.id}>
          {place === 0 ? "newest" : `fork ${all.length - place}`}, to step {leaf.step}
        </option>
      ))}
    </select>
  );
}

function Drawn({ data, assistant, task, onSelect, onTasks }: {
  data: ReturnType<typeof useThread>; assistant: string; task: string | null; onSelect: (step: Step, task: string | null) => void;
  onTasks: () => void;
}) {
  const { drawing, error, refetch, hasMounts, all, openAll, toggle } = useDrawing(assistant);
  const { steps, live, at, run, active } = data;
  const version = live.tasksVersion;
  const facts = useMemo<TaskFact[]>(() => {
    // Up to the moment that is looked at, of the run that it belongs to.
    const end = steps.findIndex((step) => step.checkpoint?.id === at?.id);
    const last = data.head?.id === at?.id || end < 0 ? steps.length - 1 : end;
    const of = steps[last]?.run;
    const mine = steps.slice(0, last + 1).filter((step) => step.run === of);
    const outer = mine.flatMap((step, wave) =>
      step.tasks.map((it): TaskFact => ({
        id: it.id, name: it.name, ns: [], wave, state: it.state, took: step.tasks.length === 1 ? step.took : undefined,
      })));
    const shown = new Set(outer.map((it) => it.id));
    const inner = run?.run_id === of
      ? [...live.tasks.values()].filter((it) => it.ns.length > 0 && shown.has(it.ns[0]?.split(":").pop() ?? ""))
      : [];
    return compact([...outer, ...inner]);
  }, [steps, at, live, version, run?.run_id, data.head?.id]);
  const nodes = useMemo(() => factsOf(facts), [facts]);
  const chosen = facts.find((it) => it.id === task);
  // A node that did nothing has no task to be selected by.
  const [picked, setPicked] = useState<string | null>(null);
  const selected = chosen ? [...chosen.ns.map((part) => part.split(":")[0]), chosen.name].join(":") : picked;
  const [stops, toggleStop] = useStops(data.graph);
  const [told, setTold] = useState("");
  const stop = (where: Where) => {
    const node = document.activeElement?.getAttribute("data-node") ?? selected;
    if (!node) return;
    if (node.includes(":")) {
      setTold("A run can pause at the nodes of its own graph only.");
      return;
    }
    const was = stops[where].includes(node);
    toggleStop(node, where);
    setTold(was ? `No pause ${where} ${node}.` : `The next run pauses ${where} ${node}.`);
  };
  useShortcuts("Canvas", [
    { keys: "b", label: "Pause before the node, or not", run: () => stop("before") },
    { keys: "Shift+b", label: "Pause after the node, or not", run: () => stop("after") },
  ]);
  const finished = !active && data.head?.next.length === 0 && data.head?.id === at?.id;
  const taken = useMemo(
    () => (drawing ? takenEdges(drawing, facts, finished) : undefined), [drawing, facts, finished],
  );
  if (error) return <Failed what="The graph could not be drawn" error={error} onRetry={refetch} />;
  if (!drawing) return <Loading what="the graph" />;
  return (
    <div className={styles.canvas}>
      <Canvas
        drawing={drawing} name={data.graph ?? assistant} facts={nodes} taken={taken} stops={stops} onMount={toggle} selected={selected}
        onSelect={(node) => {
          setPicked(node);
          const name = node.split(":").pop();
          const found = facts.findLast((it) => it.name === name && [...it.ns.map((part) => part.split(":")[0]), it.name].join(":") === node);
          const root = found?.ns[0]?.split(":").pop() ?? found?.id;
          const step = steps.findLast((it) => it.tasks.some((task) => task.id === root));
          if (!found || !step) return;
          const many = found.ns.length === 0 && step.tasks.length > 1;
          onSelect(step, many ? null : found.id);
          if (many) onTasks();
        }}
      />
      <p className={styles.told} role="status" data-empty={told === "" || undefined}>{told}</p>
      {hasMounts && <OpenMounts all={all} onChange={openAll} />}
    </div>
  );
}

/** Waves without gaps: steps without tasks do not count for what follows what. */
function compact(facts: TaskFact[]): TaskFact[] {
  const waves = [...new Set(facts.filter((it) => it.ns.length === 0).map((it) => it.wave))].sort((a, b) => a - b);
  const place = new Map(waves.map((wave, index) => [wave, index]));
  return facts.map((it) => (it.ns.length === 0 ? { ...it, wave: place.get(it.wave) ?? it.wave } : it));
}

/** A run that failed: where, why, what is safe, and what can be done. */
function RunError({ data, onAgain, onEdit }: { data: ReturnType<typeof useThread>; onAgain: () => void; onEdit: () => void }) {
  const { thread, steps, head, active, run } = data;
  if (active || (run?.status !== "error" && run?.status !== "timeout")) return null;
  const failed = steps.findLast((step) => step.state === "failed");
  const told = (thread.data as unknown as { error?: { error?: string; message?: string } } | undefined)?.error;
  const task = failed?.tasks.find((it) => it.state === "failed");
  const message = task?.error ?? data.live.error ?? told?.message ?? `the run ended as ${run.status}`;
  return (
    <section className={styles.error} role="alert">
      <p>
        <b>{run.status === "timeout" ? "The run took too long" : "The run failed"}{task && <> at <code>{task.name}</code>, step {failed?.number}</>}</b>
        {told?.error && <span className={styles.kind}>{told.error}</span>}
      </p>
      <p className={styles.message}>{message}</p>
      <p className={styles.safe}>
        {head ? `Everything up to step ${head.step} is saved.` : "Nothing was saved."}
        <Button onClick={onAgain}>Retry from step {head?.step}</Button>
        <Button onClick={onEdit}>Edit and retry</Button>
      </p>
    </section>
  );
}
