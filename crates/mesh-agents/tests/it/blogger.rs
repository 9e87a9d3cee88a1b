//! The blog graph, end to end.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use mesh_agents::{
    blogger::{self, Blogger, Models, Request, Role, state::Blog},
    source::{
        Collected, Collection, Document, FetchedBy, MemoryShelf, Search, SearchHit, SourceError,
        address_of,
    },
};
use mesh_graph::{App, Error, Event, MemoryCheckpointer, Mode, Resume, Status};
use mesh_model::{
    ChatRequest,
    testing::{ScriptedModel, ScriptedReply},
};
use serde_json::{Value as Json, json};

/// Documents that are given, whatever is asked.
struct Given(Vec<Document>);

#[async_trait]
impl Collection for Given {
    fn name(&self) -> &'static str {
        "the test library"
    }

    async fn read(&self, _: &str, documents_max: usize) -> Result<Collected, SourceError> {
        let documents: Vec<Document> = self.0.iter().take(documents_max).cloned().collect();
        Ok(Collected { considered: self.0.len(), documents, problems: Vec::new() })
    }
}

/// A search that always fails.
struct Down;

#[async_trait]
impl Search for Down {
    fn name(&self) -> &'static str {
        "down"
    }

    async fn search(&self, _: &str, _: usize) -> Result<Vec<SearchHit>, SourceError> {
        Err(SourceError::Unreachable { reason: "nobody answers".to_owned() })
    }
}

fn document(location: &str, text: &str) -> Document {
    Document {
        location: location.to_owned(),
        fetched_by: FetchedBy::Handbook,
        title: text.lines().next().map(|line| line.trim_start_matches("# ").to_owned()),
        author: None,
        published: None,
        media_type: "text/markdown".to_owned(),
        text: Arc::from(text),
        bytes_hash: address_of(text),
    }
}

pub(crate) fn library() -> Arc<dyn Collection> {
    Arc::new(Given(vec![
        document("bees.md", BEES),
        document("honey.md", HONEY),
        document("swarms.md", SWARMS),
    ]))
}

pub(crate) const BEES: &str = "# The bee colony

## The queen

A bee colony has exactly one queen, and she lays up to 2,000 eggs on a summer day.
Workers feed the queen with royal jelly during her whole life of three to five years.
The queen of a bee colony leaves the hive only to mate or to swarm.

## The workers

Every worker bee of the colony is a female that does not lay eggs in a healthy hive.
Young worker bees clean cells, feed the brood and build comb before they forage.
A worker bee that hatches in summer lives for about six weeks in the colony.

## The drones

Drones are the male bees of the colony, and their only task is to mate with young queens.
The workers drive the drones out of the hive before the winter begins.
A bee colony raises drones from unfertilized eggs in spring and early summer.
";
const HONEY: &str = "# How bees make honey

## Nectar and water

Forager bees carry nectar with about 70 percent water back to the colony.
House bees of the colony pass the nectar on until its water content falls below 20 percent.
The bees seal a cell with wax as soon as the honey in it is ripe.

## Winter stores

A bee colony needs between 15 and 20 kilograms of honey to survive a winter in central Europe.
The bees form a cluster in winter and heat it by trembling with their flight muscles.
Beekeepers replace harvested honey with sugar syrup so that the colony does not starve.
";
const SWARMS: &str = "# Swarming

## Why bees swarm

A bee colony swarms in order to reproduce, and the old queen leaves with half of the workers.
Crowded combs and many young bees are the usual causes of swarming in late spring.
The colony raises new queens in long cells before the old queen leaves the hive.

## Finding a home

Scout bees dance on the surface of the swarm to report the hollow trees that they found.
The swarm flies off only when nearly all scout bees dance for the same place.
A swarm of bees settles on a branch for a few hours or days while its scouts search.
";

fn app(blogger: Blogger) -> App<Blog> {
    blogger::graph().expect("the graph compiles").app(blogger)
}

fn extracting() -> App<Blog> {
    app(Blogger::new(library(), Arc::new(MemoryShelf::default())))
}

async fn post(app: &App<Blog>, request: Request) -> (Vec<Event>, Result<String, Error>) {
    let mut run = app
        .run(Blog::update().request(request))
        .stream([Mode::Updates, Mode::Custom])
        .start()
        .unwrap();
    let mut events = Vec::new();
    while let Some(event) = run.next().await {
        events.push(event);
    }
    (events, run.finish().await.map(|outcome| outcome.state().final_blog.clone()))
}

fn nodes(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .filter(|event| event.mode == Mode::Updates)
        .flat_map(|event| event.data().as_object().unwrap().keys().cloned().collect::<Vec<_>>())
        .collect()
}

fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn without_anything_configured_the_post_is_made_of_the_handbook_and_says_so() {
    let (events, post) = post(&extracting(), Request::on("How does a bee colony live?")).await;
    let post = post.unwrap();
    assert_eq!(events[0].data()["type"], "run.mode");
    assert_eq!(events[0].data()["mode"], "extractive");
    assert!(events[0].data()["handbook"].as_str().unwrap().contains("built-in handbook"));
    assert!(post.contains("generation: \"extractive\""), "{post}");
    assert!(post.contains("because no model is configured"), "{post}");
    assert!(post.matches("\n## ").count() >= 3, "{post}");
}

#[tokio::test]
async fn every_quoted_sentence_stands_in_a_source_and_its_mark_leads_there() {
    let (_, post) = post(&extracting(), Request::on("How does a bee colony live?")).await;
    let post = post.unwrap();
    let library = flat(&[BEES, HONEY, SWARMS].join(" "));
    let mut sentences = 0;
    for line in post.lines().filter(|line| line.starts_with("> ") && line.contains("[^")) {
        for sentence in line.trim_start_matches("> ").split(']').filter(|part| !part.is_empty()) {
            let (sentence, mark) = sentence.split_once("[^").expect("a mark follows each sentence");
            assert!(library.contains(sentence.trim()), "not in a source: {sentence}");
            assert!(post.contains(&format!("\n[^{mark}]: ")), "mark {mark} leads nowhere");
            sentences += 1;
        }
    }
    assert!(sentences >= 9, "{post}");
}

#[tokio::test]
async fn the_same_topic_twice_gives_the_same_bytes() {
    let request = || Request::on("How does a bee colony live?");
    let first = post(&extracting(), request()).await.1.unwrap();
    let second = post(&extracting(), request()).await.1.unwrap();
    assert_eq!(first, second);
}

#[tokio::test]
async fn too_little_material_is_an_error_with_a_code() {
    let (_, post) = post(&extracting(), Request::on("Quantum chromodynamics on lattices")).await;
    let error = post.unwrap_err();
    let Error::Task(failure) = error.root_cause() else { panic!("{error}") };
    assert_eq!(failure.failure.code.as_deref(), Some("too_little_material"));
}

#[tokio::test]
async fn a_model_that_is_asked_for_and_missing_is_an_error_with_a_code() {
    let request = Request { mode: blogger::Mode::Model, ..Request::on("How do bees live?") };
    let error = post(&extracting(), request).await.1.unwrap_err();
    let Error::Task(failure) = error else { panic!("{error}") };
    assert_eq!(failure.failure.code.as_deref(), Some("no_model"));
}

#[tokio::test]
async fn a_search_that_is_down_is_a_note_in_the_post() {
    let blogger = Blogger::new(library(), Arc::new(MemoryShelf::default()))
        .collection(library())
        .search(Arc::new(Down));
    let post = post(&app(blogger), Request::on("How does a bee colony live?")).await.1.unwrap();
    assert!(
        post.contains(
            "Not read:\n\n- down: How does a bee colony live?: unreachable: nobody answers"
        )
    );
}

// ---- model mode ----

fn plan(sections: &[(&str, bool)]) -> ScriptedReply {
    let sections: Vec<Json> = sections
        .iter()
        .map(|(name, research)| {
            json!({"name": name, "description": format!("About {name}."), "research": research})
        })
        .collect();
    ScriptedReply::json(&json!({"title": "Bees", "sections": sections}))
}

fn prompt(request: &ChatRequest) -> String {
    request
        .messages
        .iter()
        .map(|message| message.text().into_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

/// The section that a prompt asks for.
fn asked_for(prompt: &str) -> String {
    let after =
        prompt.rsplit("rite the section \"").next().filter(|rest| rest.len() < prompt.len());
    let after = after.or_else(|| prompt.rsplit("Write \"").next()).unwrap();
    after.split('"').next().unwrap().to_owned()
}

fn section_reply(name: &str) -> ScriptedReply {
    ScriptedReply::json(&json!({"blocks": [{"form": "paragraph", "sentences": [
        {"text": format!("**{name}** matters."), "kind": "opinion", "evidence": []},
        {"text": format!("A fact on {name}."), "kind": "fact", "evidence": ["p1"]},
    ]}]}))
}

fn role(model: ScriptedModel) -> Role {
    Role { model: Arc::new(model), max_tokens: 1_000, temperature: 0.3 }
}

fn writing(planned: &[(&str, bool)], executor: ScriptedModel) -> Blogger {
    let models = Models {
        planner: role(ScriptedModel::new("planner").then(plan(planned))),
        executor: role(executor),
    };
    Blogger::new(library(), Arc::new(MemoryShelf::default())).models(models)
}

fn executor() -> ScriptedModel {
    ScriptedModel::answering("executor", |request| {
        let prompt = prompt(request);
        let name = asked_for(&prompt);
        if prompt.contains("from its finished sections") {
            ScriptedReply::text(format!("Closing words on {name}."))
        } else {
            section_reply(&name)
        }
    })
}

fn headings(post: &str) -> Vec<&str> {
    post.lines().filter_map(|line| line.strip_prefix("## ")).collect()
}

#[tokio::test]
async fn t271_a_mixed_plan_is_written_in_its_order() {
    let planned =
        [("Intro", false), ("Queens", true), ("Honey", true), ("Swarms", true), ("End", false)];
    let (events, post) =
        post(&app(writing(&planned, executor())), Request::on("Life of bees")).await;
    let post = post.unwrap();
    assert_eq!(headings(&post), ["Intro", "Queens", "Honey", "Swarms", "End"]);
    assert!(post.contains("A fact on Queens.[^"), "{post}");
    assert!(post.contains("Closing words on End."), "{post}");
    let nodes = nodes(&events);
    let count = |name: &str| nodes.iter().filter(|node| *node == name).count();
    assert_eq!(count("build_section_with_web_research"), 3);
    assert_eq!(count("gather_completed_sections"), 1);
    assert_eq!(count("write_final_sections"), 2);
    assert_eq!(nodes.last().unwrap(), "compile_final_blog");
}

#[tokio::test]
async fn t272_a_plan_without_research_still_ends_in_a_post() {
    let planned = [("Intro", false), ("End", false)];
    let (events, post) =
        post(&app(writing(&planned, executor())), Request::on("Life of bees")).await;
    assert_eq!(headings(&post.unwrap()), ["Intro", "End"]);
    assert!(nodes(&events).contains(&"gather_completed_sections".to_owned()));
}

#[tokio::test]
async fn a_plan_of_research_alone_needs_no_final_sections() {
    let planned = [("Queens", true), ("Honey", true)];
    let (events, post) =
        post(&app(writing(&planned, executor())), Request::on("Life of bees")).await;
    assert_eq!(headings(&post.unwrap()), ["Queens", "Honey"]);
    assert!(!nodes(&events).contains(&"write_final_sections".to_owned()));
}

#[tokio::test]
async fn t273_an_empty_plan_is_an_error_with_a_code() {
    let error =
        post(&app(writing(&[], executor())), Request::on("Life of bees")).await.1.unwrap_err();
    let Error::Task(failure) = error else { panic!("{error}") };
    assert_eq!(failure.failure.code.as_deref(), Some("empty_plan"));
}

#[tokio::test(start_paused = true)]
async fn sections_stand_in_order_of_the_plan_in_a_hundred_shuffled_timings() {
    let planned: Vec<(String, bool)> = (0..6).map(|at| (format!("Part {at}"), at != 5)).collect();
    let planned: Vec<(&str, bool)> = planned.iter().map(|(name, r)| (&**name, *r)).collect();
    let mut posts = Vec::new();
    for seed in 0..100_u64 {
        let executor = ScriptedModel::answering("executor", move |request| {
            let prompt = prompt(request);
            let name = asked_for(&prompt);
            let part = u64::from(name.as_bytes()[5] - b'0');
            let delay = (seed.wrapping_mul(6_364_136_223_846_793_005) >> (part * 7)) % 97;
            let reply = if prompt.contains("from its finished sections") {
                ScriptedReply::text(format!("Closing words on {name}."))
            } else {
                section_reply(&name)
            };
            reply.then_delay(Duration::from_millis(delay))
        });
        posts.push(
            post(&app(writing(&planned, executor)), Request::on("Life of bees")).await.1.unwrap(),
        );
    }
    assert!(posts.iter().all(|post| *post == posts[0]));
    assert_eq!(headings(&posts[0]).len(), 6);
}

#[tokio::test]
async fn t277_tokens_of_a_section_carry_its_place_on_the_messages_stream() {
    let app = app(writing(&[("Queens", true), ("End", false)], executor()));
    let run = app.run(Blog::update().request(Request::on("Life of bees")));
    let mut run = run.stream([Mode::Messages]).subgraphs().start().unwrap();
    let mut by_node = BTreeMap::<String, String>::new();
    while let Some(event) = run.next().await {
        let data = event.data();
        let [chunk, facts] = &data.as_array().unwrap()[..] else { panic!("a pair") };
        assert_eq!(chunk["type"], "AIMessageChunk");
        let node = facts["langgraph_node"].as_str().unwrap().to_owned();
        assert_eq!(node == "write_section", event.ns.len() == 1, "children have a namespace");
        by_node.entry(node).or_default().push_str(chunk["content"].as_str().unwrap());
    }
    assert!(by_node["generate_blog_plan"].contains("\"sections\""));
    assert!(by_node["write_section"].contains("A fact on Queens."));
    assert_eq!(by_node["write_final_sections"], "Closing words on End.");
}

#[tokio::test]
async fn a_fact_without_evidence_is_repaired_and_marked_if_it_stays() {
    let bad = json!({"blocks": [{"form": "paragraph", "sentences": [
        {"text": "Bees were invented in 1851.", "kind": "fact", "evidence": []},
    ]}]});
    let executor = ScriptedModel::answering("executor", move |_| ScriptedReply::json(&bad));
    let post = post(&app(writing(&[("Queens", true)], executor)), Request::on("Life of bees"))
        .await
        .1
        .unwrap();
    assert!(post.contains("Bees were invented in 1851. *(no source)*"), "{post}");
    assert!(post.contains("checks_blocking: 1"), "{post}");
}

#[tokio::test]
async fn a_writer_that_cannot_keep_to_the_form_is_taken_as_it_is() {
    let executor = ScriptedModel::answering("executor", |_| {
        ScriptedReply::text("## Queens\n\nA queen lays eggs.\n\nShe lives long.")
    });
    let post = post(&app(writing(&[("Queens", true)], executor)), Request::on("Life of bees"))
        .await
        .1
        .unwrap();
    assert_eq!(headings(&post), ["Queens"]);
    assert!(post.contains("A queen lays eggs. *(no source)*"), "{post}");
}

/// A search that is down for good for one section, has a bad moment for another, and finds
/// nothing.
#[derive(Default)]
struct Shaky(Mutex<BTreeMap<String, usize>>);

#[async_trait]
impl Search for Shaky {
    fn name(&self) -> &'static str {
        "shaky"
    }

    async fn search(&self, query: &str, _: usize) -> Result<Vec<SearchHit>, SourceError> {
        let mut asked = self.0.lock().unwrap();
        let times = asked.entry(query.to_owned()).or_default();
        *times += 1;
        match query {
            "all about Honey" => Err(SourceError::Status { status: 503 }),
            "all about Swarms" if *times == 1 => {
                Err(SourceError::Unreachable { reason: "a bad moment".to_owned() })
            }
            _ => Ok(Vec::new()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t275_a_section_whose_search_stays_down_is_written_with_a_note() {
    let planned = [("Queens", true), ("Honey", true), ("Swarms", true), ("End", false)];
    let planner = ScriptedModel::answering("planner", move |request| {
        if request.response_schema.as_ref().is_some_and(|schema| schema.name == "blog_plan") {
            return plan(&planned);
        }
        let prompt = prompt(request);
        let section = prompt.split("\nSection: ").nth(1).unwrap().lines().next().unwrap();
        ScriptedReply::json(&json!({"queries": [format!("all about {section}")]}))
    });
    let search = Arc::new(Shaky::default());
    let blogger = Blogger::new(library(), Arc::new(MemoryShelf::default()))
        .models(Models { planner: role(planner), executor: role(executor()) })
        .collection(library())
        .search(search.clone());
    let (events, post) = post(&app(blogger), Request::on("Life of bees")).await;
    let post = post.unwrap();
    assert_eq!(headings(&post)[..4], ["Queens", "Honey", "Swarms", "End"]);
    assert!(post.contains("A fact on Honey.[^"), "written from what was read before: {post}");
    let note = "- searches for Honey: no search was answered: shaky: all about Honey: answered \
                with status 503\n";
    assert!(post.contains(note), "{post}");
    assert!(!post.contains("searches for Swarms") && !post.contains("a bad moment"), "{post}");
    let asked = ["Queens", "Honey", "Swarms"].map(|name| format!("all about {name}"));
    let asked = asked.map(|query| search.0.lock().unwrap()[&query]);
    assert_eq!(asked, [1, 3, 2], "attempts of each section's search");
    let sections = nodes(&events);
    let sections = sections.iter().filter(|node| *node == "build_section_with_web_research");
    assert_eq!(sections.count(), 3);
}

#[tokio::test]
async fn t276_a_stopped_run_does_not_ask_again_for_what_is_written() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let held = Arc::clone(&gate);
    let executor = ScriptedModel::answering("executor", move |request| {
        let name = asked_for(&prompt(request));
        let reply = section_reply(&name);
        if name == "Swarms" { reply.then_wait(Arc::clone(&held)) } else { reply }
    });
    let executor = Arc::new(executor);
    let planned = [("Queens", true), ("Honey", true), ("Swarms", true)];
    let models = Models {
        planner: role(ScriptedModel::new("planner").then(plan(&planned))),
        executor: Role { model: executor.clone(), max_tokens: 100, temperature: 0.0 },
    };
    let blogger = Blogger::new(library(), Arc::new(MemoryShelf::default())).models(models);
    let app = app(blogger).checkpointer(Arc::new(MemoryCheckpointer::default()));
    let cancel = tokio_util::sync::CancellationToken::new();
    let run = app.run(Blog::update().request(Request::on("Life of bees")));
    let mut run =
        run.thread("t").cancel_on(cancel.clone()).stream([Mode::Updates]).start().unwrap();
    let mut written = 0;
    while let Some(event) = run.next().await {
        written += usize::from(event.data().get("build_section_with_web_research").is_some());
        if written == 2 {
            cancel.cancel();
        }
    }
    assert_eq!(run.finish().await.unwrap().status, Status::Cancelled);
    let calls = executor.calls();
    gate.add_permits(10);
    let outcome = app.resume().thread("t").invoke().await.unwrap();
    assert_eq!(headings(&outcome.state().final_blog), ["Queens", "Honey", "Swarms"]);
    assert_eq!(executor.calls(), calls + 1, "only the section that was cut is asked for again");
}

/// A blogger that asks about its outline, and its planner.
fn reviewed() -> (App<Blog>, Arc<ScriptedModel>) {
    let planned = [("Queens", true), ("Honey", true), ("End", false)];
    let planner = Arc::new(ScriptedModel::new("planner").then(plan(&planned)));
    let models = Models {
        planner: Role { model: planner.clone(), max_tokens: 1_000, temperature: 0.3 },
        executor: role(executor()),
    };
    let blogger = Blogger::new(library(), Arc::new(MemoryShelf::default())).models(models);
    let app = blogger::reviewed_graph().expect("the graph compiles").app(blogger);
    (app.checkpointer(Arc::new(MemoryCheckpointer::default())), planner)
}

fn edited(sections: &[(&str, bool)]) -> Resume {
    let sections: Vec<Json> = sections
        .iter()
        .map(|(name, research)| json!({"name": name, "research": research}))
        .collect();
    Resume::Only(json!({"type": "edit", "title": "All of it", "sections": sections}))
}

#[tokio::test]
async fn t274_an_edited_outline_is_the_one_that_is_written() {
    let (app, planner) = reviewed();
    let run = app.run(Blog::update().request(Request::on("Life of bees"))).thread("t");
    let outcome = run.invoke().await.unwrap();
    assert_eq!(outcome.status, Status::Interrupted);
    let question = &outcome.interrupts[0].value;
    assert_eq!(question["type"], "plan");
    assert_eq!(question["title"], "Bees");
    assert_eq!(
        question["sections"][0],
        json!({"name": "Queens", "description": "About Queens.", "research": true})
    );
    for wrong in [
        json!({"type": "edit", "sections": []}),
        json!({"type": "edit", "sections": [{"name": " "}]}),
        json!({"type": "burn"}),
    ] {
        let answered = app.answer(Resume::Only(wrong)).thread("t").invoke().await;
        assert!(matches!(answered, Err(Error::InvalidAnswer { .. })), "{answered:?}");
    }
    let calls = planner.calls();
    let answer = edited(&[("Swarms", true), ("Last words", false)]);
    let outcome = app.answer(answer).thread("t").invoke().await.unwrap();
    assert_eq!(outcome.status, Status::Done);
    let post = outcome.state().final_blog.clone();
    assert_eq!(headings(&post), ["Swarms", "Last words"]);
    assert!(post.contains("All of it"), "{post}");
    let plans = planner.requests();
    let outlines = plans.iter().filter(|request| {
        request.response_schema.as_ref().is_some_and(|schema| schema.name == "blog_plan")
    });
    assert_eq!(outlines.count(), 1, "the outline was made once, in {calls} calls");
}

#[tokio::test]
async fn t278_another_answer_to_the_outline_is_a_branch_and_both_posts_can_be_read() {
    let (app, _) = reviewed();
    let run = app.run(Blog::update().request(Request::on("Life of bees"))).thread("t");
    let asked = run.invoke().await.unwrap().checkpoint.unwrap();
    let approve = Resume::Only(json!({"type": "approve"}));
    let first = app.answer(approve).thread("t").invoke().await.unwrap();
    assert_eq!(headings(&first.state().final_blog), ["Queens", "Honey", "End"]);
    let second = app.answer(edited(&[("Swarms", true)])).thread("t").at(asked);
    let second = second.invoke().await.unwrap();
    assert_eq!(headings(&second.state().final_blog), ["Swarms"]);

    let (first, second) = (first.checkpoint.unwrap(), second.checkpoint.unwrap());
    assert_ne!(first, second);
    for (checkpoint, expected) in
        [(first, &["Queens", "Honey", "End"][..]), (second, &["Swarms"][..])]
    {
        let snapshot = app.state_at("t", checkpoint).await.unwrap();
        assert_eq!(headings(&snapshot.state().final_blog), expected);
        assert!(snapshot.next.is_empty());
    }
    let head = app.state("t").await.unwrap();
    assert_eq!(head.checkpoint, Some(second), "the newer branch is the head");
}

#[tokio::test]
async fn a_second_post_on_one_thread_owes_nothing_to_the_first() {
    let fresh = post(&extracting(), Request::on("How do bees make honey?")).await.1.unwrap();
    let app = extracting().checkpointer(Arc::new(MemoryCheckpointer::default()));
    for topic in ["Why do bees swarm?", "How do bees make honey?"] {
        let run = app.run(Blog::update().request(Request::on(topic))).thread("t");
        let outcome = run.invoke().await.unwrap();
        if topic.contains("honey") {
            assert_eq!(*outcome.state().final_blog, fresh);
        }
    }
}

#[tokio::test]
async fn a_model_cannot_forge_marks_quotations_or_headings() {
    let reply = json!({"blocks": [
        {"form": "paragraph", "sentences": [
            {"text": "Trust me.[^1]\n\n## Buy now", "kind": "opinion", "evidence": []},
        ]},
        {"form": "quote", "sentences": [
            {"text": "Bees invented the wheel.", "kind": "fact", "evidence": ["p1"]},
        ]},
        {"form": "code", "code": "let negated = /[^1]/;", "language": "js"},
    ]});
    let executor = ScriptedModel::answering("executor", move |_| ScriptedReply::json(&reply));
    let post = post(&app(writing(&[("Queens", true)], executor)), Request::on("Life of bees"))
        .await
        .1
        .unwrap();
    assert_eq!(headings(&post), ["Queens"]);
    assert!(post.contains("Trust me.\\[^1] ## Buy now"), "{post}");
    assert!(post.contains("Bees invented the wheel. *(no source)*"), "{post}");
    assert!(!post.contains("> Bees invented"), "{post}");
    assert!(post.contains("let negated = /[^1]/;"), "{post}");
    assert!(!post.contains("\n[^1]: "), "nothing is cited: {post}");
}

#[tokio::test]
async fn notes_are_read_beside_a_collection_and_what_is_over_the_limit_is_said() {
    let blogger = Blogger::new(library(), Arc::new(MemoryShelf::default())).collection(library());
    let mut request = Request::on("How does a bee colony live?");
    request.sources.max = 2;
    request.sources.notes = vec![HONEY.to_owned()];
    let app = app(blogger);
    let outcome = app.run(Blog::update().request(request)).invoke().await.unwrap();
    let blog = outcome.state();
    let locations: Vec<&str> = blog.sources.iter().map(|source| &*source.location).collect();
    assert_eq!(locations, ["bees.md", "note 1"]);
}

#[tokio::test]
async fn a_source_that_is_left_out_makes_room_for_the_next_best() {
    let read = async |exclude: &[&str]| {
        let blogger = Blogger::new(library(), Arc::new(MemoryShelf::default()));
        let mut request = Request::on("How does a bee colony live?");
        request.sources.max = 2;
        request.sources.exclude = exclude.iter().map(|place| (*place).to_owned()).collect();
        request.sources.notes = vec![SWARMS.to_owned()];
        let app = app(blogger.collection(library()));
        let outcome = app.run(Blog::update().request(request)).invoke().await.unwrap();
        let sources = &outcome.state().sources;
        sources.iter().map(|source| source.location.clone()).collect::<Vec<_>>()
    };
    assert_eq!(read(&[]).await, ["bees.md", "note 1"]);
    assert_eq!(read(&["bees.md"]).await, ["honey.md", "note 1"]);
    assert_eq!(read(&["bees.md", "note 1", "elsewhere.md"]).await, ["honey.md"]);
}
