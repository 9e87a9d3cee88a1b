//! Texts that are the same but for a few words: syndicated pages, copied paragraphs.
//!
//! A 64-bit SimHash over 5-word shingles finds candidates, the Jaccard index of the shingles
//! confirms them.

use super::words::lower_words;

/// Words of one shingle.
const SHINGLE_WORDS: usize = 5;
/// Bits in which two hashes may differ.
const DISTANCE_MAX: u32 = 3;
/// Share of shingles that two texts must have in common.
const JACCARD_MIN: f64 = 0.8;

/// What is kept of a text to compare it: its SimHash and its shingles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    hash: u64,
    /// Sorted, without repetition.
    shingles: Vec<u64>,
}

impl Fingerprint {
    /// The fingerprint of a text. A text of fewer than five words is one shingle.
    pub fn new(text: &str) -> Self {
        let words: Vec<u64> = lower_words(text).map(|word| hash_of(word.as_bytes())).collect();
        let mut shingles: Vec<u64> = if words.len() < SHINGLE_WORDS {
            vec![joined(&words)]
        } else {
            words.windows(SHINGLE_WORDS).map(joined).collect()
        };
        shingles.sort_unstable();
        shingles.dedup();
        Self { hash: sim_hash(&shingles), shingles }
    }

    /// Whether two texts are the same but for a few words.
    pub fn is_near(&self, other: &Self) -> bool {
        (self.hash ^ other.hash).count_ones() <= DISTANCE_MAX && self.jaccard(other) >= JACCARD_MIN
    }

    /// Shingles in common over shingles in all, 0 to 1.
    pub fn jaccard(&self, other: &Self) -> f64 {
        jaccard(&self.shingles, &other.shingles)
    }
}

/// For every text the first text that it repeats, or its own index.
pub fn groups(fingerprints: &[Fingerprint]) -> Vec<usize> {
    let mut group: Vec<usize> = Vec::with_capacity(fingerprints.len());
    for (at, fingerprint) in fingerprints.iter().enumerate() {
        let first = (0..at).find(|&n| group[n] == n && fingerprints[n].is_near(fingerprint));
        group.push(first.unwrap_or(at));
    }
    group
}

/// Items in common over items in all, of two sorted lists without repetition.
pub fn jaccard<T: Ord>(left: &[T], right: &[T]) -> f64 {
    let common = common(left, right);
    let all = left.len() + right.len() - common;
    if all == 0 { 0.0 } else { common as f64 / all as f64 }
}

/// How many items two sorted lists without repetition have in common.
pub fn common<T: Ord>(left: &[T], right: &[T]) -> usize {
    let (mut a, mut b, mut count) = (0, 0, 0);
    while let (Some(x), Some(y)) = (left.get(a), right.get(b)) {
        match x.cmp(y) {
            std::cmp::Ordering::Less => a += 1,
            std::cmp::Ordering::Greater => b += 1,
            std::cmp::Ordering::Equal => {
                count += 1;
                a += 1;
                b += 1;
            }
        }
    }
    count
}

/// FNV-1a with a finishing mix, so that every bit depends on every byte. The standard library's
/// hashes are not promised to stay the same between releases.
fn hash_of(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for &byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    mixed(hash)
}

fn joined(words: &[u64]) -> u64 {
    words.iter().fold(0, |hash, &word| mixed(hash.wrapping_mul(31).wrapping_add(word)))
}

fn mixed(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

fn sim_hash(shingles: &[u64]) -> u64 {
    let mut votes = [0_i64; 64];
    for &shingle in shingles {
        for (bit, vote) in votes.iter_mut().enumerate() {
            *vote += if shingle >> bit & 1 == 1 { 1 } else { -1 };
        }
    }
    votes
        .iter()
        .enumerate()
        .filter(|&(_, &vote)| vote > 0)
        .fold(0, |hash, (bit, _)| hash | 1 << bit)
}
