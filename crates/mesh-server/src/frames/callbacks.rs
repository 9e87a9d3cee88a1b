//! What a run tells in the words of LangChain's callbacks: a chain per node, a model per message.

use std::collections::HashMap;

use axum::body::Bytes;
use mesh_runtime::log::Entry;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json, value::RawValue};
use uuid::Uuid;

use super::{
    json as text_of,
    messages::{Growing, Piece},
};

/// What the chain of the whole graph is called.
const GRAPH: &str = "LangGraph";

/// What the model of a message is called when it does not say so itself.
const MODEL: &str = "ChatModel";

/// The chains and models of one run that have not ended.
#[derive(Debug)]
pub(super) struct Callbacks {
    run: Uuid,
    values: Option<Bytes>,
    /// By message id.
    models: HashMap<String, Model>,
}

#[derive(Debug)]
struct Model {
    name: String,
    facts: Box<RawValue>,
    growing: Growing,
}

#[derive(Serialize)]
struct Told<'a, T> {
    event: &'a str,
    name: &'a str,
    run_id: String,
    tags: Vec<String>,
    metadata: &'a RawValue,
    data: T,
    parent_ids: Vec<String>,
}

#[derive(Deserialize)]
struct Task<'a> {
    id: String,
    name: String,
    #[serde(default, borrow)]
    input: Option<&'a RawValue>,
    #[serde(default, borrow)]
    result: Option<&'a RawValue>,
    #[serde(default, borrow)]
    error: Option<&'a RawValue>,
}

impl Callbacks {
    pub(super) fn new(run: Uuid) -> Self {
        Self { run, values: None, models: HashMap::new() }
    }

    /// The run begins.
    pub(super) fn begin(&mut self) -> Bytes {
        self.of_graph("on_chain_start", json!({}))
    }

    /// The state of the root.
    pub(super) fn values(&mut self, data: &Bytes) {
        self.values = Some(data.clone());
    }

    /// The run ended, and did not fail.
    pub(super) fn end(&mut self) -> Bytes {
        let values = self.values.take().unwrap_or_else(|| Bytes::from_static(b"null"));
        let output = serde_json::from_slice::<&RawValue>(&values).unwrap_or(RawValue::NULL);
        self.of_graph("on_chain_end", HashMap::from([("output", output)]))
    }

    fn of_graph(&self, event: &str, data: impl Serialize) -> Bytes {
        let metadata = to_raw(&json!({ "run_id": self.run }));
        text_of(&Told {
            event,
            name: GRAPH,
            run_id: self.run.to_string(),
            tags: Vec::new(),
            metadata: &metadata,
            data,
            parent_ids: Vec::new(),
        })
    }

    /// A task begins or has ended.
    pub(super) fn task(&mut self, entry: &Entry, begins: bool) -> Vec<Bytes> {
        let Ok(task) = serde_json::from_slice::<Task<'_>>(&entry.data) else { return Vec::new() };
        let metadata = to_raw(&json!({
            "langgraph_step": entry.step,
            "langgraph_node": task.name,
            "langgraph_checkpoint_ns": entry.ns,
            "run_id": self.run,
        }));
        let told = |event, member: &'static str, value| {
            text_of(&Told {
                event,
                name: &task.name,
                run_id: task.id.clone(),
                tags: vec![format!("graph:step:{}", entry.step)],
                metadata: &metadata,
                data: HashMap::from([(member, value)]),
                parent_ids: vec![self.run.to_string()],
            })
        };
        let input = task.input.unwrap_or(RawValue::NULL);
        if begins {
            return vec![told("on_chain_start", "input", input)];
        }
        let result = task.result.unwrap_or(RawValue::NULL);
        match task.error {
            Some(error) if error.get() != "null" => vec![told("on_chain_error", "error", error)],
            _ => vec![
                told("on_chain_stream", "chunk", result),
                told("on_chain_end", "output", result),
            ],
        }
    }

    /// A message or a piece of one.
    pub(super) fn message(&mut self, data: &Bytes) -> Vec<Bytes> {
        #[derive(Deserialize)]
        struct Facts {
            #[serde(default)]
            ls_model_name: Option<String>,
        }
        let Ok(whole) = serde_json::from_slice::<Vec<&RawValue>>(data) else { return Vec::new() };
        let Ok(Piece(chunk, facts)) = serde_json::from_slice::<Piece<'_>>(data) else {
            return Vec::new();
        };
        let (Some(id), Some(message)) = (chunk.id.clone(), whole.first()) else {
            return Vec::new();
        };
        if !chunk.is_piece() {
            return Vec::new();
        }
        let mut told = Vec::new();
        if !self.models.contains_key(&id) {
            let name = serde_json::from_str::<Facts>(facts.get()).ok();
            let name = name.and_then(|facts| facts.ls_model_name);
            let name = name.unwrap_or_else(|| MODEL.to_owned());
            let model = Model { name, facts: facts.to_owned(), growing: Growing::default() };
            told.push(self.of_model("on_chat_model_start", &id, &model, json!({ "input": {} })));
            self.models.insert(id.clone(), model);
        }
        let is_last = chunk.position.as_deref() == Some("last");
        let Some(mut model) = self.models.remove(&id) else { return told };
        model.growing.add(chunk);
        let data = HashMap::from([("chunk", *message)]);
        told.push(self.of_model("on_chat_model_stream", &id, &model, data));
        if is_last {
            let output: Json = model.growing.shown(&id);
            told.push(self.of_model("on_chat_model_end", &id, &model, json!({ "output": output })));
        } else {
            self.models.insert(id, model);
        }
        told
    }

    fn of_model(&self, event: &str, id: &str, model: &Model, data: impl Serialize) -> Bytes {
        text_of(&Told {
            event,
            name: &model.name,
            run_id: Uuid::new_v5(&self.run, id.as_bytes()).to_string(),
            tags: Vec::new(),
            metadata: &model.facts,
            data,
            parent_ids: vec![self.run.to_string()],
        })
    }
}

fn to_raw(value: &Json) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}
