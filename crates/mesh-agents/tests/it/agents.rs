//! Agents: a model in a loop with its tools.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use mesh_agents::{
    AgentBuilder, AgentState, AgentStateUpdate, Approval, Decision, Hook, Hooked, Jump, MORE_STEPS,
    Middleware, ModelRequest, NextModel, NextTool, ResponseStrategy, Tool, ToolAnswer, ToolCx,
    ToolRequest, create_agent, react_agent, tool,
};
use mesh_graph::{
    App, Ctx, Error, Event, MemoryCheckpointer, Mode, NodeResult, Outcome, Resume, Run, Status,
    View,
};
use mesh_model::testing::{ScriptedModel, ScriptedReply};
use mesh_model::{FinishReason, Kind, Message, Messages, Reply, Role, ToolCall, ToolStatus};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value as Json, json};

#[derive(Deserialize, JsonSchema)]
struct Word {
    word: String,
}

fn echo() -> Arc<dyn Tool> {
    Arc::new(tool("echo", "Repeats.", |Word { word }: Word, _| async move { Ok(word) }))
}

fn model(replies: impl IntoIterator<Item = ScriptedReply>) -> Arc<ScriptedModel> {
    Arc::new(replies.into_iter().fold(ScriptedModel::new("demo"), ScriptedModel::then))
}

/// Calls `echo` with each of these words; the ids are the words.
fn calling(words: &[&str]) -> ScriptedReply {
    words.iter().fold(ScriptedReply::default(), |reply, word| {
        reply.and_tool_call(word, "echo", &json!({ "word": word }))
    })
}

fn said(text: &str) -> AgentStateUpdate {
    AgentState::update().messages(Message::user(text))
}

fn app(agent: AgentBuilder) -> App<AgentState> {
    let app = agent.build::<()>().unwrap().app(());
    app.checkpointer(Arc::new(MemoryCheckpointer::default()))
}

/// `user: hi`, `ai: calls a b`, `tool(a): …` per message.
fn talk(messages: &Messages) -> Vec<String> {
    messages
        .iter()
        .map(|message| match &message.kind {
            Kind::System => format!("system: {}", message.text()),
            Kind::User => format!("user: {}", message.text()),
            Kind::Assistant { tool_calls, .. } if !tool_calls.is_empty() => {
                let ids: Vec<&str> = tool_calls.iter().map(|call| call.id.as_str()).collect();
                format!("ai: calls {}", ids.join(" "))
            }
            Kind::Assistant { .. } => format!("ai: {}", message.text()),
            Kind::Tool { tool_call_id, status: ToolStatus::Success, .. } => {
                format!("tool({tool_call_id}): {}", message.text())
            }
            Kind::Tool { tool_call_id, .. } => {
                format!("failed({tool_call_id}): {}", message.text())
            }
        })
        .collect()
}

/// The nodes in the order in which their updates were told, and the outcome.
async fn nodes(run: Run<AgentState>) -> (Vec<String>, Outcome<AgentState>) {
    let mut run = run.stream([Mode::Updates]).start().unwrap();
    let mut nodes = Vec::new();
    while let Some(event) = run.next().await {
        nodes.extend(event.node().map(str::to_owned));
    }
    (nodes, run.finish().await.unwrap())
}

#[tokio::test]
async fn t263_a_reply_with_two_calls_runs_two_tasks_of_tools() {
    let model = model([calling(&["a", "b"]), ScriptedReply::text("done")]);
    let agent = react_agent(model.clone(), vec![echo()]).prompt("Be brief.");
    let (nodes, outcome) = nodes(app(agent).run(said("hi")).thread("t")).await;
    assert_eq!(nodes, ["agent", "tools", "tools", "agent"]);
    assert_eq!(
        talk(&outcome.state().messages),
        ["user: hi", "ai: calls a b", "tool(a): a", "tool(b): b", "ai: done"]
    );
    let asked = model.requests();
    assert_eq!(asked[0].messages[0].text(), "Be brief.");
    assert_eq!(asked[0].messages[0].role(), Role::System);
    assert_eq!(asked[1].messages.len(), 5, "the prompt is not kept, and not repeated");
    assert_eq!(asked[0].tools[0].name, "echo");
    assert!(asked[0].reply_id.is_some() && asked[0].reply_id != asked[1].reply_id);
}

#[tokio::test]
async fn t264_endless_calls_end_with_a_message_for_every_limit() {
    for limit in 1..=8 {
        let endless = ScriptedModel::answering("endless", |_| calling(&["again"]));
        let agent = react_agent(Arc::new(endless), vec![echo()]);
        let run = app(agent).run(said("hi")).thread("t").recursion_limit(limit);
        let outcome = run.invoke().await.unwrap();
        let state = outcome.state();
        let last = state.messages.last().unwrap();
        assert_eq!(last.text(), MORE_STEPS, "limit {limit}");
        assert!(last.tool_calls().is_empty());
        let rounds = state.messages.iter().filter(|m| m.role() == Role::Tool).count();
        assert_eq!(rounds, (limit as usize - 1) / 2, "all the steps that help are used");
    }
    assert!(MORE_STEPS.contains("need more steps"));
}

#[tokio::test]
async fn t265_a_call_without_a_result_is_refused_or_repaired() {
    let dangling = || {
        let call =
            ToolCall { id: "lost".into(), name: "echo".into(), args: serde_json::Map::new() };
        let kind =
            Kind::Assistant { tool_calls: vec![call], invalid_tool_calls: vec![], usage: None };
        let messages = vec![Message::new(kind, ""), Message::user("go on")];
        AgentState::update().messages(messages)
    };
    let agent = || react_agent(model([ScriptedReply::text("fine")]), vec![echo()]);
    let error = app(agent()).run(dangling()).thread("t").invoke().await.unwrap_err();
    assert!(error.to_string().contains("tool calls without a result: lost"), "{error}");
    let Error::Task(task) = &error else { panic!("{error:?}") };
    assert_eq!(task.failure.code.as_deref(), Some("invalid_history"));

    let app = app(agent().repair_history());
    let outcome = app.run(dangling()).thread("t").invoke().await.unwrap();
    let expected = [
        "ai: calls lost",
        "failed(lost): The call was interrupted and has no result.",
        "user: go on",
        "ai: fine",
    ];
    assert_eq!(talk(&outcome.state().messages), expected);
}

#[tokio::test]
async fn t266_a_rejected_call_is_answered_by_the_reason_and_the_loop_ends() {
    let model = model([calling(&["a"]), ScriptedReply::text("as you wish")]);
    let agent = create_agent(model, vec![echo()]).middleware(Approval::new().tool_with(
        "echo",
        [Decision::Approve, Decision::Reject],
        Some("Says it aloud."),
    ));
    let app = app(agent);
    let outcome = app.run(said("hi")).thread("t").invoke().await.unwrap();
    assert_eq!(outcome.status, Status::Interrupted);
    assert_eq!(
        outcome.interrupts[0].value,
        json!({
            "action_requests":
                [{"name": "echo", "args": {"word": "a"}, "description": "Says it aloud."}],
            "review_configs":
                [{"action_name": "echo", "allowed_decisions": ["approve", "reject"]}],
        })
    );
    for wrong in [
        json!({"decisions": []}),
        json!({"decisions": [{"type": "respond", "message": "not allowed here"}]}),
        json!({"decisions": [{"type": "approve"}, {"type": "approve"}]}),
    ] {
        let error = app.answer(Resume::Only(wrong)).thread("t").invoke().await.unwrap_err();
        assert!(matches!(error, Error::InvalidAnswer { .. }), "{error}");
    }
    let rejected = json!({"decisions": [{"type": "reject", "message": "too loud"}]});
    let outcome = app.answer(Resume::Only(rejected)).thread("t").invoke().await.unwrap();
    assert_eq!(outcome.status, Status::Done);
    let expected = ["user: hi", "ai: calls a", "failed(a): too loud", "ai: as you wish"];
    assert_eq!(talk(&outcome.state().messages), expected);
}

#[tokio::test]
async fn every_call_of_a_reply_is_decided_in_one_question() {
    let model = model([calling(&["a", "b", "c"]), ScriptedReply::text("done")]);
    let app = app(create_agent(model, vec![echo()]).middleware(Approval::new().tool("echo")));
    app.run(said("hi")).thread("t").invoke().await.unwrap();
    let decisions = json!({"decisions": [
        {"type": "edit", "edited_action": {"name": "echo", "args": {"word": "A"}}},
        {"type": "respond", "message": "nobody"},
        {"type": "approve"},
    ]});
    let outcome = app.answer(Resume::Only(decisions)).thread("t").invoke().await.unwrap();
    let expected =
        ["user: hi", "ai: calls a b c", "tool(b): nobody", "tool(a): A", "tool(c): c", "ai: done"];
    assert_eq!(talk(&outcome.state().messages), expected);
}

/// Notes what is called, and when.
struct Noting(&'static str, Arc<Mutex<Vec<String>>>);

impl Noting {
    fn note(&self, what: &str) {
        self.1.lock().unwrap().push(format!("{}.{what}", self.0));
    }
}

#[async_trait]
impl Middleware for Noting {
    fn name(&self) -> &'static str {
        self.0
    }

    fn hooks(&self) -> &[Hook] {
        &[Hook::BeforeAgent, Hook::BeforeModel, Hook::AfterModel, Hook::AfterAgent]
    }

    async fn before_agent(&self, _: &View<AgentState>, _: &Ctx) -> NodeResult<Hooked> {
        self.note("before_agent");
        Ok(Hooked::none())
    }

    async fn before_model(&self, _: &View<AgentState>, _: &Ctx) -> NodeResult<Hooked> {
        self.note("before_model");
        Ok(Hooked::none())
    }

    async fn after_model(&self, _: &View<AgentState>, _: &Ctx) -> NodeResult<Hooked> {
        self.note("after_model");
        Ok(Hooked::none())
    }

    async fn after_agent(&self, _: &View<AgentState>, _: &Ctx) -> NodeResult<Hooked> {
        self.note("after_agent");
        Ok(Hooked::none())
    }

    async fn wrap_model_call(
        &self,
        request: ModelRequest,
        next: NextModel<'_>,
    ) -> NodeResult<Reply> {
        self.note("model(");
        let reply = next.call(request).await;
        self.note("model)");
        reply
    }

    async fn wrap_tool_call(
        &self,
        request: ToolRequest,
        next: NextTool<'_>,
    ) -> NodeResult<ToolAnswer> {
        self.note("tool(");
        let answer = next.call(request).await;
        self.note("tool)");
        answer
    }
}

#[tokio::test]
async fn t267_hooks_before_run_in_order_after_in_reverse_and_wraps_are_nested() {
    let trace = Arc::new(Mutex::new(Vec::new()));
    let model = model([calling(&["a"]), ScriptedReply::text("done")]);
    let noting = |name| Noting(name, Arc::clone(&trace));
    let agent = create_agent(model, vec![echo()])
        .middleware(noting("1"))
        .middleware(noting("2"))
        .middleware(noting("3"));
    let (nodes, _) = nodes(app(agent).run(said("hi")).thread("t")).await;
    let three = |hook: &str, order: [u8; 3]| order.map(|name| format!("{name}.{hook}")).to_vec();
    let wrapped = |what: &str| {
        [three(&format!("{what}("), [1, 2, 3]), three(&format!("{what})"), [3, 2, 1])].concat()
    };
    let before = three("before_model", [1, 2, 3]);
    let after = three("after_model", [3, 2, 1]);
    let expected = [
        three("before_agent", [1, 2, 3]),
        before.clone(),
        wrapped("model"),
        after.clone(),
        wrapped("tool"),
        before,
        wrapped("model"),
        after,
        three("after_agent", [3, 2, 1]),
    ];
    assert_eq!(*trace.lock().unwrap(), expected.concat());
    let hooks: Vec<&String> = nodes.iter().filter(|node| node.contains('.')).collect();
    let noted = expected.concat();
    let noted: Vec<&String> = noted.iter().filter(|note| !note.contains(['(', ')'])).collect();
    assert_eq!(hooks, noted, "every hook is a node");
}

/// Jumps once from one hook.
struct Jumping(Hook, Jump, &'static str);

impl Jumping {
    fn at(&self, hook: Hook, state: &View<AgentState>) -> Hooked {
        let note = format!("jumped from {}", hook.name());
        let done = state.messages.iter().any(|message| message.text() == note);
        if hook != self.0 || done {
            return Hooked::none();
        }
        Hooked::from(AgentState::update().messages(Message::user(note))).jump(self.1)
    }
}

#[async_trait]
impl Middleware for Jumping {
    fn name(&self) -> &'static str {
        self.2
    }

    fn hooks(&self) -> &[Hook] {
        std::slice::from_ref(&self.0)
    }

    async fn before_agent(&self, state: &View<AgentState>, _: &Ctx) -> NodeResult<Hooked> {
        Ok(self.at(Hook::BeforeAgent, state))
    }

    async fn before_model(&self, state: &View<AgentState>, _: &Ctx) -> NodeResult<Hooked> {
        Ok(self.at(Hook::BeforeModel, state))
    }

    async fn after_model(&self, state: &View<AgentState>, _: &Ctx) -> NodeResult<Hooked> {
        Ok(self.at(Hook::AfterModel, state))
    }
}

#[tokio::test]
async fn a_hook_may_jump_to_the_end_or_back_to_the_model() {
    let run = async |jump: Jumping, replies: Vec<ScriptedReply>| {
        let agent = create_agent(model(replies), vec![echo()]).middleware(jump);
        let (nodes, outcome) = nodes(app(agent).run(said("hi")).thread("t")).await;
        (nodes, talk(&outcome.state().messages).last().cloned())
    };
    let (nodes, last) = run(Jumping(Hook::BeforeModel, Jump::End, "j"), vec![]).await;
    assert_eq!(nodes, ["j.before_model"]);
    assert_eq!(last.as_deref(), Some("user: jumped from before_model"));

    let (nodes, last) = run(
        Jumping(Hook::AfterModel, Jump::Model, "j"),
        vec![ScriptedReply::text("one"), ScriptedReply::text("two")],
    )
    .await;
    assert_eq!(nodes, ["model", "j.after_model", "model", "j.after_model"]);
    assert_eq!(last.as_deref(), Some("ai: two"));

    // Jumping back to itself is over when the hook does not jump again.
    let (nodes, last) =
        run(Jumping(Hook::BeforeModel, Jump::Model, "j"), vec![ScriptedReply::text("one")]).await;
    assert_eq!(nodes, ["j.before_model", "j.before_model", "model"]);
    assert_eq!(last.as_deref(), Some("ai: one"));
}

#[tokio::test]
async fn a_result_that_is_returned_directly_ends_the_loop() {
    let direct = tool("echo", "Repeats.", |Word { word }: Word, _: ToolCx| async move { Ok(word) })
        .return_direct();
    let model = model([calling(&["a"])]);
    let app = app(react_agent(model, vec![Arc::new(direct)]));
    let run = app.run(said("hi")).thread("t").recursion_limit(2);
    let (nodes, outcome) = nodes(run).await;
    assert_eq!(nodes, ["agent", "tools"]);
    assert_eq!(talk(&outcome.state().messages).last().map(String::as_str), Some("tool(a): a"));
}

#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "its schema is what counts")]
struct Verdict {
    good: bool,
}

#[tokio::test]
async fn an_answer_in_a_form_is_checked_and_sent_back_until_it_fits() {
    let replies = [
        calling(&["a"]),
        ScriptedReply::tool_call("v1", "verdict", &json!({"good": "very"})),
        ScriptedReply::tool_call("v2", "verdict", &json!({"good": true})),
        ScriptedReply::text("a turn without a verdict"),
    ];
    let agent = create_agent(model(replies), vec![echo()])
        .response::<Verdict>("verdict", ResponseStrategy::Auto);
    let app = app(agent);
    let (nodes, outcome) = nodes(app.run(said("hi")).thread("t")).await;
    assert_eq!(nodes, ["model", "tools", "model", "model"]);
    assert_eq!(*outcome.state().structured_response, Some(json!({"good": true})));
    let told = talk(&outcome.state().messages);
    assert!(told[3].starts_with("ai: calls v1"), "{told:?}");
    assert!(told[4].starts_with("failed(v1): the answer does not fit `verdict`"), "{told:?}");
    assert_eq!(told.last().map(String::as_str), Some("tool(v2): Answer taken."));
    let outcome = app.run(said("and now?")).thread("t").invoke().await.unwrap();
    assert_eq!(*outcome.state().structured_response, None, "it was another turn's");
}

#[tokio::test]
async fn a_provider_that_is_asked_for_a_form_has_to_keep_it() {
    let agent = |text: &str| {
        let model = model([ScriptedReply::text(text)]);
        let agent = create_agent(model.clone(), vec![])
            .response::<Verdict>("verdict", ResponseStrategy::Auto);
        (model, app(agent))
    };
    let (model, good) = agent("{\"good\":false}");
    let outcome = good.run(said("hi")).thread("t").invoke().await.unwrap();
    assert_eq!(*outcome.state().structured_response, Some(json!({"good": false})));
    assert!(model.requests()[0].response_schema.is_some());
    assert!(model.requests()[0].tools.is_empty());
    let (_, bad) = agent("rather good");
    let error = bad.run(said("hi")).thread("t").invoke().await.unwrap_err();
    assert!(error.to_string().contains("the answer does not fit `verdict`"), "{error}");
}

/// Asks once more when a reply was cut.
struct Longer;

#[async_trait]
impl Middleware for Longer {
    fn name(&self) -> &'static str {
        "longer"
    }

    async fn wrap_model_call(
        &self,
        request: ModelRequest,
        next: NextModel<'_>,
    ) -> NodeResult<Reply> {
        let reply = next.call(request.clone()).await?;
        if reply.finish_reason == FinishReason::Length {
            next.call(request).await
        } else {
            Ok(reply)
        }
    }
}

#[tokio::test]
async fn tokens_of_a_reply_are_told_under_the_id_of_its_message() {
    let model = model([
        ScriptedReply::text("cut").finish(FinishReason::Length),
        ScriptedReply::text("all of it"),
    ]);
    let app = app(create_agent(model, vec![]).middleware(Longer).name("ann"));
    let mut run = app.run(said("hi")).thread("t").stream([Mode::Messages]).start().unwrap();
    let mut told: Vec<(String, String)> = Vec::new();
    let add = |told: &mut Vec<(String, String)>, event: &Event| {
        let chunk: Json = event.data()[0].clone();
        let (id, text) = (chunk["id"].as_str().unwrap(), chunk["content"].as_str().unwrap());
        match told.iter_mut().find(|(known, _)| known == id) {
            Some((_, whole)) => whole.push_str(text),
            None => told.push((id.to_owned(), text.to_owned())),
        }
    };
    while let Some(event) = run.next().await {
        add(&mut told, &event);
    }
    let outcome = run.finish().await.unwrap();
    let state = outcome.state();
    let last = state.messages.last().unwrap();
    assert_eq!(last.name.as_deref(), Some("ann"));
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0].1, "cut");
    assert_eq!(told[1], (last.id.clone().unwrap(), "all of it".to_owned()));
    assert_eq!(told[1].0, format!("{}-r1", told[0].0));
}
