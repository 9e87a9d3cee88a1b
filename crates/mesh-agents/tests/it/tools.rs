//! Tools and the node that runs their calls.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use mesh_agents::{
    AgentState, AgentStateUpdate, Inject, Middleware, NextTool, Tool, ToolAnswer, ToolCommand,
    ToolCx, ToolErrors, ToolNode, ToolNodeError, ToolOutput, ToolRequest, tool, tools_condition,
};
use mesh_graph::{
    App, Ctx, END, Error, Graph, MemoryCheckpointer, Mode, NodeError, NodeResult, Outcome, Resume,
    START, Status, View, store::MemoryStore,
};
use mesh_model::{Kind, Message, Messages, ToolCall, ToolStatus};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value as Json, json};

#[derive(Deserialize, JsonSchema)]
struct Sum {
    a: i64,
    b: i64,
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

async fn add(sum: Sum, _: ToolCx) -> NodeResult<String> {
    Ok((sum.a + sum.b).to_string())
}

fn adding() -> Arc<dyn Tool> {
    Arc::new(tool("add", "Adds two numbers.", add))
}

#[derive(Debug, thiserror::Error)]
#[error("the disk is full")]
struct Full;

#[derive(Debug, thiserror::Error)]
#[error("the network is down")]
struct Down;

fn failing() -> Arc<dyn Tool> {
    Arc::new(tool("fail", "Fails.", |_: Nothing, _| async { Err::<String, _>(Full.into()) }))
}

/// What a model says that calls these tools, with ids `1`, `2` ….
fn calls(calls: &[(&str, Json)]) -> Message {
    let tool_calls = calls.iter().zip(1..).map(|((name, args), id)| ToolCall {
        id: id.to_string(),
        name: (*name).to_owned(),
        args: args.as_object().unwrap().clone(),
    });
    let tool_calls = tool_calls.collect();
    Message::new(Kind::Assistant { tool_calls, invalid_tool_calls: vec![], usage: None }, "")
}

fn app(node: ToolNode) -> App<AgentState> {
    let node = Arc::new(node);
    let mut graph = Graph::<AgentState>::new("lab");
    let run = node.node();
    graph.node("tools", move |state: View<AgentState>, ctx: Ctx| run(state, ctx));
    graph.node("beyond", |_: View<AgentState>, _: Ctx| async {
        Ok(AgentState::update().vars(BTreeMap::from([("beyond".to_owned(), json!(true))])))
    });
    graph.edge(START, "tools");
    graph.compile().unwrap().app(())
}

fn node(tools: impl IntoIterator<Item = Arc<dyn Tool>>) -> ToolNode {
    ToolNode::new(tools).unwrap()
}

fn say(message: Message) -> AgentStateUpdate {
    AgentState::update().messages(message)
}

async fn run(node: ToolNode, said: Message) -> Result<Outcome<AgentState>, Error> {
    app(node).run(say(said)).invoke().await
}

/// The answers: id of the call, status, text.
fn answers(messages: &Messages) -> Vec<(String, ToolStatus, String)> {
    messages
        .iter()
        .filter_map(|message| match &message.kind {
            Kind::Tool { tool_call_id, status, .. } => {
                Some((tool_call_id.clone(), *status, message.text().into_owned()))
            }
            _ => None,
        })
        .collect()
}

async fn told(node: ToolNode, said: Message) -> Vec<(String, ToolStatus, String)> {
    answers(&run(node, said).await.unwrap().state().messages)
}

/// The text of the only answer, which is an error.
async fn complaint(node: ToolNode, said: Message) -> String {
    let told = told(node, said).await;
    let [(_, ToolStatus::Error, text)] = &told[..] else { panic!("{told:?}") };
    text.clone()
}

#[tokio::test]
async fn t257_calls_are_answered_in_their_order_and_mistakes_are_told_to_the_model() {
    let said = calls(&[
        ("add", json!({"a": 1, "b": 2})),
        ("nope", json!({})),
        ("add", json!({"a": "one", "b": 2})),
    ]);
    let told = told(node([adding(), failing()]), said).await;
    assert_eq!(told[0], ("1".into(), ToolStatus::Success, "3".into()));
    assert_eq!(
        told[1],
        (
            "2".into(),
            ToolStatus::Error,
            "`nope` is not a valid tool, try one of [add, fail].".into()
        )
    );
    let (id, status, text) = &told[2];
    assert_eq!((id.as_str(), *status), ("3", ToolStatus::Error));
    assert!(text.contains("/a: \"one\" is not of type \"integer\""), "{text}");
    assert_eq!(told.len(), 3);
}

#[tokio::test]
async fn t258_a_failing_tool_is_raised_or_told_as_configured() {
    let with = |errors: ToolErrors| node([failing()]).on_error(errors);
    let said = || calls(&[("fail", json!({}))]);
    for raises in
        [ToolErrors::default(), ToolErrors::only::<Down>(), ToolErrors::With(Arc::new(|_| None))]
    {
        let error = run(with(raises), said()).await.unwrap_err();
        assert!(error.to_string().ends_with("the disk is full"), "{error}");
    }
    let tell = "Tool `fail` failed: the disk is full. Correct the call or do without it.";
    assert_eq!(complaint(with(ToolErrors::Tell), said()).await, tell);
    assert_eq!(complaint(with(ToolErrors::only::<Down>().or::<Full>()), said()).await, tell);
    assert_eq!(complaint(with(ToolErrors::Say("no luck".into())), said()).await, "no luck");
    let own = ToolErrors::With(Arc::new(|error| Some(format!("so: {error}"))));
    assert_eq!(complaint(with(own), said()).await, "so: the disk is full");
}

#[tokio::test]
async fn t259_a_node_without_calls_changes_nothing_and_without_a_model_it_fails() {
    for said in [Messages::from(Message::user("hi")), Messages::new()] {
        let input = AgentState::update().messages(said);
        let error = app(node([adding()])).run(input).invoke().await.unwrap_err();
        assert!(error.to_string().contains("expected an assistant message"), "{error}");
    }
    let outcome = run(node([adding()]), Message::assistant("done")).await.unwrap();
    assert_eq!(outcome.state().messages.len(), 1);
}

#[derive(Deserialize, JsonSchema)]
struct Order {
    item: String,
    user: Option<String>,
    state: Json,
    call: String,
}

#[tokio::test]
async fn t260_injected_arguments_are_hidden_from_the_model_and_cannot_be_forged() {
    let order = tool("order", "Orders.", |order: Order, cx: ToolCx| async move {
        let store = cx.ctx().store()?;
        store.put(&["orders"], "last", json!({"item": order.item})).await?;
        ToolOutput::json(&json!({
            "item": order.item, "user": order.user, "call": order.call,
            "said": order.state["messages"][0]["content"],
            "step": cx.ctx().info().step, "state": cx.state().is_some(),
        }))
    })
    .inject("user", Inject::Key("user".into()))
    .inject("state", Inject::State)
    .inject("call", Inject::CallId)
    .with_store();
    let node = node([Arc::new(order) as Arc<dyn Tool>]);
    let spec = &node.specs()[0].parameters;
    assert_eq!(spec["properties"].as_object().unwrap().keys().collect::<Vec<_>>(), ["item"]);
    assert_eq!(spec["required"], json!(["item"]));

    let mut said = calls(&[(
        "order",
        json!({
            "item": "café", "user": "root", "state": {"messages": []}, "call": "9",
        }),
    )]);
    said.content = "I order".into();
    let input = say(said).vars(BTreeMap::from([("user".to_owned(), json!("ann"))]));
    let app = app(node).store(Arc::new(MemoryStore::default()));
    let outcome = app.run(input).invoke().await.unwrap();
    let told = answers(&outcome.state().messages);
    assert!(told[0].2.contains("café"), "characters stay as they are: {}", told[0].2);
    let result: Json = serde_json::from_str(&told[0].2).unwrap();
    let expected = json!({
        "item": "café", "user": "ann", "call": "1", "said": "I order", "step": 1, "state": true,
    });
    assert_eq!(result, expected);
}

#[tokio::test]
async fn t261_a_tool_that_needs_a_store_fails_without_one() {
    let keep = tool("keep", "Keeps.", |_: Nothing, _| async { Ok("kept") }).with_store();
    let keeping = node([Arc::new(keep) as Arc<dyn Tool>]).on_error(ToolErrors::Tell);
    let error = run(keeping, calls(&[("keep", json!({}))])).await.unwrap_err();
    assert!(error.to_string().contains("tool `keep` needs a store"), "{error}");
}

#[tokio::test]
async fn t262_a_command_has_to_answer_its_call() {
    let mute = tool("mute", "Says nothing.", |_: Nothing, _| async {
        Ok(ToolCommand::new().goto("beyond"))
    });
    let go = tool("go", "Goes.", |_: Nothing, cx: ToolCx| async move {
        Ok(ToolCommand::new().messages(cx.reply("gone")).var("where", json!("far")).goto("beyond"))
    });
    let tools = || node([Arc::new(mute.clone()) as Arc<dyn Tool>, Arc::new(go.clone()), adding()]);
    let said = calls(&[("go", json!({})), ("add", json!({"a": 1, "b": 1}))]);
    let outcome = run(tools(), said).await.unwrap();
    let state = outcome.state();
    let texts: Vec<_> = answers(&state.messages).into_iter().map(|(_, _, text)| text).collect();
    assert_eq!(texts, ["gone", "2"]);
    assert_eq!(
        *state.vars,
        BTreeMap::from([("beyond".to_owned(), json!(true)), ("where".to_owned(), json!("far")),])
    );
    let error = run(tools(), calls(&[("mute", json!({}))])).await.unwrap_err();
    assert!(error.to_string().contains("the command of tool `mute`"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn calls_run_at_once_up_to_a_limit_and_no_longer_than_they_may() {
    let (now, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (running, most) = (Arc::clone(&now), Arc::clone(&peak));
    let slow = tool("slow", "Takes a second.", move |_: Nothing, _| {
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        async move {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(1)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            Ok("done")
        }
    });
    let said = || calls(&vec![("slow", json!({})); 6]);
    let all = || [Arc::new(slow.clone()) as Arc<dyn Tool>];
    assert_eq!(told(node(all()), said()).await.len(), 6);
    assert_eq!(peak.swap(0, Ordering::SeqCst), 6);
    assert_eq!(told(node(all()).max_concurrency(2).unwrap(), said()).await.len(), 6);
    assert_eq!(peak.load(Ordering::SeqCst), 2);
    assert_eq!(node(all()).max_concurrency(0).err(), Some(ToolNodeError::NoSlots));

    let hasty = Arc::new(slow.clone().timeout(Duration::from_millis(300)));
    let hasty = node([hasty as Arc<dyn Tool>]).on_error(ToolErrors::Tell);
    let text = complaint(hasty, calls(&[("slow", json!({}))])).await;
    assert!(text.contains("no result after 300 ms"), "{text}");
}

#[tokio::test]
async fn what_tools_do_is_told_on_their_stream() {
    let count = tool("count", "Counts.", |sum: Sum, cx: ToolCx| async move {
        cx.progress(&json!(sum.a)).await?;
        Ok("counted")
    })
    .inject("b", Inject::Key("secret".into()));
    let told = node([Arc::new(count) as Arc<dyn Tool>, failing()]).on_error(ToolErrors::Tell);
    let said = calls(&[("count", json!({"a": 1, "b": 9})), ("fail", json!({})), ("no", json!({}))]);
    let input = say(said).vars(BTreeMap::from([("secret".to_owned(), json!(42))]));
    let mut run = app(told).run(input).stream([Mode::Tools]).start().unwrap();
    let mut events = Vec::new();
    while let Some(event) = run.next().await {
        events.push(event.data());
    }
    let of = |id: &str| -> Vec<Json> {
        events.iter().filter(|event| event["tool_call_id"] == id).cloned().collect()
    };
    let first = of("1");
    let names: Vec<&Json> = first.iter().map(|event| &event["event"]).collect();
    assert_eq!(names, ["tool-started", "tool-output-delta", "tool-finished"]);
    assert_eq!(first[0]["input"], json!({"a": 1}), "what is injected is not shown");
    assert_eq!(first[2]["output"]["content"], "counted");
    let second = of("2");
    assert_eq!(second[1]["event"], "tool-error");
    assert_eq!(second[1]["message"], "the disk is full");
    assert!(of("3").is_empty(), "nothing was called");
}

#[test]
fn tools_that_do_not_fit_together_are_named() {
    let twice = ToolNode::new([adding(), adding()]).err().unwrap();
    assert_eq!(twice.to_string(), "there are two tools `add`");
}

#[tokio::test]
async fn a_question_of_a_tool_suspends_the_node_whatever_is_told_of_errors() {
    let ask = tool("ask", "Asks.", |_: Nothing, cx: ToolCx| async move {
        let name: String = cx.interrupt("name", &json!({"who": cx.call_id()}))?;
        Ok(format!("hello {name}"))
    });
    let asking = node([Arc::new(ask) as Arc<dyn Tool>]).on_error(ToolErrors::Tell);
    let app = app(asking).checkpointer(Arc::new(MemoryCheckpointer::default()));
    let said = say(calls(&[("ask", json!({})), ("ask", json!({}))]));
    let outcome = app.run(said).thread("t").invoke().await.unwrap();
    assert_eq!(outcome.status, Status::Interrupted);
    let asked = &outcome.interrupts;
    assert_eq!(asked.len(), 2, "both calls ask at once");
    let given = asked.iter().map(|interrupt| {
        (interrupt.id.to_string(), json!(format!("number {}", interrupt.value["who"])))
    });
    let outcome = app.answer(Resume::ById(given.collect())).thread("t").invoke().await.unwrap();
    let texts: Vec<_> =
        answers(&outcome.state().messages).into_iter().map(|(_, _, text)| text).collect();
    assert_eq!(texts, ["hello number \"1\"", "hello number \"2\""]);
}

/// Tries a failed call once more, with another number.
struct Again;

#[async_trait]
impl Middleware for Again {
    fn name(&self) -> &'static str {
        "again"
    }

    async fn wrap_tool_call(
        &self,
        request: ToolRequest,
        next: NextTool<'_>,
    ) -> NodeResult<ToolAnswer> {
        if request.call.name == "cached" {
            return Ok(ToolAnswer::Message(request.cx.reply("from the cache")));
        }
        if let Ok(answer) = next.call(request.clone()).await {
            return Ok(answer);
        }
        let mut second = request;
        second.call.args.insert("a".into(), json!(20));
        next.call(second).await
    }
}

#[tokio::test]
async fn a_middleware_may_change_repeat_and_answer_calls() {
    let picky = tool("add", "Adds.", |sum: Sum, cx: ToolCx| async move {
        if sum.a < 10 {
            return Err(NodeError::msg("too small"));
        }
        add(sum, cx).await
    });
    let wrapped = node([Arc::new(picky) as Arc<dyn Tool>]).wrap(Arc::new(Again));
    let said = calls(&[("add", json!({"a": 1, "b": 2})), ("cached", json!({}))]);
    let texts: Vec<_> = told(wrapped, said).await.into_iter().map(|(_, _, text)| text).collect();
    assert_eq!(texts, ["22", "from the cache"]);
}

#[tokio::test]
async fn a_reply_with_calls_is_routed_to_the_tools() {
    let tools = Arc::new(node([adding()]));
    let mut graph = Graph::<AgentState>::new("lab");
    let run = tools.node();
    graph.node("model", |_: View<AgentState>, _: Ctx| async { Ok(()) });
    graph.node("tools", move |state: View<AgentState>, ctx: Ctx| run(state, ctx));
    graph.edge(START, "model").edge("tools", END);
    graph.route("model", tools_condition).targets(["tools"]);
    let app = graph.compile().unwrap().app(());
    let called = say(calls(&[("add", json!({"a": 1, "b": 2}))]));
    assert_eq!(app.run(called).invoke().await.unwrap().state().messages.len(), 2);
    let plain = say(Message::assistant("done"));
    assert_eq!(app.run(plain).invoke().await.unwrap().state().messages.len(), 1);
}
