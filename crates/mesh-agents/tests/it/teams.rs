//! Teams of agents.

use std::sync::Arc;

use mesh_agents::{
    AgentState, AgentStateUpdate, BuildError, OutputMode, Tool, ToolCx, handoff, react_agent,
    supervisor, swarm, tool,
};
use mesh_graph::{App, Compiled, MemoryCheckpointer, NodeResult};
use mesh_model::testing::{ScriptedModel, ScriptedReply};
use mesh_model::{Kind, Message, Messages};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

fn model(replies: impl IntoIterator<Item = ScriptedReply>) -> Arc<ScriptedModel> {
    Arc::new(replies.into_iter().fold(ScriptedModel::new("demo"), ScriptedModel::then))
}

/// Hands over to these, by calls with the ids `to-<agent>`.
fn handing(agents: &[&str]) -> ScriptedReply {
    agents.iter().fold(ScriptedReply::default(), |reply, agent| {
        let (id, name) = (format!("to-{agent}"), format!("transfer_to_{agent}"));
        reply.and_tool_call(&id, &name, &json!({}))
    })
}

fn saying(name: &str, text: &str) -> Compiled<AgentState> {
    react_agent(model([ScriptedReply::text(text)]), vec![]).name(name).build().unwrap()
}

fn said(text: &str) -> AgentStateUpdate {
    AgentState::update().messages(Message::user(text))
}

fn app(team: Compiled<AgentState>) -> App<AgentState> {
    team.app(()).checkpointer(Arc::new(MemoryCheckpointer::default()))
}

/// `name: text` per message; calls and results by the ids of their calls.
fn talk(messages: &Messages) -> Vec<String> {
    messages
        .iter()
        .map(|message| {
            let name = message.name.as_deref().unwrap_or_default();
            match &message.kind {
                Kind::Assistant { tool_calls, .. } if !tool_calls.is_empty() => {
                    let calls: Vec<&str> = tool_calls.iter().map(|call| &*call.name).collect();
                    format!("{name} calls {}", calls.join(", "))
                }
                Kind::Tool { .. } => format!("[{name}] {}", message.text()),
                _ => format!("{name}: {}", message.text()),
            }
        })
        .collect()
}

#[tokio::test]
async fn t268_a_supervisor_hands_work_over_and_gets_it_back() {
    let lead = model([handing(&["ann"]), ScriptedReply::text("Ann says 3.")]);
    let team = supervisor::<()>(react_agent(lead.clone(), vec![]).prompt("You lead."))
        .member("ann", "Adds numbers.", saying("ann", "It is 3."))
        .build()
        .unwrap();
    let outcome = app(team).run(said("1 + 2?")).thread("t").invoke().await.unwrap();
    assert_eq!(
        talk(&outcome.state().messages),
        [
            ": 1 + 2?",
            "supervisor calls transfer_to_ann",
            "[transfer_to_ann] Transferred to ann.",
            "ann: It is 3.",
            "ann calls transfer_back_to_supervisor",
            "[transfer_back_to_supervisor] Transferred back to supervisor.",
            "supervisor: Ann says 3.",
        ]
    );
    let asked = lead.requests();
    assert_eq!(asked[0].tools[0].description, "Adds numbers.");
    assert_eq!(asked[1].messages.len(), 7, "the prompt, and all but the last message");
}

#[tokio::test]
async fn t269_two_hand_overs_at_once_run_both_agents_and_keep_all_results() {
    let note = tool("note", "Notes.", |_: Nothing, _: ToolCx| async { Ok("noted") });
    let both = handing(&["ann", "bob"]).and_tool_call("n", "note", &json!({}));
    let lead = model([both, ScriptedReply::text("Both agree.")]);
    let team = supervisor::<()>(react_agent(lead, vec![Arc::new(note)]))
        .member("ann", "Knows A.", saying("ann", "A"))
        .member("bob", "Knows B.", saying("bob", "B"))
        .without_hand_back()
        .build()
        .unwrap();
    let outcome = app(team).run(said("A and B?")).thread("t").invoke().await.unwrap();
    assert_eq!(
        talk(&outcome.state().messages),
        [
            ": A and B?",
            "supervisor calls transfer_to_ann, transfer_to_bob, note",
            "[transfer_to_ann] Transferred to ann.",
            "[transfer_to_bob] Transferred to bob.",
            "[note] noted",
            "ann: A",
            "bob: B",
            "supervisor: Both agree.",
        ]
    );
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

async fn look(_: Nothing, _: ToolCx) -> NodeResult<&'static str> {
    Ok("seen")
}

#[tokio::test]
async fn a_member_shows_its_last_message_or_everything() {
    let shown = async |output: OutputMode| {
        let worker = model([
            ScriptedReply::tool_call("l", "look", &json!({})),
            ScriptedReply::text("It is there."),
        ]);
        let tools: Vec<Arc<dyn Tool>> = vec![Arc::new(tool("look", "Looks.", look))];
        let worker = react_agent(worker, tools).name("ann").build().unwrap();
        let lead = model([handing(&["ann"]), ScriptedReply::text("Done.")]);
        let team = supervisor::<()>(react_agent(lead, vec![]).name("boss"))
            .member("ann", "Looks.", worker)
            .output(output)
            .without_hand_back()
            .build()
            .unwrap();
        let outcome = app(team).run(said("Look!")).thread("t").invoke().await.unwrap();
        talk(&outcome.state().messages)[3..].to_vec()
    };
    assert_eq!(shown(OutputMode::LastMessage).await, ["ann: It is there.", "boss: Done."]);
    assert_eq!(
        shown(OutputMode::FullHistory).await,
        ["ann calls look", "[look] seen", "ann: It is there.", "boss: Done."]
    );
}

#[tokio::test]
async fn t270_a_swarm_goes_on_with_the_agent_that_talked_last() {
    let alice = model([handing(&["bob"])]);
    let bob = model([ScriptedReply::text("Bob here."), ScriptedReply::text("Still Bob.")]);
    let hands = |to: &str| vec![handoff(to, "Hands over.")];
    let team = swarm::<()>("alice")
        .member("alice", react_agent(alice.clone(), hands("bob")).name("alice").build().unwrap())
        .member("bob", react_agent(bob, hands("alice")).name("bob").build().unwrap())
        .build()
        .unwrap();
    let app = app(team);
    let outcome = app.run(said("I want Bob.")).thread("t").invoke().await.unwrap();
    assert_eq!(outcome.state().active_agent.as_deref(), Some("bob"));
    let outcome = app.run(said("Who is it?")).thread("t").invoke().await.unwrap();
    assert_eq!(
        talk(&outcome.state().messages),
        [
            ": I want Bob.",
            "alice calls transfer_to_bob",
            "[transfer_to_bob] Transferred to bob.",
            "bob: Bob here.",
            ": Who is it?",
            "bob: Still Bob.",
        ]
    );
    assert_eq!(alice.calls(), 1, "the second turn began with Bob");
    assert_eq!(outcome.state().active_agent.as_deref(), Some("bob"));
}

#[test]
fn a_swarm_begins_with_one_of_its_members() {
    let team = swarm::<()>("carol").member("ann", saying("ann", "A")).build();
    assert!(matches!(team.err(), Some(BuildError::NoMember { agent }) if agent == "carol"));
}
