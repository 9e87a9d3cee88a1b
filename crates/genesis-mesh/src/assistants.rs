//! The assistants that the program serves: one entry per assistant.

use std::sync::Arc;

use mesh_agents::blogger::Request;
use mesh_server::{Assistant, InvalidRequest};
use serde_json::{Value as Json, json};

use crate::{agents, blogger, settings::Settings, shelf::DataDirShelf};

/// Every assistant, as `settings` have it, in no particular order.
///
/// # Errors
/// [`blogger::BuildError`] names the setting that does not work.
pub fn all(settings: &Settings) -> Result<Vec<Assistant>, blogger::BuildError> {
    let mut all = agents::all(settings)?;
    all.push(blogger_assistant(settings)?);
    Ok(all)
}

fn blogger_assistant(settings: &Settings) -> Result<Assistant, blogger::BuildError> {
    let shelf = DataDirShelf::new(&settings.data_dir);
    let app = blogger::app(settings, Arc::new(shelf), Vec::new())?;
    Ok(Assistant::new("blogger", app.untyped())
        .description("Writes a blog post whose every sentence leads to a source")
        .input_schema(blogger::request_schema())
        .prepare(prepare))
}

/// A request as the socket takes it becomes the one input key of the graph.
fn prepare(request: Json) -> Result<Json, InvalidRequest> {
    let request = Request::from_json(request)
        .map_err(|error| InvalidRequest::new(error.pointer, error.message))?;
    Ok(json!({ "request": request }))
}
