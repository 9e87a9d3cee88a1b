//! Tools for agents: web search, guarded fetch, page to Markdown, files.
//!
//! Each tool implements one of the traits that agents own ([`mesh_agents::source`]). This crate
//! knows HTTP and file systems and nothing of graphs, models or SQL. What it reads is data: it
//! never runs, follows or obeys anything inside a source.
//!
//! | tool | trait | reads |
//! | --- | --- | --- |
//! | [`PageFetch`] | `Fetch` | public web pages, under [`Guard`] |
//! | [`SearXng`] | `Search` | a SearXNG instance |
//! | [`Folder`] | `Collection` | files below one folder |
//! | [`document::ConfiguredDocument`] | none | one document of the operator's choice |
//! | [`FolderShelf`] | `Shelf` | texts by their hash |

pub mod document;
pub mod fetch;
pub mod files;
pub mod guard;
pub mod main_text;
pub mod post;
pub mod searxng;
pub mod shelf;

pub use fetch::{FetchConfig, PageFetch};
pub use files::{Folder, FolderLimits};
pub use guard::Guard;
pub use post::Post;
pub use searxng::{SearXng, SearXngConfig};
pub use shelf::FolderShelf;

const _: () = {
    const fn shared<T: Send + Sync + 'static>() {}
    shared::<PageFetch>();
    shared::<SearXng>();
    shared::<Folder>();
    shared::<FolderShelf>();
};
