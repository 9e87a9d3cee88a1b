//! Sends to a mounted graph: `edit`, `generate`, and ten times `bump`.

use std::sync::Arc;

use futures::future::BoxFuture;
use mesh_graph::{Ctx, END, Graph, NodeResult, Route, START, State, View};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    cases::{read, threads},
    floor::{Loop, Next, Node, Reducer, Spawn, Update, Value},
    measure::Once,
    storage::Checkpointers,
};

/// Letters of a subject.
const LETTERS: usize = 1000;
/// How often `bump` runs.
const BUMPS: usize = 10;

/// A subject: letters until `edit` has made a text of them. The letters are shared, as Python
/// shares them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Subject {
    Letters(Arc<Vec<String>>),
    Text(String),
}

impl Default for Subject {
    fn default() -> Self {
        Self::Letters(Arc::default())
    }
}

impl Subject {
    /// As Python prints it.
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Letters(letters) => {
                let mut text = String::with_capacity(5 * letters.len() + 2);
                text.push('[');
                for (position, letter) in letters.iter().enumerate() {
                    text.push_str(if position == 0 { "'" } else { ", '" });
                    text.push_str(letter);
                    text.push('\'');
                }
                text.push(']');
                text
            }
        }
    }
}

#[derive(State)]
struct Overall {
    subjects: Vec<Subject>,
    #[state(append)]
    jokes: Vec<String>,
}

#[derive(State)]
struct Joke {
    #[state(input)]
    subject: Subject,
    #[state(output)]
    jokes: Vec<String>,
}

fn edited(subject: &Subject) -> Subject {
    Subject::Text(format!("{} - hohoho", subject.text()))
}

fn generated(subject: &Subject) -> Vec<String> {
    vec![format!("Joke about {}", subject.text())]
}

fn bumped(jokes: &[String]) -> Vec<String> {
    vec![format!("{} a", jokes.first().map_or("", String::as_str))]
}

fn is_done(jokes: &[String]) -> bool {
    jokes.first().is_some_and(|joke| joke.ends_with(&" a".repeat(BUMPS)))
}

async fn edit(joke: View<Joke>, _: Ctx) -> NodeResult<JokeUpdate> {
    Ok(Joke::update().subject(edited(&joke.subject)))
}

async fn generate(joke: View<Joke>, _: Ctx) -> NodeResult<JokeUpdate> {
    Ok(Joke::update().jokes(generated(&joke.subject)))
}

async fn bump(joke: View<Joke>, _: Ctx) -> NodeResult<JokeUpdate> {
    Ok(Joke::update().jokes(bumped(&joke.jokes)))
}

fn subjects(sends: usize) -> Vec<Subject> {
    let alphabet = "abcdefghijklmnopqrstuvwxyz".as_bytes();
    // Any fixed scatter of letters will do.
    let letter = |send: usize, place: usize| {
        let byte = alphabet[(send * 31 + place * place * 7) % alphabet.len()];
        char::from(byte).to_string()
    };
    (0..sends)
        .map(|send| (0..LETTERS).map(|place| letter(send, place)).collect())
        .map(|letters| Subject::Letters(Arc::new(letters)))
        .collect()
}

pub(crate) fn engine(sends: usize, mut storage: Checkpointers) -> anyhow::Result<Once> {
    let mut joke = Graph::<Joke>::new("generate_joke");
    joke.node("edit", edit);
    joke.node("generate", generate);
    joke.node("bump", bump);
    joke.edge(START, "edit").edge("edit", "generate").edge("generate", "bump");
    joke.route(
        "bump",
        |joke| {
            if is_done(&joke.jokes) { Route::end() } else { Route::from("bump") }
        },
    );
    let joke = joke.compile()?;
    let mut graph = Graph::<Overall>::new("fanout");
    let generate = graph
        .mount_send::<Joke, Subject>(
            "generate_joke",
            &joke,
            |subject| Joke::update().subject(subject.clone()),
            |joke| Overall::update().extend_jokes(joke.jokes.iter().cloned()),
        )
        .id();
    graph.fan_out(START, &generate, |all| all.subjects.clone()).if_empty(END);
    graph.edge("generate_joke", END);
    let app = graph.compile()?.app(());
    let subjects = subjects(sends);
    let mut thread = threads();
    Ok(Box::new(move || {
        let app = match storage() {
            Some(checkpointer) => app.clone().checkpointer(checkpointer),
            None => app.clone(),
        };
        let input = Overall::update().subjects(subjects.clone());
        Box::pin(read(app.run(input).thread(&thread())))
    }))
}

/// A joke as plain data.
#[derive(Default)]
struct Draft {
    subject: Subject,
    jokes: Vec<String>,
}

type Step = Box<dyn Fn(&Draft) -> BoxFuture<'static, Draft> + Send + Sync>;

pub(crate) fn f1(sends: usize) -> Once {
    fn ready(draft: Draft) -> BoxFuture<'static, Draft> {
        Box::pin(std::future::ready(draft))
    }
    let steps: Arc<[Step; 3]> = Arc::new([
        Box::new(|draft: &Draft| {
            ready(Draft { subject: edited(&draft.subject), jokes: Vec::new() })
        }),
        Box::new(|draft: &Draft| {
            ready(Draft { jokes: generated(&draft.subject), ..Draft::default() })
        }),
        Box::new(|draft: &Draft| ready(Draft { jokes: bumped(&draft.jokes), ..Draft::default() })),
    ]);
    let subjects = subjects(sends);
    Box::new(move || {
        let (steps, subjects) = (Arc::clone(&steps), subjects.clone());
        Box::pin(async move {
            let [edit, generate, bump] = &*steps;
            let mut jokes = Vec::new();
            for subject in subjects {
                let mut draft = Draft { subject, jokes: Vec::new() };
                draft.subject = edit(&draft).await.subject;
                draft.jokes = generate(&draft).await.jokes;
                while !is_done(&draft.jokes) {
                    draft.jokes = bump(&draft).await.jokes;
                }
                jokes.extend(draft.jokes);
            }
            std::hint::black_box(jokes);
            Ok(())
        })
    })
}

const SUBJECT: usize = 0;
const JOKES: usize = 1;

fn subject(values: &[Value]) -> &Subject {
    static EMPTY: Subject = Subject::Text(String::new());
    values[SUBJECT].downcast_ref().unwrap_or(&EMPTY)
}

fn jokes(values: &[Value]) -> &[String] {
    values[JOKES].downcast_ref::<Vec<String>>().map_or(&[], Vec::as_slice)
}

fn append(current: Value, update: Value) -> Value {
    match (current.downcast::<Vec<String>>(), update.downcast::<Vec<String>>()) {
        (Ok(mut list), Ok(new)) => {
            Arc::make_mut(&mut list).extend(new.iter().cloned());
            list
        }
        (Ok(list), Err(_)) => list,
        (Err(current), _) => current,
    }
}

pub(crate) fn f2(sends: usize, spawn: Spawn) -> Once {
    fn writes(channel: usize, value: impl Send + Sync + 'static) -> Update {
        Update::from([(channel, Arc::new(value) as Value)])
    }
    let edit: Node =
        Arc::new(|values, _| Box::pin(async move { writes(SUBJECT, edited(subject(&values))) }));
    let generate: Node =
        Arc::new(|values, _| Box::pin(async move { writes(JOKES, generated(subject(&values))) }));
    let bump: Node =
        Arc::new(|values, _| Box::pin(async move { writes(JOKES, bumped(jokes(&values))) }));
    let more = |values: &Vec<Value>| if is_done(jokes(values)) { Vec::new() } else { vec![2] };
    let child = Arc::new(Loop {
        nodes: vec![
            (edit, Next::Nodes(vec![1])),
            (generate, Next::Nodes(vec![2])),
            (bump, Next::Route(Box::new(more))),
        ],
        reducers: vec![None, None],
        joins: Vec::new(),
        spawn,
    });
    let mount: Node = Arc::new(move |_, arg| {
        let child = Arc::clone(&child);
        Box::pin(async move {
            let subject = arg.unwrap_or_else(|| Arc::new(Subject::default()));
            let empty: Value = Arc::new(Vec::<String>::new());
            let values = child.run(vec![subject, empty], vec![(0, None)]).await;
            writes(JOKES, jokes(&values).to_vec())
        })
    });
    let graph = Arc::new(Loop {
        nodes: vec![(mount, Next::Nodes(Vec::new()))],
        reducers: vec![None, Some(append as Reducer)],
        joins: Vec::new(),
        spawn,
    });
    let subjects = subjects(sends);
    Box::new(move || {
        let (graph, subjects) = (Arc::clone(&graph), subjects.clone());
        Box::pin(async move {
            let due = subjects
                .iter()
                .map(|subject| (0, Some(Arc::new(subject.clone()) as Value)))
                .collect();
            let values: Vec<Value> = vec![Arc::new(subjects), Arc::new(Vec::<String>::new())];
            std::hint::black_box(graph.run(values, due).await);
            Ok(())
        })
    })
}
