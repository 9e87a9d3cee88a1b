//! A task of a node with a cache policy: its result may be there already.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::{
    cache::{self, CacheKey, CachePolicy, NodeCache},
    channel::{Channel, Values},
    checkpoint::TaskCommit,
    context::TaskContext,
    live::Effect,
    node::{ArgCodec, Input},
    stored,
};

use super::{
    Keep,
    task::{Execution, TaskEnd},
};

/// Runs a task unless its result is cached, and keeps the result if it is whole.
pub(super) async fn run_cached(
    task: TaskContext,
    input: Input,
    around: Option<Arc<Values>>,
    store: Keep,
    policy: Arc<CachePolicy>,
    cache: Arc<dyn NodeCache>,
) -> TaskEnd {
    // What a node makes of an answer is no matter of its input.
    let key = if task.0.answers().is_empty() { key_of(&task, &input, &policy) } else { None };
    let Some(key) = key else { return Execution::new(task, input, around, store).await };
    let now_ms = task.0.run.env.now_ms();
    if let Some(kept) = cache::look_up(&*cache, &key, now_ms).await
        && let Some(effect) = read(&task, &kept)
    {
        return TaskEnd::Done { effect: Box::new(effect), answered: Vec::new() };
    }
    let mut end = Execution::new(task.clone(), input, around, store).await;
    if let TaskEnd::Done { effect, answered } = &mut end
        && answered.is_empty()
        && let Some(kept) = write(&task, effect)
    {
        let expires_ms = policy.expires_ms(task.0.run.env.now_ms());
        cache::keep(&*cache, key, kept, expires_ms).await;
    }
    end
}

/// None for an input without a JSON form: it cannot be compared, so the node runs.
fn key_of(task: &TaskContext, input: &Input, policy: &CachePolicy) -> Option<CacheKey> {
    let core = &task.0.run.core;
    let spec = core.node(task.0.node);
    let run = spec.run.as_ref()?;
    let state = |values: &Values| {
        let reads = spec.reads.as_deref().or_else(|| run.reads());
        let read = |index, _: &Channel| reads.is_none_or(|reads| reads.contains(&index));
        core.schema.to_json(values, read).ok()
    };
    let json: Option<Json> = match (input, run.arg()) {
        (Input::Snapshot(values), _) => state(values),
        (Input::Arg(value), ArgCodec::Typed(codec)) => codec.to_json(value).ok(),
        (Input::Arg(value), ArgCodec::Json) => value.downcast_ref::<Json>().cloned(),
        (Input::Arg(value), ArgCodec::State) => state(value.downcast_ref::<Values>()?),
    };
    if json.is_none() {
        tracing::warn!(node = &*spec.name, "the input has no JSON form, so it is not cached");
    }
    Some(policy.of_node(&core.name, &spec.name, &json?))
}

/// A result that the graph no longer understands is as good as none.
fn read(task: &TaskContext, kept: &[u8]) -> Option<Effect> {
    let kept: TaskCommit = stored::decode(kept).ok()?;
    let mut effect = Effect::decode(&task.0.run.core, task.0.base, &kept).ok()?;
    effect.cached = true;
    Some(effect)
}

fn write(task: &TaskContext, effect: &mut Effect) -> Option<Vec<u8>> {
    if effect.commit.is_none() {
        effect.make_storable(&task.0.run.core).encode().ok()?;
    }
    stored::encode(effect.commit.as_ref()?).ok()
}
