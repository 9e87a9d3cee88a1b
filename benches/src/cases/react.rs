//! A model that calls one tool K times: 3.6 kB into every call and about 36 kB out of it, messages
//! merged by id.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use futures::stream;
use mesh_agents::{AgentState, Tool, react_agent, tool};
use mesh_model::{
    ChatModel, ChatRequest, ChatStream, Delta, FinishReason, Message, ModelError, ModelInfo,
    ToolCallDelta,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    cases::{read, threads},
    measure::Once,
    storage::Checkpointers,
};

/// Bytes that go into a tool call: a hundred ids of 36 letters.
const QUERY: usize = 3600;

/// Calls the tool until it has done so as often as it should, then answers.
struct Caller {
    info: ModelInfo,
    rounds: usize,
    args: String,
    calls: AtomicUsize,
}

impl Caller {
    fn new(rounds: usize) -> Self {
        let query = "3f0c1b52-7b0e-4d7a-9a55-0c1d2e3f4a5b".repeat(QUERY / 36);
        let args = format!(r#"{{"query":"{query}"}}"#);
        let info = ModelInfo { provider: "bench".to_owned(), name: "caller".to_owned() };
        Self { info, rounds, args, calls: AtomicUsize::new(0) }
    }
}

#[async_trait]
impl ChatModel for Caller {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    async fn stream(&self, _: ChatRequest) -> Result<ChatStream, ModelError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let (said, finish_reason) = if call % (self.rounds + 1) < self.rounds {
            let delta = ToolCallDelta {
                index: 0,
                id: Some(format!("call-{call}")),
                name: Some("lookup".to_owned()),
                args: self.args.clone(),
            };
            (Delta::ToolCall(delta), FinishReason::ToolCalls)
        } else {
            (Delta::Text("answer".repeat(100)), FinishReason::Stop)
        };
        Ok(ChatStream::new(stream::iter([Ok(said), Ok(Delta::End { finish_reason })])))
    }
}

#[derive(Deserialize, JsonSchema)]
struct Lookup {
    query: String,
}

fn lookup() -> Arc<dyn Tool> {
    Arc::new(tool("lookup", "Looks it up.", |Lookup { query }: Lookup, _| async move {
        Ok(format!("result for query: {query}").repeat(10))
    }))
}

pub(crate) fn engine(rounds: usize, mut storage: Checkpointers) -> anyhow::Result<Once> {
    let agent = react_agent(Arc::new(Caller::new(rounds)), vec![lookup()]).build::<()>()?;
    let app = agent.app(());
    let mut thread = threads();
    Ok(Box::new(move || {
        let app = match storage() {
            Some(checkpointer) => app.clone().checkpointer(checkpointer),
            None => app.clone(),
        };
        let input = AgentState::update().messages(Message::user("hi?"));
        Box::pin(read(app.run(input).thread(&thread())))
    }))
}
