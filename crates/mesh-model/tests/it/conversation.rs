//! Conversations: what adding an update to a list of messages gives.

use mesh_model::{AddError, Message, Messages};
use proptest::prelude::*;
use serde_json::{Value, json};

/// `"1:a 2:b -1 -all"` as a list: messages with their ids, and removals.
fn list(text: &str) -> Messages {
    text.split_whitespace().fold(Messages::new(), |list, word| match word.split_once(':') {
        Some(("", text)) => list.and(Message::user(text)),
        Some((id, text)) => list.and(Message::user(text).with_id(id)),
        None if word == "-all" => list.and_remove(mesh_model::REMOVE_ALL),
        None => list.and_remove(word.trim_start_matches('-')),
    })
}

fn shown(list: &Messages) -> String {
    let words = list
        .iter()
        .map(|message| format!("{}:{}", message.id.as_deref().unwrap_or_default(), message.text()));
    words.collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn check_added(left: &str, right: &str, expected: &str) {
    let mut talk = list(left);
    talk.add(list(right)).unwrap();
    assert_eq!(shown(&talk), expected, "{left} + {right}");
}

fn read(wire: Value) -> Messages {
    Messages::from_wire(wire).unwrap()
}

#[test]
fn t033_updates_of_a_message_list_go_by_id_and_come_in_every_form() {
    updates_replace_append_and_remove_by_id();
    messages_are_read_in_every_form_that_clients_send();
}

fn updates_replace_append_and_remove_by_id() {
    check_added("1:a", "1:b", "1:b");
    check_added("1:a", "-1 1:b", "1:b");
    check_added("1:a", "1:b -1", "");
    check_added("1:a", "-1 -1", "");
    check_added("1:a", "3:z -all 4:q", "4:q");
    check_added("", "3:z 3:zz", "3:zz");
    check_added("1:a", "", "1:a");
    check_added("1:a", "2:b", "1:a 2:b");
    check_added("1:a 2:b 3:c", "2:B", "1:a 2:B 3:c");
    check_added("1:a 2:b", "-1 1:c", "1:c 2:b");
    check_added("", "3:z 4:y 3:zz", "3:zz 4:y");
    check_added("1:a", "-all", "");
    check_added("1:a", "2:b -2", "1:a");

    let mut talk = list("1:a");
    let error = talk.add(list("2:b -9")).unwrap_err();
    assert_eq!(error, AddError::UnknownId { id: "9".into() });
    assert_eq!(error.to_string(), "there is no message `9` to remove");
    assert_eq!(shown(&talk), "1:a", "nothing of the update was added");
    assert!(talk.add(list("-all -1")).is_err(), "what is cleared cannot be removed once more");
    assert_eq!(shown(&talk), "1:a");
}

fn messages_are_read_in_every_form_that_clients_send() {
    let user = Messages::from(Message::user("hi"));
    assert_eq!(read(json!("hi")), user);
    assert_eq!(read(json!({ "role": "user", "content": "hi" })), user);
    assert_eq!(read(json!(["hi"])), user);
    assert_eq!(read(json!([["user", "hi"]])), user);
    assert_eq!(read(json!([{ "type": "human", "content": "hi" }])), user);
    assert_eq!(read(json!(["hi", ["ai", "yes"]])), user.clone().and(Message::assistant("yes")));
    assert_eq!(
        read(json!([{ "type": "AIMessageChunk", "content": "yes", "id": "1" }])),
        Messages::from(Message::assistant("yes").with_id("1")),
        "a chunk becomes a whole message"
    );
    let removals = list("-1 -all 2:b");
    let wire = serde_json::to_value(&removals).unwrap();
    assert_eq!(wire[0], json!({ "type": "remove", "content": "", "id": "1" }));
    assert_eq!(read(wire), removals);

    let refused = |wire: Value| Messages::from_wire(wire).unwrap_err().to_string();
    assert_eq!(
        refused(json!(["a", { "x": 1 }])),
        r#"messages[1]: message: expected a member "type" or "role""#
    );
    assert_eq!(
        refused(json!([{ "role": "user" }])),
        "messages[0]: message: content: expected a text or a list of blocks, found nothing"
    );
    assert_eq!(
        refused(Value::Null),
        "messages[0]: expected a message object, a [role, content] pair or a text, found null"
    );
    assert_eq!(
        refused(json!([{ "type": "remove" }])),
        "messages[0]: expected the id of the message to remove, a text"
    );
}

#[test]
fn missing_ids_are_given_in_order_and_kept() {
    let mut update = list(":a 7:b :c");
    let mut next = 0;
    update.identify(|| {
        next += 1;
        format!("new-{next}")
    });
    assert_eq!(shown(&update), "new-1:a 7:b new-2:c");
    update.identify(|| panic!("every message has an id"));
}

#[test]
fn a_version_stays_as_it_was_while_others_grow() {
    let mut versions = vec![Messages::new()];
    for number in 0..300 {
        let mut next = versions[number].clone();
        next.add(list(&format!("{number}:n"))).unwrap();
        versions.push(next);
    }
    for (length, version) in versions.iter().enumerate() {
        assert_eq!(version.len(), length);
        assert!(version.iter().enumerate().all(|(n, m)| m.id.as_deref() == Some(&*n.to_string())));
    }
    let newest = &versions[300];
    assert!((0..300).all(|n| newest.get(&n.to_string()).is_some()));
    assert!(newest.get("300").is_none());
}

fn any_update() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        8 => (0..12u8, 0..9u8).prop_map(|(id, text)| format!("{id}:{text}")),
        1 => (0..12u8).prop_map(|id| format!("-{id}")),
        1 => Just("-all".to_owned()),
    ];
    prop::collection::vec(word, 0..40).prop_map(|words| words.join(" "))
}

/// The rules once more, on a plain list.
fn naive(talk: &mut Vec<(String, String)>, update: &str) -> bool {
    let before = talk.clone();
    let mut words: Vec<&str> = update.split_whitespace().collect();
    if let Some(last) = words.iter().rposition(|word| *word == "-all") {
        words.drain(..=last);
        talk.clear();
    }
    let mut removed: Vec<String> = Vec::new();
    for word in words {
        if let Some((id, text)) = word.split_once(':') {
            removed.retain(|gone| gone != id);
            match talk.iter_mut().find(|(known, _)| known == id) {
                Some(slot) => text.clone_into(&mut slot.1),
                None => talk.push((id.to_owned(), text.to_owned())),
            }
        } else {
            let id = word.trim_start_matches('-');
            if !talk.iter().any(|(known, _)| known == id) {
                *talk = before;
                return false;
            }
            removed.push(id.to_owned());
        }
    }
    talk.retain(|(id, _)| !removed.contains(id));
    true
}

proptest! {
    #[test]
    fn any_updates_give_what_the_rules_say(updates in prop::collection::vec(any_update(), 1..12)) {
        let mut talk = Messages::new();
        let mut expected = Vec::new();
        for update in updates {
            let added = talk.add(list(&update)).is_ok();
            prop_assert_eq!(added, naive(&mut expected, &update));
            let words: Vec<String> = expected.iter().map(|(i, t)| format!("{i}:{t}")).collect();
            prop_assert_eq!(shown(&talk), words.join(" "));
            let stored: Messages =
                serde_json::from_value(serde_json::to_value(&talk).unwrap()).unwrap();
            prop_assert_eq!(&stored, &talk);
            for (id, text) in &expected {
                prop_assert_eq!(talk.get(id).map(|m| m.text().into_owned()), Some(text.clone()));
            }
        }
    }
}
