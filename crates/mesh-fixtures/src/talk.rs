//! A conversation and nothing else, and the node that runs its tool calls.

use std::sync::Arc;

use futures::future::BoxFuture;
use mesh_agents::{Tool, ToolAnswer, ToolNode, ToolNodeError, messages};
use mesh_graph::{Ctx, END, NodeError, NodeResult, State, View};
use mesh_model::{Message, Messages, Role};

/// The state of graphs that only talk.
#[derive(State)]
pub(crate) struct Talk {
    #[state(rule = messages)]
    pub(crate) messages: Messages,
}

/// A node that runs the tool calls of the last assistant message.
///
/// # Errors
/// [`ToolNodeError`] names a tool that is wrong.
pub(crate) fn tools(
    tools: impl IntoIterator<Item = Arc<dyn Tool>>,
) -> Result<
    impl Fn(View<Talk>, Ctx) -> BoxFuture<'static, NodeResult<TalkUpdate>> + Send + Sync + 'static,
    ToolNodeError,
> {
    let node = Arc::new(ToolNode::new(tools)?);
    Ok(move |state: View<Talk>, ctx: Ctx| -> BoxFuture<'static, NodeResult<TalkUpdate>> {
        let node = Arc::clone(&node);
        Box::pin(async move {
            let answers = node.run_messages(&state.messages, None, &ctx).await?;
            let mut update = Messages::new();
            for answer in answers {
                match answer {
                    ToolAnswer::Message(message) => update = update.and(message),
                    ToolAnswer::Command(_) => {
                        return Err(NodeError::msg("the tools of fixtures answer, nothing more"));
                    }
                }
            }
            Ok(Talk::update().messages(update))
        })
    })
}

/// To `tools` while the last message calls some, else to END.
pub(crate) fn after_model(state: &View<Talk>) -> &'static str {
    let calls = state.messages.last().is_some_and(|last| !last.tool_calls().is_empty());
    if calls { "tools" } else { END }
}

/// Whether a tool has answered last.
pub(crate) fn answered(messages: &Messages) -> bool {
    messages.last().is_some_and(|last| last.role() == Role::Tool)
}

/// The text of a message; empty when there is none.
pub(crate) fn text_of(message: Option<&Message>) -> String {
    message.map(|message| message.text().into_owned()).unwrap_or_default()
}
