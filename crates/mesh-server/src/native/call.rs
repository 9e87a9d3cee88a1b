//! Calls as clients write them. Pure.

use mesh_protocol::socket::{Call, CallId, ID_CHARS_MAX, OPS};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::{
    extract::{parse, typed},
    refusal::Refusal,
};

/// A message that is no call.
#[derive(Debug)]
pub(super) struct NoCall {
    /// The id that it has; without one nobody could tell what the answer is to, and the connection
    /// ends.
    pub(super) id: Option<CallId>,
    pub(super) refusal: Refusal,
}

/// Reads a message of JSON.
///
/// # Errors
/// [`NoCall`].
pub(super) fn read(bytes: &[u8]) -> Result<Call, NoCall> {
    let ends = |refusal| NoCall { id: None, refusal };
    let mut members: Map<String, Json> = parse(bytes).map_err(ends)?;
    let id = match members.get("id") {
        Some(Json::Number(number)) => number.as_u64().map(CallId::Number),
        Some(Json::String(text)) if (1..=ID_CHARS_MAX).contains(&text.chars().count()) => {
            Some(CallId::Text(text.clone()))
        }
        _ => None,
    };
    let Some(id) = id else {
        let detail =
            format!("/id: expected a whole number, or a text of 1 to {ID_CHARS_MAX} characters");
        return Err(ends(Refusal::invalid(Some("/id".to_owned()), detail)));
    };
    let op = members.remove("op");
    let members = Json::Object(members);
    call(op.as_ref().and_then(Json::as_str), members)
        .map_err(|refusal| NoCall { id: Some(id), refusal })
}

fn call(op: Option<&str>, members: Json) -> Result<Call, Refusal> {
    fn of<T: DeserializeOwned>(
        call: impl FnOnce(T) -> Call,
        members: Json,
    ) -> Result<Call, Refusal> {
        typed(members).map(call)
    }
    match op {
        Some("start") => of(Call::Start, members),
        Some("answer") => of(Call::Answer, members),
        Some("cancel") => of(Call::Cancel, members),
        Some("update") => of(Call::Update, members),
        Some("fork") => of(Call::Fork, members),
        Some("subscribe") => of(Call::Subscribe, members),
        Some("unsubscribe") => of(Call::Unsubscribe, members),
        Some("credit") => of(Call::Credit, members),
        Some("watch") => of(Call::Watch, members),
        Some("unwatch") => of(Call::Unwatch, members),
        Some("ping") => of(Call::Ping, members),
        _ => Err(Refusal::UnknownCall { known: OPS.join(", ") }),
    }
}

/// The id of a call, and the thread that it is about.
pub(super) fn about(call: &Call) -> (&CallId, Option<Uuid>) {
    match call {
        Call::Start(start) => (&start.id, start.thread_id),
        Call::Answer(answer) => (&answer.id, Some(answer.thread_id)),
        Call::Cancel(cancel) => (&cancel.id, Some(cancel.thread_id)),
        Call::Update(update) => (&update.id, Some(update.thread_id)),
        Call::Fork(fork) => (&fork.id, Some(fork.thread_id)),
        Call::Subscribe(subscribe) => (&subscribe.id, Some(subscribe.thread_id)),
        Call::Unsubscribe(thread) => (&thread.id, Some(thread.thread_id)),
        Call::Credit(credit) => (&credit.id, Some(credit.thread_id)),
        Call::Watch(watch) => (&watch.id, None),
        Call::Unwatch(plain) | Call::Ping(plain) => (&plain.id, None),
    }
}

/// Whether a call follows a thread when it is carried out.
pub(super) fn follows(call: &Call) -> bool {
    match call {
        Call::Start(start) => start.subscribe.is_some(),
        Call::Answer(answer) => answer.subscribe.is_some(),
        Call::Subscribe(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use mesh_protocol::socket::{Call, CallId, OPS};
    use serde_json::{Value as Json, json};

    use super::{NoCall, about, read};

    fn refused(text: &str) -> (Option<CallId>, String, String) {
        let NoCall { id, refusal } = read(text.as_bytes()).unwrap_err();
        (id, refusal.code().to_owned(), refusal.to_string())
    }

    #[test]
    fn what_has_no_id_ends_the_connection() {
        for text in ["", "[]", "{", "1", "{}", r#"{"id":-1}"#, r#"{"id":""}"#, r#"{"id":1.5}"#] {
            assert_eq!(refused(text).0, None, "{text}");
        }
        assert!(refused(&format!(r#"{{"id":"{}"}}"#, "x".repeat(65))).0.is_none());
    }

    #[test]
    fn what_is_no_call_is_refused_under_its_id() {
        let (id, code, text) = refused(r#"{"op":"strat","id":"a"}"#);
        assert_eq!(id, Some(CallId::Text("a".to_owned())));
        assert_eq!(code, "unknown_op");
        assert!(OPS.iter().all(|op| text.contains(op)), "{text}");
        let (id, code, text) = refused(r#"{"op":"ping","id":7,"more":1}"#);
        assert_eq!((id, &*code), (Some(CallId::Number(7)), "invalid_request"));
        assert!(text.contains("unknown field `more`"), "{text}");
        let (_, _, text) = refused(r#"{"op":"start","id":7,"run":{"assistant_id":5}}"#);
        assert!(text.starts_with("/run/assistant_id: "), "{text}");
    }

    #[test]
    fn null_is_an_answer_and_nothing_is_none() {
        let thread = "00000000-0000-0000-0000-000000000001";
        let call = |more: Json| {
            let mut call = json!({ "op": "answer", "id": 1, "thread_id": thread });
            call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            match read(call.to_string().as_bytes()).unwrap() {
                Call::Answer(answer) => answer.answer,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(call(json!({ "answer": null })), Some(Json::Null));
        assert_eq!(call(json!({})), None);
    }

    #[test]
    fn every_op_is_read() {
        let id = "00000000-0000-0000-0000-000000000001";
        for op in OPS {
            let mut call = json!({ "op": op, "id": 3 });
            let members = call.as_object_mut().unwrap();
            if !["start", "watch", "unwatch", "ping"].contains(&op) {
                members.insert("thread_id".to_owned(), id.into());
            }
            let more = match op {
                "start" => json!({ "run": { "assistant_id": "a" } }),
                "cancel" => json!({ "run_id": id }),
                "fork" => json!({ "checkpoint_id": "x" }),
                "credit" => json!({ "add": 1 }),
                _ => json!({}),
            };
            members.extend(more.as_object().unwrap().clone());
            let call = read(call.to_string().as_bytes()).unwrap();
            assert_eq!(about(&call).0, &CallId::Number(3), "{op}");
        }
    }
}
