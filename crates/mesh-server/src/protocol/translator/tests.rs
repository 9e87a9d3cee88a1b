use std::fmt::Write as _;

use expect_test::{Expect, expect};
use mesh_graph::Mode;
use serde_json::{Value as Json, json};

use super::*;

/// Entries of a thread's log, from 1 on.
#[derive(Default)]
struct Log(Vec<Entry>);

const FIRST: Uuid = Uuid::from_u128(1);
const SECOND: Uuid = Uuid::from_u128(2);

impl Log {
    fn add(&mut self, run: Uuid, kind: Kind, ns: &str, node: Option<&str>, data: &Json) {
        let seq = self.0.len() as u64 + 1;
        self.0.push(Entry {
            seq,
            run,
            kind,
            ns: Arc::from(ns),
            step: 0,
            node: node.map(Arc::from),
            at_ms: 1000,
            data: data.to_string().into(),
            text_at: None,
        });
    }

    fn begun(&mut self, run: Uuid, attempt: u32) {
        let data = json!({ "run_id": run, "attempt": attempt });
        self.add(run, Kind::Begun, "", Some("agent"), &data);
    }

    fn ended(&mut self, run: Uuid, data: &Json) {
        self.add(run, Kind::Ended, "", Some("agent"), data);
    }

    fn event(&mut self, run: Uuid, mode: Mode, ns: &str, data: &Json) {
        self.add(run, Kind::Event(mode), ns, None, data);
    }

    /// A piece of a message that the model of this task says.
    fn piece(&mut self, run: Uuid, task: &str, attempt: u64, text: &str, is_last: bool) {
        let last = if is_last { json!("last") } else { Json::Null };
        let mut facts = json!({ "langgraph_checkpoint_ns": format!("model:{task}") });
        if attempt > 1 {
            facts["langgraph_node_attempt"] = json!(attempt);
        }
        let piece = json!({
            "type": "AIMessageChunk", "id": "m", "content": text, "chunk_position": last,
        });
        self.event(run, Mode::Messages, "", &json!([piece, facts]));
    }

    fn task(&mut self, run: Uuid, task: &str, end: Option<Json>) {
        let data = match end {
            None => json!({ "id": task, "name": "model", "triggers": [] }),
            Some(error) => json!({ "id": task, "name": "model", "error": error, "result": {} }),
        };
        self.event(run, Mode::Tasks, "", &data);
    }

    fn lifecycle(&mut self, run: Uuid, ns: &str, event: &str) {
        let data = json!({ "event": event, "namespace": [ns], "graph_name": "inner" });
        self.event(run, Mode::Lifecycle, ns, &data);
    }
}

/// `entry.place method [ns] what` per event.
#[track_caller]
fn check(log: &Log, expected: Expect) {
    let mut translator = Translator::new(|_| true);
    let mut lines = String::new();
    for entry in &log.0 {
        for event in translator.translate(entry).unwrap() {
            assert_eq!(entry_of(event.seq), entry.seq);
            assert!(event.event_id.starts_with(&entry.run.to_string()));
            let place = event.seq - before(entry.seq);
            let (ns, data) = (event.ns.join(","), &event.data);
            let what = ["event", "message", "error", "interrupt_id", "id", "name"]
                .iter()
                .filter_map(|key| data.get(*key)?.as_str().map(str::to_owned))
                .collect::<Vec<_>>()
                .join(" ");
            let line = format!("{}.{place} {} [{ns}] {what}", entry.seq, event.method);
            let _ = writeln!(lines, "{}", line.trim_end());
        }
    }
    expected.assert_eq(&lines);
}

#[test]
fn a_message_of_an_execution_that_was_lost_ends_before_it_begins_anew() {
    let mut log = Log::default();
    log.begun(FIRST, 1);
    log.lifecycle(FIRST, "", "started");
    log.task(FIRST, "t1", None);
    log.piece(FIRST, "t1", 1, "Hel", false);
    log.begun(FIRST, 2);
    log.lifecycle(FIRST, "", "started");
    log.task(FIRST, "t1", None);
    log.piece(FIRST, "t1", 1, "Hello", true);
    log.task(FIRST, "t1", Some(Json::Null));
    log.ended(FIRST, &json!({ "status": "success" }));
    check(
        &log,
        expect![[r"
        1.1 lifecycle [] running
        3.1 tasks [] t1 model
        4.1 messages [] message-start m
        4.2 messages [] content-block-start m
        4.3 messages [] content-block-delta m
        5.1 messages [] error the run was taken up again m
        7.1 tasks [] t1 model
        8.1 messages [] message-start m
        8.2 messages [] content-block-start m
        8.3 messages [] content-block-delta m
        8.4 messages [] content-block-finish m
        8.5 messages [] message-finish m
        9.1 tasks [] t1 model
        10.1 lifecycle [] completed
    "]],
    );
}

#[test]
fn a_run_that_was_handed_over_in_the_middle_of_a_message_says_so_with_its_task() {
    let mut log = Log::default();
    log.begun(FIRST, 1);
    log.task(FIRST, "t1", None);
    log.piece(FIRST, "t1", 1, "Hel", false);
    // No beginning is told of an execution that takes over where another was told to stop.
    log.task(FIRST, "t1", None);
    log.piece(FIRST, "t1", 1, "Hello", true);
    log.ended(FIRST, &json!({ "status": "success" }));
    check(
        &log,
        expect![[r"
        1.1 lifecycle [] running
        2.1 tasks [] t1 model
        3.1 messages [] message-start m
        3.2 messages [] content-block-start m
        3.3 messages [] content-block-delta m
        4.1 messages [] error tried again m
        4.2 tasks [] t1 model
        5.1 messages [] message-start m
        5.2 messages [] content-block-start m
        5.3 messages [] content-block-delta m
        5.4 messages [] content-block-finish m
        5.5 messages [] message-finish m
        6.1 lifecycle [] completed
    "]],
    );
}

#[test]
fn an_attempt_ends_what_the_one_before_began_and_a_failure_what_is_left() {
    let mut log = Log::default();
    log.begun(FIRST, 1);
    log.task(FIRST, "t1", None);
    log.piece(FIRST, "t1", 1, "Hel", false);
    log.piece(FIRST, "t1", 2, "Hello", false);
    log.task(FIRST, "t1", Some(json!({ "error": "node" })));
    log.ended(FIRST, &json!({ "status": "error", "error": { "message": "Boo!" } }));
    check(
        &log,
        expect![[r"
        1.1 lifecycle [] running
        2.1 tasks [] t1 model
        3.1 messages [] message-start m
        3.2 messages [] content-block-start m
        3.3 messages [] content-block-delta m
        4.1 messages [] error tried again m
        4.2 messages [] message-start m
        4.3 messages [] content-block-start m
        4.4 messages [] content-block-delta m
        5.1 messages [] error the call failed m
        5.2 tasks [] t1 model
        6.1 lifecycle [] failed Boo!
    "]],
    );
}

#[test]
fn the_end_of_a_run_ends_all_that_is_open_innermost_first() {
    let mut log = Log::default();
    log.begun(FIRST, 1);
    log.lifecycle(FIRST, "", "started");
    log.lifecycle(FIRST, "a:1", "started");
    log.lifecycle(FIRST, "a:1|b:2", "started");
    log.lifecycle(FIRST, "c:3", "started");
    log.lifecycle(FIRST, "c:3", "drained");
    log.lifecycle(FIRST, "c:3", "completed");
    log.piece(FIRST, "t1", 1, "Hel", false);
    log.event(FIRST, Mode::Values, "", &json!({ "held": true }));
    log.ended(FIRST, &json!({ "status": "interrupted" }));
    check(
        &log,
        expect![[r"
        1.1 lifecycle [] running
        3.1 lifecycle [a:1] started
        4.1 lifecycle [a:1,b:2] started
        5.1 lifecycle [c:3] started
        7.1 lifecycle [c:3] completed
        8.1 messages [] message-start m
        8.2 messages [] content-block-start m
        8.3 messages [] content-block-delta m
        10.1 values []
        10.2 messages [] error the run ended m
        10.3 lifecycle [a:1,b:2] interrupted
        10.4 lifecycle [a:1] interrupted
        10.5 lifecycle [] interrupted
    "]],
    );
}

#[test]
fn questions_are_told_once_and_by_whoever_asks_first() {
    let asked = json!([{ "id": "q1", "value": "?" }, { "id": "q2", "value": "??" }]);
    let mut log = Log::default();
    log.begun(FIRST, 1);
    log.lifecycle(FIRST, "", "started");
    let first = json!({ "__interrupt__": [asked[0]] });
    log.event(FIRST, Mode::Updates, "a:1", &first);
    log.event(FIRST, Mode::Values, "a:1", &json!({ "x": 1, "__interrupt__": [asked[0]] }));
    log.event(FIRST, Mode::Updates, "", &first);
    // The second one was asked before this run, which was not to answer it.
    log.event(FIRST, Mode::Values, "", &json!({ "x": 1, "__interrupt__": asked }));
    log.ended(FIRST, &json!({ "status": "success", "unfinished": true }));
    check(
        &log,
        expect![[r"
        1.1 lifecycle [] running
        3.1 updates [a:1]
        3.2 input.requested [a:1] q1
        4.1 values [a:1]
        5.1 updates []
        6.1 input.requested [] q2
        6.2 values []
        7.1 lifecycle [] interrupted
    "]],
    );
}

#[test]
fn a_run_that_never_began_ends_only_where_no_other_goes_on() {
    let mut log = Log::default();
    log.begun(FIRST, 1);
    log.ended(SECOND, &json!({ "status": "interrupted" }));
    log.event(FIRST, Mode::Custom, "", &json!({ "name": "x" }));
    log.ended(FIRST, &json!({ "status": "timeout", "error": { "message": "too long" } }));
    log.ended(SECOND, &json!({ "status": "interrupted" }));
    log.add(Uuid::nil(), Kind::Updated, "", None, &json!({}));
    log.event(SECOND, Mode::Custom, "", &json!({ "name": "without a beginning" }));
    check(
        &log,
        expect![[r"
        1.1 lifecycle [] running
        3.1 custom [] x
        4.1 lifecycle [] failed too long
        5.1 lifecycle [] interrupted
    "]],
    );
}

#[test]
fn a_graph_that_a_tool_call_began_says_which() {
    let mut log = Log::default();
    let call = |log: &mut Log, event: &str, id: &str| {
        let data = json!({ "event": event, "tool_call_id": id, "tool_name": "task" });
        log.add(FIRST, Kind::Event(Mode::Tools), "", Some("tools"), &data);
    };
    log.begun(FIRST, 1);
    call(&mut log, "tool-started", "tc-1");
    log.lifecycle(FIRST, "tools:1", "started");
    log.lifecycle(FIRST, "other:1", "started");
    call(&mut log, "tool-started", "tc-2");
    log.lifecycle(FIRST, "tools:2", "started");
    call(&mut log, "tool-finished", "tc-1");
    log.lifecycle(FIRST, "tools:3", "started");
    let mut translator = Translator::new(|method| method == "lifecycle");
    let events = log.0.iter().flat_map(|entry| translator.translate(entry).unwrap());
    let causes: Vec<Json> = events.map(|event| event.data["cause"].clone()).collect();
    let of = |id: &str| json!({ "type": "toolCall", "tool_call_id": id });
    let unknown = Json::Null;
    assert_eq!(causes, [unknown.clone(), of("tc-1"), unknown.clone(), unknown, of("tc-2")]);
}

#[test]
fn who_listens_does_not_change_numbers_and_ids() {
    let mut log = Log::default();
    log.begun(FIRST, 1);
    log.lifecycle(FIRST, "", "started");
    log.event(FIRST, Mode::Values, "", &json!({ "x": 1 }));
    log.task(FIRST, "t1", None);
    log.piece(FIRST, "t1", 1, "Hel", false);
    log.task(FIRST, "t1", Some(Json::Null));
    log.ended(FIRST, &json!({ "status": "success" }));
    let told = |wants: &dyn Fn(&str) -> bool| -> Vec<Json> {
        let mut translator = Translator::new(wants);
        let events = log.0.iter().flat_map(|entry| translator.translate(entry).unwrap());
        events.map(|event| event.to_json()).collect()
    };
    let everything = told(&|_| true);
    for method in METHODS {
        let wanted: Vec<Json> =
            everything.iter().filter(|event| event["method"] == method).cloned().collect();
        assert_eq!(told(&|listed| listed == method), wanted, "{method}");
    }
}
