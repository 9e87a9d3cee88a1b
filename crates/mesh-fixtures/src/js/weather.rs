//! `weather`: a graph below another one, with a breakpoint of its own.

use mesh_agents::messages;
use mesh_graph::{Breakpoints, Ctx, Graph, NodeResult, START, Sharing, State, View};
use mesh_model::{Message, Messages};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Built, Error};

#[derive(State)]
struct Router {
    #[state(rule = messages)]
    messages: Messages,
    route: Route,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Route {
    Weather,
    #[default]
    Other,
}

#[derive(State)]
struct Weather {
    #[state(rule = messages)]
    messages: Messages,
    city: String,
}

pub(crate) fn graph() -> Built {
    let mut weather = Graph::<Weather>::new("weather_graph");
    weather.node("model_node", |_: View<Weather>, _: Ctx| async {
        NodeResult::Ok(Weather::update().city("San Francisco"))
    });
    weather.node("weather_node", |state: View<Weather>, _: Ctx| async move {
        let sunny = format!("It's sunny in {}!", *state.city);
        NodeResult::Ok(Weather::update().messages(Message::assistant(sunny)))
    });
    weather.edge(START, "model_node");
    weather.edge("model_node", "weather_node");
    let stop = Breakpoints::At(vec!["weather_node".to_owned()]);
    let weather = weather.compile()?.break_before(stop);
    let weather = weather.map_err(|failure| Error::Breakpoint(Box::new(failure)))?;

    let mut graph = Graph::<Router>::new("weather");
    graph.lenient_input();
    graph.node("router_node", |_: View<Router>, _: Ctx| async {
        NodeResult::Ok(Router::update().route(Route::Weather))
    });
    graph.node("normal_llm_node", |_: View<Router>, _: Ctx| async {
        NodeResult::Ok(Router::update().messages(Message::assistant("Hello")))
    });
    graph.mount_shared("weather_graph", &weather, Sharing::Values);
    graph.edge(START, "router_node");
    graph
        .route("router_node", |state: &View<Router>| match *state.route {
            Route::Weather => "weather_graph",
            Route::Other => "normal_llm_node",
        })
        .targets(["weather_graph", "normal_llm_node"]);
    Ok(graph.compile()?.app(()).untyped())
}
