//! What a person may change in a finished post, and what becomes of its evidence.

use std::sync::Arc;

use mesh_agents::{
    blogger::{
        self, Blogger, Models, Request, Role, Words,
        state::{
            Blog, ChangeKind, Check,
            Relation::{Quoted, Supported, Unsupported},
            Section,
        },
    },
    source::MemoryShelf,
};
use mesh_graph::{App, Command, MemoryCheckpointer, StateSnapshot};
use mesh_model::{
    ChatRequest,
    testing::{ScriptedModel, ScriptedReply},
};
use serde_json::{Value as Json, json};

use crate::blogger::{BEES, library};

/// More on one heading than a short post quotes.
const QUEENS: &str = "# Queens

## The queen of a bee colony

The queen of a bee colony is raised from an ordinary egg in a cell that hangs from the comb.

A bee colony that has lost its queen notices this within a day, because her scent is missing.

Beekeepers mark the queen of each colony with a dot of paint, in one of five colours by year.

The young queen of a colony mates in flight with a dozen drones, and never leaves home after that.

An old queen of a weak colony is often replaced in autumn, without any swarm and without a fight.

Two queens in one colony of bees are rare, and they are then usually a mother and her daughter.

The workers of a bee colony turn around their queen in a ring and feed her every few minutes.
";

const TOPIC: &str = "How does a bee colony live?";

fn app(blogger: Blogger) -> App<Blog> {
    let app = blogger::graph().unwrap().app(blogger);
    app.checkpointer(Arc::new(MemoryCheckpointer::default()))
}

async fn extracts() -> App<Blog> {
    let app = app(Blogger::new(library(), Arc::new(MemoryShelf::default())));
    app.run(Blog::update().request(Request::on(TOPIC))).thread("t").invoke().await.unwrap();
    app
}

fn role(model: ScriptedModel) -> Role {
    Role { model: Arc::new(model), max_tokens: 1_000, temperature: 0.3 }
}

/// A post on queens with an introduction, whose writer answers a change with `again`.
async fn written(again: impl Fn(&str) -> ScriptedReply + Send + Sync + 'static) -> App<Blog> {
    let plan = json!({"title": "Bees", "sections": [
        {"name": "Intro", "description": "About all of it.", "research": false},
        {"name": "Queens", "description": "The queen of a bee colony.", "research": true},
    ]});
    let executor = ScriptedModel::answering("executor", move |request: &ChatRequest| {
        let prompt: String =
            request.messages.iter().map(|message| message.text().into_owned()).collect();
        if prompt.contains("The editor asks for this change") {
            return again(&prompt);
        }
        if prompt.contains("from its finished sections") {
            return ScriptedReply::text("Bees live together. This post says how.");
        }
        ScriptedReply::json(&json!({"blocks": [{"form": "paragraph", "sentences": [
            {"text": "**Queens** matter.", "kind": "opinion", "evidence": []},
            {"text": "A colony has one queen.", "kind": "fact", "evidence": ["p1"]},
            {"text": "She lays eggs.", "kind": "fact", "evidence": ["p1"]},
        ]}]}))
    });
    let models = Models {
        planner: role(ScriptedModel::new("planner").then(ScriptedReply::json(&plan))),
        executor: role(executor),
    };
    let app = app(Blogger::new(library(), Arc::new(MemoryShelf::default())).models(models));
    app.run(Blog::update().request(Request::on(TOPIC))).thread("t").invoke().await.unwrap();
    app
}

async fn state(app: &App<Blog>) -> StateSnapshot<Blog> {
    app.state("t").await.unwrap()
}

/// Asks for changes as a client does: an update, and a goto.
async fn ask(app: &App<Blog>, update: Json) -> StateSnapshot<Blog> {
    let command =
        Command { update: Some(update), goto: vec!["run_checks".into()], ..Command::default() };
    app.command(command).thread("t").invoke().await.unwrap();
    state(app).await
}

async fn edit(app: &App<Blog>, section: &str, text: &str) -> StateSnapshot<Blog> {
    let revision = json!({"type": "text", "section": section, "text": text});
    ask(app, json!({"revisions": [revision]})).await
}

fn newest(snapshot: &StateSnapshot<Blog>, id: &str) -> Section {
    let all = &snapshot.state().completed_sections;
    all.iter().rev().find(|section| section.id == id).unwrap().clone()
}

/// The id of the first researched section with three sentences or more.
fn long_section(snapshot: &StateSnapshot<Blog>) -> String {
    let blog = snapshot.state();
    let long = blog
        .sections
        .iter()
        .find(|section| section.research && newest(snapshot, &section.id).evidence.len() >= 3);
    long.unwrap().id.clone()
}

#[tokio::test]
async fn a_text_that_stays_as_it_is_keeps_its_bytes_and_its_evidence() {
    let app = extracts().await;
    let before = state(&app).await;
    for planned in before.state().sections.iter() {
        let old = newest(&before, &planned.id);
        let after = edit(&app, &planned.id, &old.content).await;
        let new = newest(&after, &planned.id);
        assert_eq!(new.content, old.content);
        assert_eq!(new.evidence, old.evidence);
        assert_eq!(new.change.as_ref().unwrap().kind, ChangeKind::Edited);
        assert_eq!(*after.state().final_blog, *before.state().final_blog);
        assert!(after.state().revisions.is_empty());
    }
    let app = written(|_| unreachable!()).await;
    let old = newest(&state(&app).await, "s2");
    let after = edit(&app, "s2", &old.content).await;
    assert_eq!(newest(&after, "s2").content, old.content);
    assert_eq!(newest(&after, "s2").evidence, old.evidence);
}

#[tokio::test]
async fn a_sentence_that_is_reworded_loses_its_evidence_and_the_others_keep_theirs() {
    let app = extracts().await;
    let before = state(&app).await;
    let id = long_section(&before);
    let old = newest(&before, &id);
    let gone = &old.evidence[1];
    let text =
        old.content.replacen(&gone.sentence, "Bees were invented by a clockmaker in 1851.", 1);
    let after = edit(&app, &id, &text).await;
    let new = newest(&after, &id);
    assert_eq!(new.evidence.len(), old.evidence.len());
    assert_eq!(new.evidence[0], old.evidence[0]);
    assert_eq!(new.evidence[1].relation, Unsupported);
    assert_eq!(new.evidence[2..], old.evidence[2..]);
    let blog = after.state();
    assert!(
        blog.final_blog.contains("a clockmaker in 1851. *(no source)*"),
        "{}",
        *blog.final_blog
    );
    let finding = blog.findings.iter().find(|finding| finding.check == Check::K01).unwrap();
    assert!(finding.message.contains("a clockmaker in 1851."), "{}", finding.message);
    assert!(blog.draft.contains("A person added sentences of their own."));
    // The words of the source bring it back, without a mark even.
    let back = newest(&after, &id).content.replacen(
        "Bees were invented by a clockmaker in 1851. *(no source)*",
        &gone.sentence,
        1,
    );
    let after = edit(&app, &id, &back).await;
    assert_eq!(newest(&after, &id).content, old.content);
    assert_eq!(newest(&after, &id).evidence, old.evidence);
    assert_eq!(*after.state().final_blog, *before.state().final_blog);
}

#[tokio::test]
async fn a_mark_behind_a_new_sentence_counts_only_if_its_source_speaks_of_that() {
    let app = written(|_| unreachable!()).await;
    let before = state(&app).await;
    let sources = before.state().sources.clone();
    let bees = sources.iter().find(|it| it.location == "bees.md").unwrap();
    let text = format!(
        "The queen lays up to 2,000 eggs on a summer day, no less.[^{id}] \
         The queen lays up to 9,000 eggs on a summer day, no less.[^{id}] \
         Submarines dive below the arctic ice for months.[^{id}] \
         Is that much? Nobody counted the wings of a drone twice.\n\n\
         - Every worker bee of the colony is a female that does not lay eggs in a healthy hive.\n\n\
         ```js\nlet x = /[^{id}]/;\n```",
        id = bees.id,
    );
    let after = edit(&app, "s2", &text).await;
    let new = newest(&after, "s2");
    let relations: Vec<_> = new.evidence.iter().map(|it| it.relation).collect();
    assert_eq!(relations, [Supported, Unsupported, Unsupported, Unsupported, Quoted], "{new:?}");
    assert!(new.content.contains(&format!("no less.[^source-{}] The queen", bees.id)));
    assert!(new.content.contains("Is that much? Nobody"), "{}", new.content);
    assert!(new.content.contains(&format!("healthy hive.[^source-{}]", bees.id)));
    assert!(new.content.contains(&format!("/[^{}]/", bees.id)), "code stays: {}", new.content);
    let quoted = new.evidence.last().unwrap();
    let location =
        &sources.iter().find(|it| Some(&it.id) == quoted.source.as_ref()).unwrap().location;
    assert_eq!(location, "bees.md");
    assert!(BEES[quoted.start..quoted.end].starts_with("Every worker bee of the colony"));
}

#[tokio::test]
async fn a_section_is_written_again_by_the_model_with_what_the_person_asks() {
    let app = written(|prompt| {
        assert!(prompt.contains("shorter, please"), "{prompt}");
        assert!(prompt.contains("A colony has one queen."), "{prompt}");
        ScriptedReply::json(&json!({"blocks": [{"form": "paragraph", "sentences": [
            {"text": "One queen rules.", "kind": "fact", "evidence": ["p1"]},
        ]}]}))
    })
    .await;
    let before = state(&app).await;
    let rewrite = json!({"type": "rewrite", "section": "s2", "instruction": "shorter, please"});
    let after = ask(&app, json!({"revisions": [rewrite]})).await;
    let blog = after.state();
    assert!(blog.final_blog.contains("One queen rules.[^1]"), "{}", *blog.final_blog);
    assert!(!blog.final_blog.contains("She lays eggs."));
    assert_eq!(blog.completed_sections.len(), before.state().completed_sections.len() + 1);
    let change = newest(&after, "s2").change.clone().unwrap();
    let restore = json!({"type": "restore", "section": "s2", "version": 0});
    let back = ask(&app, json!({"revisions": [restore]})).await;
    assert_eq!(*back.state().final_blog, *before.state().final_blog);
    assert_eq!(newest(&back, "s2").change.unwrap().kind, ChangeKind::Restored);
    assert_eq!(
        (change.kind, change.instruction.as_deref()),
        (ChangeKind::Rewritten, Some("shorter, please"))
    );
}

#[tokio::test]
async fn one_sentence_is_written_again_and_the_rest_stays_byte_for_byte() {
    let app = written(|prompt| {
        if prompt.contains("from its finished sections") {
            return ScriptedReply::text("It says how they do.");
        }
        ScriptedReply::json(&json!({"blocks": [{"form": "paragraph", "sentences": [
            {"text": "Every colony has a single queen.", "kind": "fact", "evidence": ["p1"]},
        ]}]}))
    })
    .await;
    let before = newest(&state(&app).await, "s2");
    let rewrite = json!({"type": "rewrite", "section": "s2", "sentence": "A colony has one queen.", "instruction": "say single"});
    let intro = json!({"type": "rewrite", "section": "s1", "sentence": "This post says how.", "instruction": "plainer"});
    let after = ask(&app, json!({"revisions": [rewrite, intro]})).await;
    let new = newest(&after, "s2");
    assert_eq!(
        new.content,
        before.content.replace("A colony has one queen.", "Every colony has a single queen.")
    );
    assert_eq!(new.evidence[0].sentence, "Every colony has a single queen.");
    assert_eq!(new.evidence[1..], before.evidence[1..]);
    assert_eq!(newest(&after, "s1").content, "Bees live together. It says how they do.");
    assert!(after.state().refusals.is_empty());
}

#[tokio::test]
async fn what_cannot_be_changed_stays_and_says_why() {
    let app = written(|_| ScriptedReply::text(" ")).await;
    let before = state(&app).await;
    let reason = |snapshot: &StateSnapshot<Blog>| snapshot.state().refusals[0].reason.clone();
    for (revision, expected) in [
        (json!({"type": "text", "section": "s9", "text": "x"}), "no such section"),
        (
            json!({"type": "text", "section": "s2", "text": "## Mine\n\nx"}),
            "`Mine` is a heading of the post",
        ),
        (
            json!({"type": "rewrite", "section": "s2", "instruction": " "}),
            "0 characters, expected 1 to 2000",
        ),
        (
            json!({"type": "rewrite", "section": "s2", "sentence": "Never said.", "instruction": "x"}),
            "no such sentence",
        ),
        (json!({"type": "rewrite", "section": "s1", "instruction": "x"}), "no text"),
        (
            json!({"type": "exchange", "section": "s2", "sentence": "She lays eggs."}),
            "not exchanged",
        ),
        (json!({"type": "restore", "section": "s2", "version": 7}), "no version 7"),
    ] {
        let after = ask(&app, json!({"revisions": [revision]})).await;
        assert_eq!(after.state().refusals.len(), 1);
        assert!(reason(&after).contains(expected), "{}", reason(&after));
        assert_eq!(*after.state().final_blog, *before.state().final_blog);
        assert!(after.next.is_empty());
    }
    let app = extracts().await;
    let id = long_section(&state(&app).await);
    let rewrite = json!({"type": "rewrite", "section": id, "instruction": "shorter"});
    let after = ask(&app, json!({"revisions": [rewrite]})).await;
    assert!(reason(&after).contains("made of extracts"), "{}", reason(&after));
}

#[tokio::test]
async fn an_extract_is_exchanged_for_another_of_the_sources_until_they_have_none() {
    let app = app(Blogger::new(library(), Arc::new(MemoryShelf::default())));
    // A short post leaves something in the sources.
    let mut request = Request { words: Words { target: 150 }, ..Request::on(TOPIC) };
    request.sources.notes = vec![QUEENS.to_owned()];
    app.run(Blog::update().request(request)).thread("t").invoke().await.unwrap();
    let planned = state(&app).await.state().sections.clone();
    let mut exchanged = 0;
    for section in planned.iter().filter(|section| section.research) {
        let mut going = true;
        while going {
            let before = newest(&state(&app).await, &section.id);
            let sentence = before.evidence[0].sentence.clone();
            let exchange = json!({"type": "exchange", "section": section.id, "sentence": sentence});
            let after = ask(&app, json!({"revisions": [exchange]})).await;
            let new = newest(&after, &section.id);
            let blog = after.state();
            if let Some(refusal) = blog.refusals.first() {
                assert!(refusal.reason.contains("no other extract"), "{}", refusal.reason);
                assert_eq!(new, before);
                going = false;
                continue;
            }
            exchanged += 1;
            assert!(exchanged < 40, "the library is not that large");
            assert!(!new.content.contains(&sentence), "{}", new.content);
            assert!(new.evidence.iter().all(|it| it.relation == Quoted));
            assert!(blog.findings.iter().all(|finding| finding.check != Check::K02));
            assert!(blog.final_blog.contains(&new.evidence[0].sentence));
        }
    }
    assert!(exchanged > 0, "something was exchanged");
}

#[tokio::test]
async fn an_accepted_finding_keeps_its_reason_until_it_is_taken_back_or_says_something_else() {
    let app = written(|_| unreachable!()).await;
    let after = edit(&app, "s2", "The moon is made of old honey and wax.").await;
    let blog = after.state();
    let finding = blog.findings.iter().find(|finding| finding.check == Check::K01).unwrap().clone();
    assert!(blog.final_blog.contains("wax. *(no source)*"));
    let said = |reason: Option<&str>| json!({"accepting": [{"check": "K01", "message": finding.message, "reason": reason}]});
    let k01 = |snapshot: &StateSnapshot<Blog>| {
        let findings = &snapshot.state().findings;
        findings.iter().find(|finding| finding.check == Check::K01).unwrap().accepted.clone()
    };
    let after = ask(&app, said(Some("it is a joke"))).await;
    assert_eq!(k01(&after).unwrap().reason, "it is a joke");
    assert!(!k01(&after).unwrap().at.is_empty());
    let blog = after.state();
    assert!(blog.final_blog.contains("checks_accepted: 1"), "{}", *blog.final_blog);
    assert!(blog.final_blog.contains("checks_blocking: 0"), "{}", *blog.final_blog);
    assert!(!blog.final_blog.contains("(no source)"), "{}", *blog.final_blog);
    // It stands through a change of another section.
    let after = edit(&app, "s1", "Bees live together, and that is all there is to say.").await;
    assert!(k01(&after).is_some());
    let after = ask(&app, said(None)).await;
    assert!(k01(&after).is_none());
    ask(&app, said(Some("it is a joke"))).await;
    let after = edit(&app, "s2", "The sun is made of old honey and wax.").await;
    assert!(k01(&after).is_none(), "another statement is another finding");
}

#[tokio::test]
async fn a_new_post_on_the_thread_owes_nothing_to_what_was_accepted() {
    let app = extracts().await;
    let blog = state(&app).await;
    let Some(finding) = blog.state().findings.first().cloned() else { return };
    let accept = json!({"check": finding.check, "message": finding.message, "reason": "fine"});
    let after = ask(&app, json!({"accepting": [accept]})).await;
    assert!(after.state().findings[0].accepted.is_some());
    app.run(Blog::update().request(Request::on(TOPIC))).thread("t").invoke().await.unwrap();
    assert_eq!(*state(&app).await.state().final_blog, *blog.state().final_blog);
}
