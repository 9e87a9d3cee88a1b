//! A failing case is made as small as it still fails, and printed so that a person can follow it.

use std::fmt::Write as _;

use mesh_graph::Durability;
use serde_json::json;

use crate::{
    random_graph::{Ask, Case, Flow, Work},
    script::{Asks, Script},
};

/// Times that a case is tried while it is made smaller.
const TRIES: usize = 3_000;

/// Leaves out whatever can be left out while the case goes on failing.
pub(crate) fn shrink(case: &Case, fails: impl Fn(&Case) -> bool) -> Case {
    let mut smallest = case.clone();
    let mut tries = 0;
    loop {
        let before = tries;
        let mut shrunk = false;
        for smaller in candidates(&smallest) {
            tries += 1;
            if tries > TRIES {
                return smallest;
            }
            if fails(&smaller) {
                smallest = smaller;
                shrunk = true;
                break;
            }
        }
        if !shrunk || tries == before {
            return smallest;
        }
    }
}

/// All cases that are smaller by one thing.
fn candidates(case: &Case) -> Vec<Case> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut Case)| {
        let mut smaller = case.clone();
        change(&mut smaller);
        all.push(smaller);
    };
    for at in 0..case.calls.len() {
        with(&|case| drop(case.calls.remove(at)));
    }
    for smaller in flows(&case.flow) {
        with(&|case| case.flow = smaller.clone());
    }
    for (at, call) in case.calls.iter().enumerate() {
        if call.at.is_some() {
            with(&|case| case.calls[at].at = None);
        }
        if !call.before.is_empty() {
            with(&|case| case.calls[at].before.clear());
        }
        if !call.after.is_empty() {
            with(&|case| case.calls[at].after.clear());
        }
        if call.durability != Durability::Sync {
            with(&|case| case.calls[at].durability = Durability::Sync);
        }
        match &call.ask {
            Ask::Input(input) if *input != json!({}) => {
                with(&|case| case.calls[at].ask = Ask::Input(json!({})));
            }
            Ask::Command { update: Some(_), goto } if !goto.is_empty() => with(&|case| {
                case.calls[at].ask = Ask::Command { update: None, goto: goto.clone() };
            }),
            Ask::Update { as_node, values: Some(_) } => with(&|case| {
                case.calls[at].ask = Ask::Update { as_node: as_node.clone(), values: None };
            }),
            _ => {}
        }
    }
    all
}

fn flows(flow: &Flow) -> Vec<Flow> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut Flow)| {
        let mut smaller = flow.clone();
        change(&mut smaller);
        all.push(smaller);
    };
    for at in 0..flow.routes.len() {
        with(&|flow| drop(flow.routes.remove(at)));
    }
    for at in 0..flow.fans.len() {
        with(&|flow| drop(flow.fans.remove(at)));
    }
    for at in 0..flow.joins.len() {
        with(&|flow| drop(flow.joins.remove(at)));
    }
    // The first edge is the way in.
    for at in 1..flow.edges.len() {
        with(&|flow| drop(flow.edges.remove(at)));
    }
    for (at, node) in flow.nodes.iter().enumerate() {
        if !is_named(flow, &node.name) {
            with(&|flow| drop(flow.nodes.remove(at)));
        }
        if node.defer {
            with(&|flow| flow.nodes[at].defer = false);
        }
        match &node.work {
            Work::Mount(child) => {
                with(&|flow| flow.nodes[at].work = Work::Script(Script::default()));
                for smaller in flows(child) {
                    with(&|flow| flow.nodes[at].work = Work::Mount(Box::new(smaller.clone())));
                }
            }
            Work::Script(script) => {
                for smaller in scripts(script) {
                    with(&|flow| flow.nodes[at].work = Work::Script(smaller.clone()));
                }
            }
        }
    }
    for (at, route) in flow.routes.iter().enumerate() {
        for choice in 0..route.choices.len() {
            with(&|flow| drop(flow.routes[at].choices.remove(choice)));
            for target in 0..route.choices[choice].1.len() {
                with(&|flow| drop(flow.routes[at].choices[choice].1.remove(target)));
            }
        }
        if route.fails > 0 {
            with(&|flow| flow.routes[at].fails = 0);
        }
    }
    all
}

/// Whether anything leads to or from a node.
fn is_named(flow: &Flow, name: &str) -> bool {
    let mut rest = flow.clone();
    for node in &mut rest.nodes {
        node.name.clear();
    }
    format!("{rest:?}").contains(&format!("\"{name}\""))
}

fn scripts(script: &Script) -> Vec<Script> {
    let mut all = Vec::new();
    for at in 0..script.rules.len() {
        let mut smaller = script.clone();
        smaller.rules.remove(at);
        all.push(smaller);
        if script.rules[at].1.len() > 1 {
            for act in 0..script.rules[at].1.len() {
                let mut smaller = script.clone();
                smaller.rules[at].1.remove(act);
                all.push(smaller);
            }
        }
    }
    if script.fails > 0 {
        all.push(Script { fails: script.fails - 1, ..script.clone() });
    }
    if !matches!(script.asks, Asks::Nothing) {
        all.push(Script { asks: Asks::Nothing, ..script.clone() });
    }
    all
}

/// A case in words.
pub(crate) fn show(case: &Case) -> String {
    let mut text = String::new();
    show_flow(&case.flow, "  ", &mut text);
    for (nth, call) in case.calls.iter().enumerate() {
        let _ = write!(text, "  call {nth}: {:?}, {:?}", call.ask, call.durability);
        if let Some(at) = call.at {
            let _ = write!(text, ", at checkpoint {at}");
        }
        if !call.before.is_empty() || !call.after.is_empty() {
            let _ = write!(text, ", stops before {:?} and after {:?}", call.before, call.after);
        }
        let _ = writeln!(text, ", limit {}", call.limit);
    }
    if !case.stored {
        text.push_str("  nothing is stored\n");
    }
    text
}

fn show_flow(flow: &Flow, indent: &str, text: &mut String) {
    for node in &flow.nodes {
        let late = if node.defer { ", deferred" } else { "" };
        let takes = if node.takes { ", takes jobs" } else { "" };
        let _ = write!(text, "{indent}node {}{late}{takes}: ", node.name);
        match &node.work {
            Work::Script(script) => {
                let _ = writeln!(text, "{script:?}");
            }
            Work::Mount(child) => {
                text.push_str("a mounted graph\n");
                show_flow(child, &format!("{indent}    "), text);
            }
        }
    }
    let edges: Vec<String> =
        flow.edges.iter().map(|(from, to)| format!("{from} -> {to}")).collect();
    let _ = writeln!(text, "{indent}edges {}", edges.join(", "));
    for (sources, to) in &flow.joins {
        let _ = writeln!(text, "{indent}join {} -> {to}", sources.join(" & "));
    }
    for route in &flow.routes {
        let _ = writeln!(text, "{indent}{route:?}");
    }
    for fan in &flow.fans {
        let _ = writeln!(text, "{indent}{fan:?}");
    }
}
