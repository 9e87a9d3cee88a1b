//! Fifteen channels, six nodes, two of them in parallel with a join, in a loop in which the lists
//! grow about threefold each time round.

use std::{collections::BTreeMap, sync::Arc};

use futures::future::BoxFuture;
use mesh_graph::{Ctx, Graph, NodeResult, Route, START, State, View};
use serde_json::{Value as Json, json};

use crate::{
    cases::{read, threads},
    floor::{Loop, Next, Node, Reducer, Spawn, Update, Value},
    measure::Once,
    storage::Checkpointers,
};

/// A dictionary whose values are shared, as Python shares them.
type Record = BTreeMap<String, Arc<Json>>;
/// An item of a list.
type Item = Arc<Record>;

fn or_text(current: String, update: String) -> String {
    if update.is_empty() { current } else { update }
}

fn always(_: Option<Item>, update: Option<Item>) -> Option<Item> {
    update
}

fn newest(current: Option<Item>, update: Option<Item>) -> Option<Item> {
    update.or(current)
}

fn newest_text(current: Option<String>, update: Option<String>) -> Option<String> {
    update.or(current)
}

#[derive(State)]
struct Wide {
    #[state(append)]
    messages: Vec<Item>,
    #[state(append)]
    trigger_events: Vec<Item>,
    #[state(reducer = or_text)]
    primary_issue_medium: String,
    #[state(reducer = always)]
    autoresponse: Option<Item>,
    #[state(reducer = newest)]
    issue: Option<Item>,
    relevant_rules: Vec<Item>,
    memory_docs: Vec<Item>,
    #[state(append)]
    categorizations: Vec<Item>,
    #[state(append)]
    responses: Vec<Item>,
    #[state(reducer = newest)]
    user_info: Option<Item>,
    #[state(reducer = newest)]
    crm_info: Option<Item>,
    #[state(reducer = newest_text)]
    email_thread_id: Option<String>,
    #[state(merge)]
    slack_participants: Record,
    bot_id: Option<String>,
    #[state(merge)]
    notified_assignees: Record,
}

/// Some text of `length` letters, another one for every `salt`.
fn text(length: usize, salt: usize) -> String {
    let alphabet = "abcdefghijklmnopqrstuvwxyz".as_bytes();
    (0..length)
        .map(|place| char::from(alphabet[(salt * 7 + place * place * 3 + place) % alphabet.len()]))
        .collect()
}

/// The first message: `outer` entries of `inner` entries of 25 values.
fn first_message(entries: usize) -> Item {
    let (outer, inner) = match entries {
        25 => (5, 5),
        15 => (3, 5),
        _ => (3, 3),
    };
    let repeated = |number: usize| number.to_string().repeat(10);
    let values: Vec<Json> = (0..5)
        .flat_map(|_| {
            [
                json!("hi?".repeat(10)),
                json!(true),
                json!(1),
                json!(6_327_816_386_138_u64),
                Json::Null,
            ]
        })
        .collect();
    let entry: serde_json::Map<String, Json> =
        (0..inner).map(|number| (repeated(number), Json::Array(values.clone()))).collect();
    let entry = Arc::new(Json::Object(entry));
    Arc::new((0..outer).map(|number| (repeated(number), Arc::clone(&entry))).collect())
}

/// Length of the texts that some nodes write: the limit of the loop, which `one` cannot see.
#[derive(Clone, Copy)]
struct Limit(usize);

async fn one(wide: View<Wide>, ctx: Ctx<Limit>) -> NodeResult<WideUpdate> {
    let medium = text(ctx.deps().0, wide.messages.len());
    Ok(Wide::update()
        .extend_trigger_events(wide.messages.iter().cloned())
        .primary_issue_medium(medium))
}

async fn two(wide: View<Wide>, _: Ctx<Limit>) -> NodeResult<WideUpdate> {
    let last = wide.trigger_events.last().cloned();
    Ok(Wide::update().autoresponse(last.clone()).issue(last))
}

async fn three(wide: View<Wide>, _: Ctx<Limit>) -> NodeResult<WideUpdate> {
    Ok(Wide::update().relevant_rules(wide.autoresponse.iter().cloned().collect()))
}

async fn four(wide: View<Wide>, _: Ctx<Limit>) -> NodeResult<WideUpdate> {
    let events = || wide.trigger_events.clone();
    Ok(Wide::update()
        .extend_categorizations(events())
        .extend_responses(events())
        .memory_docs(events()))
}

async fn five(wide: View<Wide>, ctx: Ctx<Limit>) -> NodeResult<WideUpdate> {
    let last = wide.categorizations.last().cloned();
    let people = || last.as_deref().cloned().unwrap_or_default();
    let text = text(ctx.deps().0, wide.categorizations.len());
    Ok(Wide::update()
        .slack_participants(people())
        .notified_assignees(people())
        .user_info(last.clone())
        .crm_info(last)
        .email_thread_id(Some(text.clone()))
        .bot_id(Some(text)))
}

async fn six(wide: View<Wide>, _: Ctx<Limit>) -> NodeResult<WideUpdate> {
    Ok(Wide::update().extend_messages(wide.responses.iter().cloned()))
}

pub(crate) fn engine(
    entries: usize,
    limit: usize,
    mut storage: Checkpointers,
) -> anyhow::Result<Once> {
    let mut graph = Graph::<Wide, Limit>::new("wide_state");
    graph.node("one", one);
    graph.node("two", two);
    graph.node("three", three);
    graph.node("four", four);
    graph.node("five", five);
    graph.node("six", six);
    graph.edge(START, "one").edge("one", "two").edge("two", "three").edge("two", "four");
    graph.join(["three", "four"], "five").edge("five", "six");
    graph.route(
        "six",
        move |wide| {
            if wide.messages.len() > limit { Route::end() } else { Route::from("one") }
        },
    );
    let app = graph.compile()?.app(Limit(limit));
    let first = first_message(entries);
    let mut thread = threads();
    Ok(Box::new(move || {
        let app = match storage() {
            Some(checkpointer) => app.clone().checkpointer(checkpointer),
            None => app.clone(),
        };
        let input = Wide::update().extend_messages(vec![Arc::clone(&first)]);
        Box::pin(read(app.run(input).thread(&thread())))
    }))
}

/// The state as plain data; a step returns the fields it writes.
#[derive(Default, Clone)]
struct Plain {
    messages: Vec<Item>,
    trigger_events: Vec<Item>,
    primary_issue_medium: String,
    autoresponse: Option<Item>,
    issue: Option<Item>,
    relevant_rules: Vec<Item>,
    memory_docs: Vec<Item>,
    categorizations: Vec<Item>,
    responses: Vec<Item>,
    user_info: Option<Item>,
    crm_info: Option<Item>,
    email_thread_id: Option<String>,
    slack_participants: Record,
    bot_id: Option<String>,
    notified_assignees: Record,
}

type Step = Box<dyn Fn(&Plain) -> BoxFuture<'static, Plain> + Send + Sync>;

fn steps(limit: usize) -> [Step; 6] {
    fn ready(update: Plain) -> BoxFuture<'static, Plain> {
        Box::pin(std::future::ready(update))
    }
    [
        Box::new(move |all| {
            ready(Plain {
                trigger_events: all.messages.clone(),
                primary_issue_medium: text(limit, all.messages.len()),
                ..Plain::default()
            })
        }),
        Box::new(|all| {
            let last = all.trigger_events.last().cloned();
            ready(Plain { autoresponse: last.clone(), issue: last, ..Plain::default() })
        }),
        Box::new(|all| {
            let rules = all.autoresponse.iter().cloned().collect();
            ready(Plain { relevant_rules: rules, ..Plain::default() })
        }),
        Box::new(|all| {
            let events = || all.trigger_events.clone();
            ready(Plain {
                categorizations: events(),
                responses: events(),
                memory_docs: events(),
                ..Plain::default()
            })
        }),
        Box::new(move |all| {
            let last = all.categorizations.last().cloned();
            let people = || last.as_deref().cloned().unwrap_or_default();
            let text = text(limit, all.categorizations.len());
            ready(Plain {
                slack_participants: people(),
                notified_assignees: people(),
                user_info: last.clone(),
                crm_info: last,
                email_thread_id: Some(text.clone()),
                bot_id: Some(text),
                ..Plain::default()
            })
        }),
        Box::new(|all| ready(Plain { messages: all.responses.clone(), ..Plain::default() })),
    ]
}

pub(crate) fn f1(entries: usize, limit: usize) -> Once {
    let steps = Arc::new(steps(limit));
    let first = first_message(entries);
    Box::new(move || {
        let steps = Arc::clone(&steps);
        let mut all = Plain { messages: vec![Arc::clone(&first)], ..Plain::default() };
        Box::pin(async move {
            while all.messages.len() <= limit {
                let [one, two, three, four, five, six] = &*steps;
                let update = one(&all).await;
                all.trigger_events.extend(update.trigger_events);
                all.primary_issue_medium = update.primary_issue_medium;
                let update = two(&all).await;
                all.autoresponse = update.autoresponse;
                all.issue = update.issue.or(all.issue);
                all.relevant_rules = three(&all).await.relevant_rules;
                let update = four(&all).await;
                all.categorizations.extend(update.categorizations);
                all.responses.extend(update.responses);
                all.memory_docs = update.memory_docs;
                let update = five(&all).await;
                all.slack_participants.extend(update.slack_participants);
                all.notified_assignees.extend(update.notified_assignees);
                all.user_info = update.user_info.or(all.user_info);
                all.crm_info = update.crm_info.or(all.crm_info);
                all.email_thread_id = update.email_thread_id.or(all.email_thread_id);
                all.bot_id = update.bot_id;
                all.messages.extend(six(&all).await.messages);
            }
            std::hint::black_box(all);
            Ok(())
        })
    })
}

/// Channels of the floor, in the order of the state's fields.
mod channel {
    pub(super) const MESSAGES: usize = 0;
    pub(super) const TRIGGER_EVENTS: usize = 1;
    pub(super) const PRIMARY_ISSUE_MEDIUM: usize = 2;
    pub(super) const AUTORESPONSE: usize = 3;
    pub(super) const ISSUE: usize = 4;
    pub(super) const RELEVANT_RULES: usize = 5;
    pub(super) const MEMORY_DOCS: usize = 6;
    pub(super) const CATEGORIZATIONS: usize = 7;
    pub(super) const RESPONSES: usize = 8;
    pub(super) const USER_INFO: usize = 9;
    pub(super) const CRM_INFO: usize = 10;
    pub(super) const EMAIL_THREAD_ID: usize = 11;
    pub(super) const SLACK_PARTICIPANTS: usize = 12;
    pub(super) const BOT_ID: usize = 13;
    pub(super) const NOTIFIED_ASSIGNEES: usize = 14;
    pub(super) const COUNT: usize = 15;
}

fn list(values: &[Value], channel: usize) -> &[Item] {
    values[channel].downcast_ref::<Vec<Item>>().map_or(&[], Vec::as_slice)
}

fn append(current: Value, update: Value) -> Value {
    match (current.downcast::<Vec<Item>>(), update.downcast::<Vec<Item>>()) {
        (Ok(mut list), Ok(new)) => {
            Arc::make_mut(&mut list).extend(new.iter().cloned());
            list
        }
        (Ok(list), Err(_)) => list,
        (Err(current), _) => current,
    }
}

fn merge(current: Value, update: Value) -> Value {
    match (current.downcast::<Record>(), update.downcast::<Record>()) {
        (Ok(mut map), Ok(new)) => {
            let new = Arc::unwrap_or_clone(new);
            Arc::make_mut(&mut map).extend(new);
            map
        }
        (Ok(map), Err(_)) => map,
        (Err(current), _) => current,
    }
}

pub(crate) fn f2(entries: usize, limit: usize, spawn: Spawn) -> Once {
    use channel::{
        AUTORESPONSE, BOT_ID, CATEGORIZATIONS, COUNT, CRM_INFO, EMAIL_THREAD_ID, ISSUE,
        MEMORY_DOCS, MESSAGES, NOTIFIED_ASSIGNEES, PRIMARY_ISSUE_MEDIUM, RELEVANT_RULES, RESPONSES,
        SLACK_PARTICIPANTS, TRIGGER_EVENTS, USER_INFO,
    };
    fn shared(value: impl Send + Sync + 'static) -> Value {
        Arc::new(value)
    }
    fn node(update: impl Fn(&[Value]) -> Update + Send + Sync + 'static) -> Node {
        let update = Arc::new(update);
        Arc::new(move |values, _| {
            let update = Arc::clone(&update);
            Box::pin(async move { update(&values) })
        })
    }
    let one = node(move |values| {
        let messages = list(values, MESSAGES);
        let medium = text(limit, messages.len());
        Update::from([
            (TRIGGER_EVENTS, shared(messages.to_vec())),
            (PRIMARY_ISSUE_MEDIUM, shared(medium)),
        ])
    });
    let two = node(|values| {
        let last = list(values, TRIGGER_EVENTS).last().cloned();
        Update::from([(AUTORESPONSE, shared(last.clone())), (ISSUE, shared(last))])
    });
    let three = node(|values| {
        let last = values[AUTORESPONSE].downcast_ref::<Option<Item>>();
        let rules: Vec<Item> = last.iter().filter_map(|item| (*item).clone()).collect();
        Update::from([(RELEVANT_RULES, shared(rules))])
    });
    let four = node(|values| {
        let events = || shared(list(values, TRIGGER_EVENTS).to_vec());
        Update::from([(CATEGORIZATIONS, events()), (RESPONSES, events()), (MEMORY_DOCS, events())])
    });
    let five = node(move |values| {
        let all = list(values, CATEGORIZATIONS);
        let last = all.last().cloned();
        let people = || shared(last.as_deref().cloned().unwrap_or_default());
        let text = text(limit, all.len());
        Update::from([
            (SLACK_PARTICIPANTS, people()),
            (NOTIFIED_ASSIGNEES, people()),
            (USER_INFO, shared(last.clone())),
            (CRM_INFO, shared(last.clone())),
            (EMAIL_THREAD_ID, shared(text.clone())),
            (BOT_ID, shared(text)),
        ])
    });
    let six = node(|values| Update::from([(MESSAGES, shared(list(values, RESPONSES).to_vec()))]));
    let route = move |values: &Vec<Value>| {
        if list(values, MESSAGES).len() > limit { Vec::new() } else { vec![0] }
    };
    let mut reducers: Vec<Option<Reducer>> = vec![None; COUNT];
    for channel in [MESSAGES, TRIGGER_EVENTS, CATEGORIZATIONS, RESPONSES] {
        reducers[channel] = Some(append);
    }
    for channel in [SLACK_PARTICIPANTS, NOTIFIED_ASSIGNEES] {
        reducers[channel] = Some(merge);
    }
    let graph = Arc::new(Loop {
        nodes: vec![
            (one, Next::Nodes(vec![1])),
            (two, Next::Nodes(vec![2, 3])),
            (three, Next::Join(0)),
            (four, Next::Join(0)),
            (five, Next::Nodes(vec![5])),
            (six, Next::Route(Box::new(route))),
        ],
        reducers,
        joins: vec![(2, 4)],
        spawn,
    });
    let first = first_message(entries);
    Box::new(move || {
        let graph = Arc::clone(&graph);
        let mut values: Vec<Value> = (0..COUNT).map(|_| shared(())).collect();
        for channel in [MESSAGES, TRIGGER_EVENTS, CATEGORIZATIONS, RESPONSES] {
            values[channel] = shared(Vec::<Item>::new());
        }
        for channel in [SLACK_PARTICIPANTS, NOTIFIED_ASSIGNEES] {
            values[channel] = shared(Record::new());
        }
        values[MESSAGES] = shared(vec![Arc::clone(&first)]);
        Box::pin(async move {
            std::hint::black_box(graph.run(values, vec![(0, None)]).await);
            Ok(())
        })
    })
}
