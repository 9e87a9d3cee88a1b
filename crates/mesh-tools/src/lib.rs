//!
//! Each tool implements one of the traits that agents own ([`mesh_agents::source`]). This crate
//! knows HTTP and file systems and nothing of graphs, models or SQL. What it reads is data: it
//! never runs, follows or obeys anything inside a source.
//!
//! | tool | trait | reads |
//! | --- | --- | --- |
//! | [`PageFetch`] | `Fetch` | public web pages, under [`Guard`] |

pub mod fetch;
pub mod guard;
pub mod main_text;

pub use fetch::{FetchConfig, PageFetch};
pub use guard::Guard;

const _: () = {
    const fn shared<T: Send + Sync + 'static>() {}
    shared::<PageFetch>();
};
