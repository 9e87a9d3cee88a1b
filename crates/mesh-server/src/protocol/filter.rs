//! What a client wants to hear.

use mesh_graph::v3::Subscription;
use serde_json::{Map, Value as Json};

/// Channels by their whole names; `custom:<name>` is one, too.
const CHANNELS: [&str; 9] = [
    "values",
    "updates",
    "messages",
    "tools",
    "custom",
    "lifecycle",
    "input",
    "tasks",
    "checkpoints",
];

/// Channels of one filter, at most. There are few, but any number of named custom ones.
const CHANNELS_MAX: usize = 256;

/// Namespaces of one filter, at most: each costs a comparison per event.
const NAMESPACES_MAX: usize = 1024;

/// What is wrong with a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// There are no channels.
    NoChannels,
    /// Channels that there are not.
    Unknown(Vec<String>),
    /// A member has more items than anybody needs.
    TooMany {
        /// The member.
        member: &'static str,
        /// Items that it may have.
        max: usize,
    },
}

/// Reads `{channels, namespaces?, depth?, since?}`. Members of other types than these have are as
/// good as left out, except the channels.
///
/// # Errors
/// [`Flaw`].
pub(crate) fn subscription(params: &Map<String, Json>) -> Result<Subscription, Flaw> {
    let channels = match params.get("channels") {
        Some(Json::Array(channels)) if !channels.is_empty() => channels,
        _ => return Err(Flaw::NoChannels),
    };
    if channels.len() > CHANNELS_MAX {
        return Err(Flaw::TooMany { member: "channels", max: CHANNELS_MAX });
    }
    let unknown: Vec<String> = channels
        .iter()
        .filter(|channel| !channel.as_str().is_some_and(is_channel))
        .map(|channel| channel.as_str().map_or_else(|| channel.to_string(), str::to_owned))
        .collect();
    if !unknown.is_empty() {
        return Err(Flaw::Unknown(unknown));
    }
    let channels = channels.iter().filter_map(Json::as_str).map(str::to_owned).collect();
    let namespaces: Vec<Vec<String>> = match params.get("namespaces") {
        Some(given) => serde_json::from_value(given.clone()).unwrap_or_default(),
        None => Vec::new(),
    };
    if namespaces.len() > NAMESPACES_MAX {
        return Err(Flaw::TooMany { member: "namespaces", max: NAMESPACES_MAX });
    }
    let depth = params.get("depth").and_then(Json::as_u64);
    let since = params.get("since").and_then(Json::as_u64).unwrap_or(0);
    Ok(Subscription {
        channels,
        namespaces,
        depth: depth.map(|depth| usize::try_from(depth).unwrap_or(usize::MAX)),
        since,
    })
}

fn is_channel(name: &str) -> bool {
    CHANNELS.contains(&name) || name.strip_prefix("custom:").is_some_and(|name| !name.is_empty())
}

/// The channel that events of a method belong to, without the name of a custom one.
pub(super) fn channel_of(method: &str) -> &str {
    if method == "input.requested" { "input" } else { method }
}

/// Whether a subscription can have any event of this method.
pub(super) fn may_want(subscription: &Subscription, method: &str) -> bool {
    let channel = channel_of(method);
    subscription.channels.iter().any(|listed| listed.split(':').next() == Some(channel))
}

/// Whether a client listens for nothing but how runs go: it has another connection for what they
/// tell.
pub(super) fn only_controls(subscription: &Subscription) -> bool {
    subscription.channels.iter().all(|channel| matches!(&**channel, "lifecycle" | "input"))
}
