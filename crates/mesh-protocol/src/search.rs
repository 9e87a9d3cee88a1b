//! What searches have in common.

use schemars::JsonSchema;
use serde::Deserialize;

/// The order of what a search gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SortOrder {
    /// Smallest first.
    Asc,
    /// Largest first: of times, the newest.
    #[default]
    Desc,
}
