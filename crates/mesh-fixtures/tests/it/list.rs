//! Which graphs there are.

use mesh_fixtures::{Error, Fixtures, Suite};
use mesh_runtime::graphs::Purpose;
use serde_json::json;

use crate::kit::{graphs, request};

#[test]
fn every_graph_of_the_suites_is_there_and_shows_itself() {
    for suite in [Suite::Python, Suite::Js] {
        let graphs = graphs(suite, None);
        let ids: Vec<&str> = graphs.ids().collect();
        let known = [
            "agent",
            "agent_simple",
            "agent_with_stats",
            "agent_with_tools",
            "ask",
            "deep_agent",
            "delay",
            "dynamic",
            "echo",
            "error",
            "factory_agent",
            "fan_out",
            "large",
            "nested",
            "noop3",
            "plain_zod_graph",
            "simple_runtime",
            "state_schema_graph",
            "steps",
            "tokens200",
            "tools_agent",
            "weather",
            "zod_registry_graph",
        ];
        assert_eq!(ids, known);
        for (id, graph) in graphs.iter() {
            let app = graph.app(&request(Purpose::Describe, json!({}))).unwrap();
            assert_eq!(app.name(), id);
            assert!(app.lint().is_empty(), "{id}: {:?}", app.lint());
        }
    }
}

#[test]
fn the_agent_is_the_one_of_the_suite() {
    let keys = |suite| {
        let graphs = graphs(suite, None);
        let app = graphs.get("agent").unwrap().app(&request(Purpose::Describe, json!({})));
        let schema = app.unwrap().state_schema();
        let keys: Vec<String> = schema["properties"].as_object().unwrap().keys().cloned().collect();
        keys
    };
    assert!(keys(Suite::Python).contains(&"items".to_owned()));
    assert!(keys(Suite::Js).contains(&"sharedStateFromStoreConfig".to_owned()));
}

#[test]
fn graphs_that_read_a_context_say_what_they_expect() {
    let graphs = graphs(Suite::Js, None);
    let known = graphs.iter().filter(|(_, graph)| graph.context_schema.is_some());
    assert_eq!(known.map(|(id, _)| id).collect::<Vec<_>>(), ["agent", "simple_runtime"]);
}

#[test]
fn a_folder_that_is_not_there_is_an_error_with_its_name() {
    let error = Fixtures::new(Suite::Python, Some("/no/such/folder".as_ref())).unwrap_err();
    assert!(matches!(&error, Error::Folder { folder, .. } if folder == "/no/such/folder"));
}
