//! A post without a model: every sentence of the body is copied from a source, nothing is
//! invented, and the same input gives the same bytes on every machine.
//!
//! The steps are pure and meant to be called one after the other, each from data alone:
//! [`Corpus::new`] reads the documents once, [`outline()`] plans, [`allocate`] decides which sentence
//! goes where, [`section()`] and [`appendices`] write, [`assemble`] joins. Sources are quoted, never
//! reworded; the only words of our own are headings, counts, dates and notes of what is missing,
//! and all of them stand in one file, `wording.rs`.
//!
//! It never asks a model, reads a clock or opens a source: documents come in whole.

mod allocation;
mod another;
mod closing;
mod corpus;
mod dependence;
mod heading;
mod outline;
mod post;
mod quality;
mod section;
mod selection;
mod topic;
mod wording;

pub use self::{
    allocation::{Allocation, Figure, Point, Run, SectionExtracts, Term, allocate},
    another::another,
    closing::{Appendix, AppendixKind, appendices},
    corpus::{Corpus, InvalidSourceId, PassageRef, PassageView, SentenceRef, SourceId},
    outline::{Outline, OutlineSection, PlannedSection, Request, outline},
    post::{NumberedFootnotes, Post, assemble, number_footnotes},
    section::{Evidence, Section, section},
    selection::{estimated_tokens, select_passages},
};

pub(in crate::blogger) use self::section::{escaped, footnote};

#[cfg(test)]
mod tests;

/// Usable sentences that a section needs; with fewer it says so and lists the sources.
pub const SECTION_SENTENCES_MIN: usize = 3;

/// Usable sentences that a post needs.
pub const POST_SENTENCES_MIN: usize = 3;

/// Why no post can be made of extracts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The sources hold next to nothing about the topic, and a post would mislead.
    #[error(
        "too little material: {usable} usable sentences about the topic in {sources} sources, \
         expected at least {POST_SENTENCES_MIN}"
    )]
    TooLittleMaterial {
        /// Sentences about the topic that may be quoted.
        usable: usize,
        /// Sources that were read.
        sources: usize,
    },
}

impl Error {
    /// The stable name that clients see.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLittleMaterial { .. } => "too_little_material",
        }
    }
}
