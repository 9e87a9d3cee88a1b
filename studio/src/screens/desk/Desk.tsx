// The Desk: a post from its request to the file, one step after the other. For people who write.

import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { Link, useLocation, useParams, useSearchParams } from "wouter";
import { useShortcuts } from "../../app/shortcuts";
import { useHasDraft } from "../../data/drafts";
import { useObserved } from "../../data/driver";
import { threadsQuery, type ThreadRow } from "../../data/queries";
import { titleOf } from "../../data/titles";
import { useStop } from "../../data/useStop";
import { Button } from "../../parts/Button";
import { Empty, Failed, Loading } from "../../parts/notices";
import { Page } from "../../parts/Page";
import { StateMark, ofThread } from "../../parts/StateMark";
import { Ago } from "../../parts/time";
import { ChecksStep } from "./ChecksStep";
import { DraftStep } from "./DraftStep";
import { ExportStep } from "./ExportStep";
import { OutlineStep } from "./OutlineStep";
import { RequestStep } from "./RequestStep";
import { SourcesStep } from "./SourcesStep";
import { GRAPH, STEPS, outlineDraft, requestDraft, staleOf, withStale, type Progress, type Step } from "./blog";
import { useBlog, type Post } from "./useBlog";
import styles from "./Desk.module.css";

export default function Desk() {
  const { id } = useParams<{ id?: string }>();
  if (id === undefined) return <Posts />;
  return id === "new" ? <NewPost /> : <OnePost key={id} id={id} />;
}

/** Threads of the blog agent. */
const POSTS = threadsQuery({ metadata: { graph_id: GRAPH } });

function Posts() {
  const [, go] = useLocation();
  const { data, error, isPending, hasNextPage, isFetchingNextPage, fetchNextPage, refetch } = useInfiniteQuery(POSTS);
  const rows = data?.pages.flatMap((page) => page.rows) ?? [];
  useShortcuts("Desk", [{ keys: "n", label: "New post", run: () => go("/desk/new") }]);
  const add = <Button kind="primary" icon="plus" onClick={() => go("/desk/new")}>New post</Button>;
  return (
    <Page title="Desk" actions={rows.length > 0 && add}>
      {error && !data && <Failed what="The posts could not be read" error={error} onRetry={() => void refetch()} />}
      {isPending && <Loading what="posts" onRetry={() => void refetch()} />}
      {data && rows.length === 0 && (
        <Empty title="No post yet." action={add}>
          Name a topic, and the blog agent writes from your sources, each sentence with its evidence. Without a model it quotes.
        </Empty>
      )}
      {rows.length > 0 && (
        <ul className={styles.posts} aria-label="Posts">
          {rows.map((row) => <PostRow key={row.thread_id} row={row} />)}
        </ul>
      )}
      {hasNextPage && <Button busy={isFetchingNextPage} onClick={() => void fetchNextPage()}>Show more</Button>}
    </Page>
  );
}

function PostRow({ row }: { row: ThreadRow }) {
  const state = ofThread(row.status, row.status === "interrupted");
  const word = { idle: "written", running: "being written", waiting: "outline to approve", failed: "failed" }[state as string];
  return (
    <li>
      <Link href={`/desk/${row.thread_id}`} className={styles.post}>
        <span className={styles.title}>{titleOf(row)}</span>
        <StateMark state={state === "idle" ? "done" : state} word={word} />
        <span className={styles.when}><Ago at={row.updated_at} /></span>
      </Link>
    </li>
  );
}

function NewPost() {
  return (
    <Page title="New post" note={<Link href="/desk">All posts</Link>}>
      <StepNav progress={null} step="request" id={null} />
      <RequestStep post={null} />
    </Page>
  );
}

function OnePost({ id }: { id: string }) {
  const post = useBlog(id);
  const other = useObserved(post.thread.data, post.run);
  const { stop, asked: stopped } = useStop(id, post.run?.run_id);
  const [query] = useSearchParams();
  const [, go] = useLocation();
  const asked = query.get("step");
  const step = STEPS.find((one) => one.id === asked)?.id ?? post.first;
  const begun = {
    request: useHasDraft(requestDraft(id)),
    outline: useHasDraft(outlineDraft(id, post.state.data?.checkpoint?.checkpoint_id ?? "")),
  };
  const place = STEPS.findIndex((one) => one.id === step);
  const to = (by: number) => {
    const next = STEPS[place + by];
    if (next) go(`/desk/${id}?step=${next.id}`);
  };
  useShortcuts("Post", [
    { keys: "]", label: "Next step", run: () => to(1) },
    { keys: "[", label: "Step before", run: () => to(-1) },
    ...(other ? [{ keys: "t", label: "Take the run over", run: other.take }] : []),
  ]);
  const error = post.thread.error ?? post.state.error;
  if (error && !post.state.data) {
    return <Page title="Desk" note={<Link href="/desk">All posts</Link>}><Failed what="This post could not be read" error={error} onRetry={() => { void post.thread.refetch(); void post.state.refetch(); }} /></Page>;
  }
  if (!post.thread.data || !post.state.data) return <Page title="Desk"><Loading what="the post" /></Page>;
  const own = new Set((post.blog.evidence ?? []).filter((one) => one.relation === "unsupported").map((one) => one.sentence)).size;
  const title = post.blog.title || post.blog.request?.topic || "A post";
  return (
    <Page
      title={title}
      note={<span className={styles.note}><Link href="/desk">All posts</Link> <Link href={`/threads/${id}${post.run ? `?run=${post.run.run_id}` : ""}`}>As a thread</Link></span>}
      actions={post.busy && post.run && (
        <Button kind="danger" icon="stop" onClick={() => stop("interrupt")} refused={other?.refused} title="What is finished stays">Stop writing</Button>
      )}
    >
      {post.busy && stopped?.problem !== undefined && <Failed what="Writing was not stopped" error={stopped.problem} />}
      <StepNav progress={withStale(post.progress, begun, staleOf(post.blog).size > 0)} step={step} id={id} />
      {post.blog.mode?.generation === "extractive" && (
        <p className={styles.banner}>
          {own === 0 ? <><b>Extracts only:</b> every sentence is quoted from a source.</>
            : <><b>Extracts, and {own} {own === 1 ? "statement" : "statements"} of your own:</b> every other sentence is quoted from a source.</>}
        </p>
      )}
      <Running post={post} step={step} />
      <StepBody step={step} post={post} />
    </Page>
  );
}

function StepBody({ step, post }: { step: Step; post: Post }) {
  useEffect(() => {
    document.getElementById("main")?.scrollTo(0, 0);
  }, [step]);
  switch (step) {
    case "request": return <RequestStep post={post} />;
    case "sources": return <SourcesStep post={post} />;
    case "outline": return <OutlineStep post={post} />;
    case "draft": return <DraftStep post={post} />;
    case "checks": return <ChecksStep post={post} />;
    case "export": return <ExportStep post={post} />;
  }
}

const MARKS: Record<Progress, { glyph: string; word: string }> = {
  empty: { glyph: "○", word: "not yet" },
  running: { glyph: "▸", word: "in work" },
  waiting: { glyph: "!", word: "your turn" },
  done: { glyph: "✓", word: "done" },
  attention: { glyph: "!", word: "needs a look" },
  stale: { glyph: "↻", word: "needs update" },
};
/** States whose word is shown, not only read out. */
const TOLD = new Set<Progress>(["waiting", "attention", "running", "stale"]);

function StepNav({ progress, step, id }: { progress: Record<Step, Progress> | null; step: Step; id: string | null }) {
  return (
    <nav aria-label="Steps of the post" className={styles.steps}>
      <ol>
        {STEPS.map((one, at) => {
          const state = progress?.[one.id] ?? "empty";
          const inside = (
            <>
              <span className={styles.glyph} data-state={state} aria-hidden="true">{state === "empty" ? at + 1 : MARKS[state].glyph}</span>
              <span>{one.label}</span>
              <small className={TOLD.has(state) ? undefined : "visually-hidden"}>{MARKS[state].word}</small>
            </>
          );
          return (
            <li key={one.id} data-here={one.id === step || undefined}>
              {id === null && one.id !== step ? <span className={styles.step} aria-disabled="true">{inside}</span> : (
                <Link href={id === null ? "/desk/new" : `/desk/${id}?step=${one.id}`} replace className={styles.step} aria-current={one.id === step ? "step" : undefined}>{inside}</Link>
              )}
            </li>
          );
        })}
      </ol>
    </nav>
  );
}

/** What is going on, or went wrong, whatever step is looked at. */
function Running({ post, step }: { post: Post; step: Step }) {
  const [, go] = useLocation();
  const { live, busy, failure, waiting } = post;
  if (failure) {
    return (
      <Failed
        what={post.blog.final_blog ? "The last run failed" : "The post was not written"} error={new FailedRun(failure.message ?? failure.error ?? "the run failed")}
        safe="What was read and written before stays. A changed request begins anew."
        actions={<Button onClick={() => go(`/desk/${post.id}?step=request`)}>Change the request</Button>}
      />
    );
  }
  // At the draft a change says at its section how it goes.
  if (busy && post.revising !== null) {
    return step === "draft" && post.revising ? null : <p className={styles.running} role="status"><StateMark state="running" word="A change is being made" /></p>;
  }
  if (busy) {
    const last = live.cards.findLast((card) => card.kind === "note");
    const sections = [...live.tasks.values()].filter((task) => task.ns.length === 0 && /section/.test(task.name) && task.name !== "gather_completed_sections");
    const done = sections.filter((task) => task.state === "done").length;
    return (
      <p className={styles.running} role="status">
        <StateMark state="running" word={sections.length ? `Writing: ${done} of ${sections.length} sections` : "Reading and planning"} />
        {last?.kind === "note" && <span>{noteWords(last.type, last.data)}</span>}
      </p>
    );
  }
  if (waiting && step !== "outline") {
    return (
      <p className={styles.running} role="status">
        <StateMark state="waiting" word="The outline waits for you" />
        <Link href={`/desk/${post.id}?step=outline`}>Look at it</Link>
      </p>
    );
  }
  return null;
}

/** A failure of the run, which the server tells in words. */
class FailedRun extends Error {}

function noteWords(type: string, data: unknown): string {
  const its = (data ?? {}) as Record<string, unknown>;
  switch (type) {
    case "run.mode": return String(its.reason ?? "");
    case "source.collection": return `${its.chosen} documents of ${its.name}`;
    case "source.found": return `${its.hits} pages for “${its.query}”`;
    case "source.fetched": return `Read ${its.title ?? its.location}`;
    case "source.skipped": return `Skipped ${its.location}: ${its.reason}`;
    case "outline.ready": return "The outline is made";
    case "section.started": return `Begun: ${its.name}`;
    case "section.done": return `Finished: ${its.name}`;
    default: return "";
  }
}
