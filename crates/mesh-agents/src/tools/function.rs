//! Tools made of async functions.

use std::{marker::PhantomData, time::Duration};

use async_trait::async_trait;
use mesh_graph::{NodeError, NodeResult};
use mesh_model::ToolSpec;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use super::{Inject, Needs, Tool, ToolCx, ToolOutput};

/// Makes a tool of an async function whose first parameter is the type of its arguments.
///
/// ```
/// use mesh_agents::{ToolCx, tool};
/// use mesh_graph::NodeResult;
///
/// /// Two numbers.
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Sum {
///     a: i64,
///     b: i64,
/// }
///
/// async fn add(sum: Sum, _: ToolCx) -> NodeResult<String> {
///     Ok((sum.a + sum.b).to_string())
/// }
///
/// let add = tool("add", "Adds two numbers.", add);
/// # let _ = add;
/// ```
pub fn tool<A, F, Fut, O>(name: &str, description: &str, function: F) -> FnTool<A, F>
where
    A: DeserializeOwned + JsonSchema + Send + 'static,
    F: Fn(A, ToolCx) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = NodeResult<O>> + Send + 'static,
    O: Into<ToolOutput>,
{
    let settings = SchemaSettings::draft2020_12().for_deserialize();
    let schema = settings.into_generator().into_root_schema_for::<A>().to_value();
    FnTool {
        spec: ToolSpec::new(name, description, schema),
        needs: Needs::default(),
        return_direct: false,
        hands_over: false,
        timeout: None,
        function,
        args: PhantomData,
    }
}

/// A tool made by [`tool`].
pub struct FnTool<A, F> {
    spec: ToolSpec,
    needs: Needs,
    return_direct: bool,
    hands_over: bool,
    timeout: Option<Duration>,
    function: F,
    args: PhantomData<fn() -> A>,
}

impl<A, F: Clone> Clone for FnTool<A, F> {
    fn clone(&self) -> Self {
        Self {
            spec: self.spec.clone(),
            needs: self.needs.clone(),
            function: self.function.clone(),
            ..*self
        }
    }
}

impl<A, F> FnTool<A, F> {
    /// Fills in an argument: the model neither sees nor sets it.
    pub fn inject(mut self, argument: &str, what: Inject) -> Self {
        self.needs.args.push((argument.to_owned(), what));
        self
    }

    /// Hands the state to [`ToolCx::state`].
    pub fn with_state(mut self) -> Self {
        self.needs.state = true;
        self
    }

    /// Needs a store; a run without one is an error.
    pub fn with_store(mut self) -> Self {
        self.needs.store = true;
        self
    }

    /// Its result ends an agent's loop.
    pub fn return_direct(mut self) -> Self {
        self.return_direct = true;
        self
    }

    /// It may hand over to another agent; see [`Tool::hands_over`].
    pub fn hands_over(mut self) -> Self {
        self.hands_over = true;
        self
    }

    /// Gives one call this much wall clock.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }
}

#[async_trait]
impl<A, F, Fut, O> Tool for FnTool<A, F>
where
    A: DeserializeOwned + JsonSchema + Send + 'static,
    F: Fn(A, ToolCx) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = NodeResult<O>> + Send + 'static,
    O: Into<ToolOutput>,
{
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn needs(&self) -> Needs {
        self.needs.clone()
    }

    fn return_direct(&self) -> bool {
        self.return_direct
    }

    fn hands_over(&self) -> bool {
        self.hands_over
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    async fn call(&self, args: Map<String, Json>, cx: ToolCx) -> NodeResult<ToolOutput> {
        let args = serde_path_to_error::deserialize(Json::Object(args))
            .map_err(|error| NodeError::from(super::node::BadArguments::of(&error)))?;
        Ok((self.function)(args, cx).await?.into())
    }
}
