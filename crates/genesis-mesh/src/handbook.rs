//! The product's own handbook, compiled into the binary: the source of a first post on any
//! machine.

use std::sync::Arc;

use async_trait::async_trait;
use mesh_agents::{
    source::{Collected, Collection, Document, FetchedBy, SourceError, address_of},
    text::{
        bm25::Index,
        language::Language,
        words::{TermId, Vocabulary},
    },
};

macro_rules! pages {
    ($($page:literal),* $(,)?) => {
        /// Every page: its path in the handbook, and its text.
        const PAGES: &[(&str, &str)] = &[$(($page, include_str!(concat!("../../../docs/src/", $page)))),*];
    };
}

pages![
    "blogger.md",
    "concepts.md",
    "configuration.md",
    "differences.md",
    "durability.md",
    "getting-started.md",
    "glossary.md",
    "graphs/durable-steps.md",
    "graphs/first-graph.md",
    "graphs/graphs-in-graphs.md",
    "graphs/interrupts.md",
    "graphs/time-travel.md",
    "graphs/when-a-graph.md",
    "introduction.md",
    "models.md",
    "operation.md",
    "recipes/adding-a-fixture-graph.md",
    "recipes/adding-a-node.md",
    "recipes/adding-a-provider.md",
    "recipes/adding-a-tool.md",
    "recipes/adding-an-endpoint.md",
    "security.md",
    "server/assistants-threads-runs.md",
    "server/event-protocol.md",
    "server/first-run.md",
    "server/measuring.md",
    "server/native-socket.md",
    "server/streams.md",
    "server/what-survives.md",
    "sources-and-safety.md",
    "streaming.md",
    "studio.md",
    "who-may-ask.md",
];

/// The built-in handbook.
#[derive(Debug, Clone, Copy, Default)]
pub struct Handbook;

#[async_trait]
impl Collection for Handbook {
    fn name(&self) -> &'static str {
        "the built-in handbook"
    }

    async fn read(&self, query: &str, documents_max: usize) -> Result<Collected, SourceError> {
        let documents =
            best(query, documents_max).into_iter().map(|(path, text)| document(path, text));
        Ok(Collected {
            documents: documents.collect(),
            considered: PAGES.len(),
            problems: Vec::new(),
        })
    }
}

/// The pages that fit the query best, in order of their paths.
fn best(query: &str, pages_max: usize) -> Vec<(&'static str, &'static str)> {
    let mut words = Vocabulary::default();
    let texts: Vec<Vec<TermId>> =
        PAGES.iter().map(|(_, text)| words.terms(text, Language::English)).collect();
    let query: Vec<(TermId, f64)> =
        words.known_terms(query, Language::English).into_iter().map(|term| (term, 1.0)).collect();
    let scores = Index::new(texts.iter().map(Vec::as_slice), words.len()).scores(&query);
    let mut order: Vec<usize> = (0..PAGES.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    order.truncate(pages_max);
    order.sort_unstable();
    order.into_iter().map(|at| PAGES[at]).collect()
}

fn document(path: &str, text: &'static str) -> Document {
    Document {
        location: format!("handbook/{path}"),
        fetched_by: FetchedBy::Handbook,
        title: text.lines().find_map(|line| line.strip_prefix("# ")).map(str::to_owned),
        author: None,
        published: None,
        media_type: "text/markdown".to_owned(),
        text: Arc::from(text),
        bytes_hash: address_of(text),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn the_handbook_has_every_page_of_the_book() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src");
        let mut found = BTreeSet::new();
        for folder in ["", "graphs", "recipes", "server"] {
            for entry in fs::read_dir(root.join(folder)).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|e| e == "md") && !path.ends_with("SUMMARY.md") {
                    let page = path.strip_prefix(&root).unwrap();
                    found.insert(page.to_string_lossy().into_owned());
                }
            }
        }
        let built_in: BTreeSet<String> = PAGES.iter().map(|(page, _)| (*page).to_owned()).collect();
        assert_eq!(built_in, found);
    }

    #[test]
    fn the_pages_that_fit_come_first_and_in_a_fixed_order() {
        let best = best("How does a run survive a crash?", 3);
        assert!(best.iter().any(|(page, _)| *page == "durability.md"));
        assert!(best.is_sorted());
    }
}
