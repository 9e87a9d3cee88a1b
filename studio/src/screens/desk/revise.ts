// Changes of a finished post: each is a run of the agent from its checks on, and a new version of
// what it changes. The text before stays in the history of the thread.

import { startRun } from "../../data/runs";
import type { Finding } from "../../parts/Post";
import { GRAPH, type Revision } from "./blog";
import type { Post } from "./useBlog";

/** The node that looks for changes that are asked for, and checks again. */
const CHECKS = "run_checks";

const go = (post: Post, update: Record<string, unknown>, section = "") =>
  startRun(post.id, {
    assistant: String(post.thread.data?.metadata?.assistant_id ?? GRAPH),
    command: { update, goto: CHECKS },
    // Whoever writes at the same time is not written over.
    whenBusy: "reject",
    metadata: { revises: section },
  });

export const revise = (post: Post, revision: Revision) => go(post, { revisions: [revision] }, revision.section);

/** Accepts a finding with a reason; takes that back without one. */
export const accept = (post: Post, finding: Finding, reason: string | null) =>
  go(post, { accepting: [{ check: finding.check, section: finding.section ?? null, message: finding.message, reason }] });
