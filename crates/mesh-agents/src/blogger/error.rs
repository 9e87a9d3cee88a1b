//! Why no post can be made.

use mesh_graph::NodeError;
use mesh_model::{ModelError, StructuredError};

use super::{extract, request::InvalidRequest};
use crate::source::SourceError;

/// Why no post can be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlogError {
    /// The request is not one that can be served.
    #[error(transparent)]
    Request(#[from] InvalidRequest),
    /// A model was asked for by name of the mode, and none is configured.
    #[error("mode `model` was asked for, but no model is configured: set OPENAI_LLM_NAME")]
    NoModel,
    /// Not one source could be read.
    #[error("no source could be read: {}", reasons(.problems))]
    NoSources {
        /// What was tried.
        problems: Vec<crate::source::Problem>,
    },
    /// Not one search of a section was answered.
    #[error("no search was answered: {}", reasons(.problems))]
    NoSearch {
        /// What was tried.
        problems: Vec<crate::source::Problem>,
    },
    /// The outline has no sections.
    #[error("the outline has no sections: there is nothing to write")]
    EmptyPlan,
    /// The sources hold too little about the topic.
    #[error(transparent)]
    Extract(#[from] extract::Error),
    /// A text that was read is no longer on the shelf.
    #[error("the stored text of {location} is gone")]
    LostText {
        /// The source.
        location: String,
        /// Why it cannot be read.
        #[source]
        source: SourceError,
    },
    /// A text cannot be kept.
    #[error("a source cannot be stored")]
    Shelf(#[source] SourceError),
    /// The model failed.
    #[error("the model failed at {task}: {source}")]
    Model {
        /// What it was asked for.
        task: &'static str,
        /// Why.
        source: Box<ModelError>,
    },
    /// The model gave no usable answer.
    #[error("the model gave no usable answer at {task}")]
    Answer {
        /// What it was asked for.
        task: &'static str,
        /// What was wrong.
        #[source]
        source: Box<StructuredError>,
    },
    /// A source id is not one.
    #[error(transparent)]
    SourceId(extract::InvalidSourceId),
    /// A computation panicked.
    #[error("a computation failed")]
    Panicked(#[source] tokio::task::JoinError),
}

/// The code of [`BlogError::NoSearch`].
pub(super) const NO_SEARCH: &str = "no_search";
/// Problems that are named in an error.
const REASONS_SHOWN: usize = 5;

fn reasons(problems: &[crate::source::Problem]) -> String {
    let shown: Vec<String> = problems
        .iter()
        .take(REASONS_SHOWN)
        .map(|problem| format!("{}: {}", problem.subject, problem.reason))
        .collect();
    shown.join("; ")
}

impl BlogError {
    /// The stable name that clients see; none for errors that are nobody's business outside.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Request(_) => Some("invalid_request"),
            Self::NoModel => Some("no_model"),
            Self::NoSources { .. } => Some("no_sources"),
            Self::NoSearch { .. } => Some(NO_SEARCH),
            Self::EmptyPlan => Some("empty_plan"),
            Self::Extract(error) => Some(error.code()),
            Self::Model { .. } | Self::Answer { .. } => Some("model_failed"),
            Self::LostText { .. } | Self::Shelf(_) | Self::SourceId(_) | Self::Panicked(_) => None,
        }
    }

    pub(super) fn asking(task: &'static str) -> impl Fn(StructuredError) -> Self {
        move |error| match error {
            StructuredError::Model { source, .. } => Self::Model { task, source: Box::new(source) },
            source => Self::Answer { task, source: Box::new(source) },
        }
    }
}

/// Turns an error into the node's, with the code that clients see.
pub(super) fn fail(error: impl Into<BlogError>) -> NodeError {
    let error = error.into();
    match error.code() {
        Some(code) => NodeError::coded(code, error),
        None => error.into(),
    }
}
