//! A compiled graph without its types: numbered nodes with what follows each.
//!
//! The planner and the driver work on it and never change it.

use std::{any::TypeId, collections::HashMap, sync::Arc};

use serde_json::{Map, Value as Json};
use smallvec::SmallVec;

use super::Tags;
use crate::{
    cache::CachePolicy,
    channel::{Schema, Values},
    command::{Goto, Route, Send},
    error::Failure,
    join::JoinSpec,
    names::{self, END, START},
    node::{ArgCodec, NodeFn},
    policy::Policies,
    state::Update,
    timeout::Timeout,
};

/// Position of a node in its graph. Nodes are numbered by name, so that number order is apply
/// order; START is number 0.
pub(crate) type NodeId = u32;
/// Position of a join in its graph.
pub(crate) type JoinId = u32;

/// The number of the hidden node that applies the input.
pub(crate) const START_ID: NodeId = 0;
/// A router's function over the fresh state of its task.
pub(super) type Decide = Arc<dyn Fn(&Arc<Schema>, &Values) -> Route + std::marker::Send + Sync>;

/// A compiled graph without its types: what the planner and the driver work on.
pub(crate) struct Core {
    pub(crate) name: Arc<str>,
    pub(crate) schema: Arc<Schema>,
    pub(crate) nodes: Vec<NodeSpec>,
    pub(crate) joins: Vec<JoinSpec>,
    /// The joins that may fire before all of their sources have arrived.
    pub(crate) loose: Vec<JoinId>,
    /// Where the fields of the state and of its parts are in the schema.
    pub(super) parts: HashMap<TypeId, Arc<[usize]>>,
    /// Unknown keys of an input are ignored.
    pub(crate) lenient_input: bool,
    /// JSON Schema of what its nodes read of a run's context, if it says so.
    pub(crate) context: Option<Json>,
}

pub(crate) struct NodeSpec {
    pub(crate) name: Arc<str>,
    /// `None` for START, which applies the input.
    pub(crate) run: Option<Arc<dyn NodeFn>>,
    pub(crate) defer: bool,
    /// The keys it reads, of an untyped state; none stands for all.
    pub(crate) reads: Option<Box<[usize]>>,
    /// The keys it writes at most, if it declares them.
    pub(crate) writes: Option<Box<[usize]>>,
    pub(crate) exits: Exits,
    /// `branch:to:<name>`, as streams show what triggered a task.
    pub(crate) trigger: Arc<str>,
    pub(crate) cache: Option<Arc<CachePolicy>>,
    /// Where the node's own gotos may lead, as far as that is declared.
    pub(super) targets: Vec<Target>,
    /// Its place among the nodes as they were added; START is before all.
    pub(super) declared: usize,
    pub(crate) metadata: Map<String, Json>,
    pub(crate) tags: Tags,
    /// None for a node that nothing watches over.
    pub(crate) policies: Option<Box<Policies>>,
}

/// What follows a node.
#[derive(Default)]
pub(crate) struct Exits {
    pub(crate) edges: Vec<NodeId>,
    pub(crate) joins: Vec<JoinId>,
    pub(crate) routers: Vec<Router>,
}

pub(crate) struct Router {
    pub(super) decide: Decide,
    pub(super) closed: Option<Vec<Target>>,
    pub(super) labels: Option<HashMap<Arc<str>, Target>>,
    pub(super) empty: Option<Target>,
    /// It sends to its one target, once for every item of a list.
    pub(super) fan_out: bool,
}

/// Where an edge leads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Node(NodeId),
    End,
}

impl Target {
    pub(super) fn node(self) -> Option<NodeId> {
        match self {
            Self::Node(id) => Some(id),
            Self::End => None,
        }
    }
}

/// Where a task leads, by number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leads {
    pub(crate) nodes: SmallVec<[NodeId; 4]>,
    pub(crate) sends: Vec<Sent>,
    /// Optional sources of joins that will not come.
    pub(crate) absent: Vec<NodeId>,
    /// A router that declared sends returned none.
    pub(crate) empty_fan_out: bool,
}

/// A `Send` whose target was found and whose argument fits it.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) node: NodeId,
    pub(crate) arg: crate::value::Value,
    pub(crate) timeout: Option<Box<Timeout>>,
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sent({})", self.node)
    }
}

impl Core {
    pub(crate) fn node(&self, id: NodeId) -> &NodeSpec {
        &self.nodes[id as usize]
    }

    pub(crate) fn find(&self, name: &str) -> Option<NodeId> {
        if name == START {
            return Some(START_ID);
        }
        // Nodes are numbered by name, after START. Nobody finds those that are hidden.
        let found = self.nodes[1..].binary_search_by(|node| (*node.name).cmp(name)).ok()?;
        (!names::is_handler(name)).then_some(found as NodeId + 1)
    }

    /// Moves the writes of an update of a part to where its keys are in the schema.
    pub(crate) fn place(&self, update: &mut Update) -> Result<(), Failure> {
        let Some(part) = update.part.take() else { return Ok(()) };
        let unknown = || {
            Failure::invalid_update(
                "an update of a part that the graph does not know: no node reads it, so add it \
                 with `Graph::part`",
            )
        };
        let positions = self.parts.get(&(part.id)()).ok_or_else(unknown)?;
        for write in &mut update.writes {
            write.channel = *positions.get(write.channel).ok_or_else(unknown)?;
        }
        Ok(())
    }

    /// Where the fields of a part are in the schema.
    pub(crate) fn positions(&self, part: TypeId) -> Option<&[usize]> {
        self.parts.get(&part).map(|positions| &**positions)
    }

    /// Resolves one target into where it leads; END leads nowhere.
    pub(crate) fn resolve(&self, goto: Goto, leads: &mut Leads) -> Result<(), Failure> {
        match goto {
            Goto::Node(name) if &*name == END => Ok(()),
            Goto::Node(name) if &*name == START => {
                Err(Failure::invalid_route("START cannot be gone to"))
            }
            Goto::Node(name) => {
                let id = self.find(&name).ok_or_else(|| Failure::unknown_target(&name))?;
                leads.nodes.push(id);
                Ok(())
            }
            Goto::NotComing(name) => {
                let id = self.find(&name).ok_or_else(|| Failure::unknown_target(&name))?;
                let is_optional = |join: &JoinId| self.joins[*join as usize].optional.contains(&id);
                if !self.loose.iter().any(is_optional) {
                    return Err(Failure::invalid_route(format!(
                        "`{name}` is no optional source of a join, so it cannot be said not to come"
                    )));
                }
                leads.absent.push(id);
                Ok(())
            }
            Goto::Send(send) if &*send.node == END || &*send.node == START => {
                Err(Failure::invalid_update(format!("a Send cannot go to {}", send.node)))
            }
            Goto::Send(send) => {
                let id =
                    self.find(&send.node).ok_or_else(|| Failure::unknown_target(&send.node))?;
                let timeout = send.timeout.clone();
                if timeout.as_ref().is_some_and(|timeout| !timeout.is_valid()) {
                    return Err(Failure::invalid_update(format!(
                        "the timeout of the Send to `{}` has to be more than zero",
                        send.node
                    )));
                }
                leads.sends.push(Sent { node: id, arg: self.fit_argument(id, send)?, timeout });
                Ok(())
            }
        }
    }

    fn fit_argument(&self, id: NodeId, send: Send) -> Result<crate::value::Value, Failure> {
        use crate::command::Arg;
        let spec = self.node(id);
        let Some(run) = &spec.run else {
            return Err(Failure::unknown_target(&send.node));
        };
        let wrong = |expected: &str| {
            Failure::invalid_update(format!(
                "the argument of the Send to `{}` is no {expected}",
                spec.name
            ))
        };
        match (run.arg(), send.arg) {
            (ArgCodec::State, Arg::State(mut update)) => {
                self.place(&mut update)?;
                Ok(Arc::new(update.into_values(&self.schema)?))
            }
            (ArgCodec::State, Arg::Json(json)) => {
                let update = Update::from_json(&self.schema, json, |_| true)?;
                Ok(Arc::new(update.into_values(&self.schema)?))
            }
            (ArgCodec::State, Arg::Typed(_)) => Err(wrong("partial state")),
            (ArgCodec::Typed(codec), Arg::Json(json)) => codec.from_json(json).map_err(|error| {
                Failure::invalid_update(format!("Send to `{}`: {error}", spec.name))
            }),
            (ArgCodec::Typed(codec), Arg::Typed(value)) => {
                if codec.accepts(&value) {
                    Ok(value)
                } else {
                    Err(wrong(codec.type_name()))
                }
            }
            (ArgCodec::Typed(codec), Arg::State(_)) => Err(wrong(codec.type_name())),
            (ArgCodec::Json, Arg::Json(json)) => Ok(Arc::new(json)),
            (ArgCodec::Json, Arg::Typed(value)) if value.is::<Json>() => Ok(value),
            (ArgCodec::Json, Arg::Typed(_) | Arg::State(_)) => Err(wrong("JSON value")),
        }
    }

    /// Decides where a router leads, given the fresh state of its task.
    pub(crate) fn decide(
        &self,
        router: &Router,
        fresh: &Values,
        leads: &mut Leads,
    ) -> Result<(), Failure> {
        let gotos = (router.decide)(&self.schema, fresh).0?;
        if gotos.is_empty() {
            match router.empty {
                Some(target) => leads.nodes.extend(target.node()),
                None => leads.empty_fan_out = true,
            }
            return Ok(());
        }
        for goto in gotos {
            let goto = match (&router.labels, goto) {
                (Some(labels), Goto::Node(label)) => match labels.get(&label) {
                    Some(target) => {
                        leads.nodes.extend(target.node());
                        continue;
                    }
                    None => return Err(unknown_label(&label, labels)),
                },
                (_, goto) => goto,
            };
            let before = (leads.nodes.len(), leads.sends.len());
            self.resolve(goto, leads)?;
            if let Some(closed) = &router.closed {
                let nodes = leads.nodes[before.0..].iter().copied();
                let sends = leads.sends[before.1..].iter().map(|send| send.node);
                if let Some(other) =
                    nodes.chain(sends).find(|id| !closed.contains(&Target::Node(*id)))
                {
                    return Err(Failure::unknown_target(&self.node(other).name));
                }
            }
        }
        Ok(())
    }
}

fn unknown_label(label: &str, labels: &HashMap<Arc<str>, Target>) -> Failure {
    let mut known: Vec<&str> = labels.keys().map(|label| &**label).collect();
    known.sort_unstable();
    let mut failure = Failure::unknown_target(label);
    failure.message = format!("the router returned `{label}`; its labels are {}", known.join(", "));
    failure
}
