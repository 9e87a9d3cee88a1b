//! Reflection: a draft is written, judged and revised until it is good or the rounds are used up.

use std::sync::Arc;

use mesh_graph::{CompileError, Compiled, Ctx, END, Goto, Graph, NodeResult, START, State, View};
use mesh_model::{ChatModel, ChatRequest, Message, structured_with};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tokens::Tokens;

/// Drafts written at most unless configured otherwise.
pub const REFLECTION_DRAFTS: u32 = 3;

/// What a critic says of a draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Critique {
    /// Whether the draft is good as it is.
    pub good: bool,
    /// What has to change, in words that help the writer; empty if nothing.
    pub advice: String,
}

/// The state of a reflection.
#[derive(State)]
pub struct Reflection {
    /// What is to be written.
    #[state(input)]
    pub task: String,
    /// The newest draft.
    pub draft: String,
    /// What the critic said of it; none if nobody judged it.
    pub critique: Option<Critique>,
    /// Drafts written so far in this turn.
    pub drafts: u32,
}

/// A loop of writing and judging: the nodes are `generate` and `criticize`.
///
/// It ends with the first draft that the critic calls good, or with the last one that
/// [`ReflectionBuilder::drafts_max`] allows, which is not judged any more: `critique` tells.
pub fn reflection(writer: Arc<dyn ChatModel>, critic: Arc<dyn ChatModel>) -> ReflectionBuilder {
    ReflectionBuilder {
        loop_: Loop {
            writer,
            critic,
            writer_prompt: "Write what is asked for, and nothing else.".to_owned(),
            critic_prompt: "Judge the draft by its task. Ask for a change only if it matters."
                .to_owned(),
            drafts_max: REFLECTION_DRAFTS,
        },
    }
}

/// A reflection under construction.
#[must_use = "a reflection is made by `build`"]
pub struct ReflectionBuilder {
    loop_: Loop,
}

struct Loop {
    writer: Arc<dyn ChatModel>,
    critic: Arc<dyn ChatModel>,
    writer_prompt: String,
    critic_prompt: String,
    drafts_max: u32,
}

impl ReflectionBuilder {
    /// What the writer is told before its task.
    pub fn writer_prompt(mut self, prompt: impl Into<String>) -> Self {
        self.loop_.writer_prompt = prompt.into();
        self
    }

    /// What the critic is told before the draft.
    pub fn critic_prompt(mut self, prompt: impl Into<String>) -> Self {
        self.loop_.critic_prompt = prompt.into();
        self
    }

    /// Drafts written at most; at least 1.
    pub fn drafts_max(mut self, drafts: u32) -> Self {
        self.loop_.drafts_max = drafts.max(1);
        self
    }

    /// Builds the graph, for an app with dependencies `D` that it does not use.
    ///
    /// # Errors
    /// [`CompileError`] would be a mistake in this crate.
    pub fn build<D: Send + Sync + 'static>(self) -> Result<Compiled<Reflection, D>, CompileError> {
        let with = Arc::new(self.loop_);
        let mut graph = Graph::<Reflection, D>::new("reflection");
        // A later turn of one thread is a task of its own.
        graph.node("begin", |_: View<Reflection>, _: Ctx<D>| async {
            Ok(Reflection::update().draft("").critique(None).drafts(0))
        });
        let writing = Arc::clone(&with);
        graph.node("generate", move |state: View<Reflection>, ctx: Ctx<D>| {
            let with = Arc::clone(&writing);
            async move { with.generate(&state, &ctx.bare()).await }
        });
        let judging = Arc::clone(&with);
        graph.node("criticize", move |state: View<Reflection>, ctx: Ctx<D>| {
            let with = Arc::clone(&judging);
            async move { with.criticize(&state, &ctx.bare()).await }
        });
        graph.edge(START, "begin").edge("begin", "generate");
        let drafts_max = with.drafts_max;
        graph
            .route("generate", move |state: &View<Reflection>| {
                Goto::from(if *state.drafts < drafts_max { "criticize" } else { END })
            })
            .targets(["criticize"]);
        graph
            .route("criticize", |state: &View<Reflection>| {
                let good = state.critique.as_ref().is_some_and(|critique| critique.good);
                Goto::from(if good { END } else { "generate" })
            })
            .targets(["generate"]);
        graph.compile()
    }
}

impl Loop {
    async fn generate(&self, state: &View<Reflection>, ctx: &Ctx) -> NodeResult<ReflectionUpdate> {
        let mut messages =
            vec![Message::system(&*self.writer_prompt), Message::user(state.task.as_str())];
        if let Some(critique) = &*state.critique {
            messages.push(Message::assistant(state.draft.as_str()));
            messages.push(Message::user(format!(
                "Write it again, whole. What has to change: {}",
                critique.advice
            )));
        }
        let tokens = Tokens::new(ctx, &*self.writer);
        let mut observe = tokens.observer();
        let mut observe = |delta: &_| observe(0, delta);
        let request = ChatRequest::new(messages).reply_id(tokens.id(0));
        let reply = tokens.forward(self.writer.complete_observed(request, &mut observe)).await??;
        let update = Reflection::update().draft(reply.text()).critique(None);
        Ok(update.drafts(state.drafts.saturating_add(1)))
    }

    async fn criticize(&self, state: &View<Reflection>, ctx: &Ctx) -> NodeResult<ReflectionUpdate> {
        let draft = format!("The task:\n{}\n\nThe draft:\n{}", *state.task, *state.draft);
        let messages = vec![Message::system(&*self.critic_prompt), Message::user(draft)];
        let tokens = Tokens::new(ctx, &*self.critic);
        let request = ChatRequest::new(messages).reply_id(tokens.id(0));
        let judged = structured_with::<Critique>(
            &*self.critic,
            request,
            "critique",
            |_| Vec::new(),
            tokens.observer(),
        );
        let judged = tokens.forward(judged).await??;
        Ok(Reflection::update().critique(Some(judged.value)))
    }
}
