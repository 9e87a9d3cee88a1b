//! Passages: pieces of a document that are small enough to hand to a reader or a model and large
//! enough to make sense.

use std::ops::Range;

use super::{
    language::Language,
    markdown::{Block, BlockKind},
    sentence::sentences,
    words,
};

/// Words of a passage at least, unless all text under its heading has fewer.
pub const PASSAGE_WORDS_MIN: usize = 60;
/// Words of a passage at most, unless a single sentence, code block or table has more.
pub const PASSAGE_WORDS_MAX: usize = 180;
/// Words aimed at when a long stretch is cut into equal parts.
const PASSAGE_WORDS_AIM: usize = 120;

/// One passage of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// Bytes of the document.
    pub range: Range<usize>,
    /// Index, in the blocks given, of the nearest heading above; `None` before the first heading.
    pub heading: Option<usize>,
    /// Words in it.
    pub words: usize,
}

/// A document cut into passages: on sentence borders, each under one heading, in order.
///
/// Code and tables are not cut, quotes and lists are text as any other, headings are in no passage.
pub fn passages(text: &str, blocks: &[Block], language: Language) -> Vec<Passage> {
    let mut passages = Vec::new();
    let mut heading = None;
    let mut pieces: Vec<(Range<usize>, usize)> = Vec::new();
    for (at, block) in blocks.iter().enumerate() {
        let part = text.get(block.range.clone()).unwrap_or_default();
        match block.kind {
            BlockKind::Heading(_) => {
                cut(&std::mem::take(&mut pieces), heading, &mut passages);
                heading = Some(at);
            }
            BlockKind::Other => {}
            BlockKind::Code | BlockKind::Table => {
                pieces.push((block.range.clone(), words::count(part)));
            }
            BlockKind::Paragraph | BlockKind::ListItem | BlockKind::Quote => {
                for range in sentences(text, block.range.clone(), language) {
                    let count = words::count(text.get(range.clone()).unwrap_or_default());
                    pieces.push((range, count));
                }
            }
        }
    }
    cut(&pieces, heading, &mut passages);
    passages
}

/// Cuts one stretch into parts of about equal length, so that no short tail is left over.
fn cut(pieces: &[(Range<usize>, usize)], heading: Option<usize>, passages: &mut Vec<Passage>) {
    let total: usize = pieces.iter().map(|&(_, words)| words).sum();
    let parts =
        total.div_ceil(PASSAGE_WORDS_MAX).max((total + PASSAGE_WORDS_AIM / 2) / PASSAGE_WORDS_AIM);
    let aim = if parts == 0 { 0 } else { total.div_ceil(parts) };
    let mut open: Option<Passage> = None;
    let mut left = total;
    for (range, words) in pieces {
        if let Some(passage) = &mut open {
            let tail_is_short =
                left < PASSAGE_WORDS_MIN && passage.words + left <= PASSAGE_WORDS_MAX;
            let full = passage.words >= aim
                || passage.words >= PASSAGE_WORDS_MIN && passage.words + words > PASSAGE_WORDS_MAX;
            if full && !tail_is_short {
                passages.extend(open.take());
            } else {
                passage.range.end = range.end;
                passage.words += words;
                left -= words;
                continue;
            }
        }
        open = Some(Passage { range: range.clone(), heading, words: *words });
        left -= words;
    }
    passages.extend(open);
}
