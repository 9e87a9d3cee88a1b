//! The rule, row by row.

use std::fmt::Write as _;

use expect_test::expect;
use serde_json::json;

use super::{Action, Caller, Decision, Principal, Scope, authorize, authorize_namespace};

fn johndoe(scopes: &[&str]) -> Principal {
    let mut principal = Principal::new("johndoe").unwrap();
    principal.scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
    principal
}

fn admin() -> Principal {
    let mut principal = Principal::new("root").unwrap();
    principal.admin = true;
    principal
}

fn allowed(scopes: &[&str]) -> String {
    let principal = johndoe(scopes);
    let yes = |&action: &Action| match authorize(&principal, action) {
        Decision::Allow(Scope::Owner(owner)) => {
            assert_eq!(owner, "johndoe");
            true
        }
        Decision::Allow(Scope::All) => panic!("nobody but an administrator sees all"),
        Decision::Deny => false,
    };
    let names: Vec<String> =
        Action::ALL.iter().filter(|action| yes(action)).map(ToString::to_string).collect();
    if names.len() == Action::ALL.len() { "everything".to_owned() } else { names.join(" ") }
}

#[test]
fn scopes_allow_what_they_say_and_no_more() {
    let mut seen = String::new();
    for scopes in [
        &[][..],
        &["foo"],
        &["me"],
        &["*"],
        &["*:*"],
        &["*:read"],
        &["assistants:write"],
        &["assistants:*"],
        &["assistants:read"],
        &["threads:write"],
        &["threads:*"],
        &["threads:create_run", "threads:read"],
        &["store:get"],
        &["crons:read"],
        &["server:read"],
        &["threads"],
        &["threads:"],
        &[":write"],
        &["admin"],
    ] {
        writeln!(seen, "{scopes:?}: {}", allowed(scopes)).unwrap();
    }
    expect![[r#"
        []: 
        ["foo"]: 
        ["me"]: assistants:read assistants:search threads:create threads:read threads:update threads:delete threads:search threads:create_run store:put store:get store:search store:delete store:list_namespaces crons:create crons:read crons:update crons:delete crons:search
        ["*"]: everything
        ["*:*"]: everything
        ["*:read"]: assistants:read assistants:search threads:read threads:search store:get store:search store:list_namespaces crons:read crons:search server:read
        ["assistants:write"]: assistants:create assistants:read assistants:update assistants:delete assistants:search
        ["assistants:*"]: assistants:create assistants:read assistants:update assistants:delete assistants:search
        ["assistants:read"]: assistants:read assistants:search
        ["threads:write"]: threads:create threads:read threads:update threads:delete threads:search threads:create_run
        ["threads:*"]: threads:create threads:read threads:update threads:delete threads:search threads:create_run
        ["threads:create_run", "threads:read"]: threads:read threads:search threads:create_run
        ["store:get"]: store:get
        ["crons:read"]: crons:read crons:search
        ["server:read"]: server:read
        ["threads"]: 
        ["threads:"]: 
        [":write"]: 
        ["admin"]: 
    "#]]
    .assert_eq(&seen);
}

#[test]
fn an_administrator_may_do_everything_with_everybodys_things() {
    for action in Action::ALL {
        assert_eq!(authorize(&admin(), action), Decision::Allow(Scope::All), "{action}");
    }
    let labels: [&str; 0] = [];
    assert_eq!(
        authorize_namespace(&admin(), Action::SearchItems, &labels),
        Decision::Allow(Scope::All)
    );
}

#[test]
fn a_namespace_has_to_contain_the_identity() {
    let principal = johndoe(&["me"]);
    let mine = Decision::Allow(Scope::Owner("johndoe".to_owned()));
    for (labels, expected) in [
        (&["johndoe"][..], &mine),
        (&["notes", "johndoe", "2026"], &mine),
        (&["ALL"], &Decision::Deny),
        (&["alice"], &Decision::Deny),
        (&[], &Decision::Deny),
        (&["*"], &Decision::Deny),
        (&["johndoe2"], &Decision::Deny),
        (&["JOHNDOE"], &Decision::Deny),
    ] {
        for action in [
            Action::PutItem,
            Action::GetItem,
            Action::SearchItems,
            Action::DeleteItem,
            Action::ListNamespaces,
        ] {
            assert_eq!(authorize_namespace(&principal, action, labels), *expected, "{labels:?}");
        }
    }
    let reader = johndoe(&["store:read"]);
    let denied = authorize_namespace(&reader, Action::PutItem, &["johndoe"]);
    assert_eq!(denied, Decision::Deny, "the identity opens no action");
}

#[test]
fn an_identity_that_means_any_label_or_nothing_is_none() {
    for identity in ["", "*", "a\0b", "a\nb"] {
        assert_eq!(Principal::new(identity), None, "{identity:?}");
    }
    assert_eq!(Principal::new("x".repeat(201)), None);
    assert!(Principal::new("x".repeat(200)).is_some());
}

#[test]
fn callers_without_authentication_may_do_everything_and_strangers_nothing() {
    let scope = Caller::anybody().scope(Action::DeleteThread).unwrap();
    assert_eq!(scope, Scope::All);
    assert!(Caller::anybody().may_run(Some("alice")));
    let stranger = Caller::stranger();
    assert_eq!(stranger.scope(Action::ReadThread).unwrap_err().code(), "unauthenticated");
    assert!(!stranger.may_run(None));
}

#[test]
fn what_is_refused_reads_as_the_wire_has_it() {
    let caller = Caller::known(johndoe(&["foo"]).into());
    let refusal = caller.scope(Action::CreateAssistant).unwrap_err();
    assert_eq!((refusal.status().as_u16(), &*refusal.to_string()), (403, "Not authorized"));
}

#[test]
fn an_owner_is_written_by_the_server_and_not_by_the_client() {
    let owner_after = |caller: &Caller, change: bool| {
        let mut metadata = json!({ "owner": "alice", "a": 1 }).as_object().unwrap().clone();
        if change {
            caller.keep_owner(&mut metadata);
        } else {
            caller.sign(&mut metadata);
        }
        metadata.get("owner").cloned()
    };
    let caller = Caller::known(johndoe(&["me"]).into());
    assert_eq!(owner_after(&caller, false), Some(json!("johndoe")));
    assert_eq!(owner_after(&caller, true), Some(json!("johndoe")));
    let caller = Caller::known(admin().into());
    assert_eq!(owner_after(&caller, false), Some(json!("root")));
    assert_eq!(owner_after(&caller, true), None, "whose it was it stays");
    assert_eq!(owner_after(&Caller::anybody(), false), Some(json!("alice")), "just a key");
}

#[test]
fn assistants_of_the_server_can_be_run_by_everybody_and_others_by_their_owner() {
    let caller = Caller::known(johndoe(&["me"]).into());
    assert!(caller.may_run(None));
    assert!(caller.may_run(Some("johndoe")));
    assert!(!caller.may_run(Some("alice")));
    assert!(Caller::known(admin().into()).may_run(Some("alice")));
}
