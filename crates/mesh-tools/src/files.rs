//! Reads documents of one folder and never leaves it.
//!
//! The folder is opened once as a capability; every later path is resolved below it by the
//! operating system, so that neither `..` nor a link leads out. One pass ranks the raw files by
//! words; only the best are converted to Markdown. Files are read, never run, written or changed,
//! and links are not followed: a file inside the folder is found under its own name.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use async_trait::async_trait;
use cap_std::{ambient_authority, fs::Dir};
use flate2::read::MultiGzDecoder;
use futures::{StreamExt as _, stream};
use mesh_agents::source::{Collected, Collection, Document, FetchedBy, Problem, SourceError};

use crate::{
    fetch::decode,
    main_text::{self, Markup},
};

mod rank;
mod walk;

use rank::{Query, Signature, Weighed};
use walk::Candidate;

/// Readable files that are looked at in one folder.
pub const FILES_MAX: usize = 20_000;

/// Directory entries of any kind that are looked at in one folder.
pub const ENTRIES_MAX: usize = 200_000;

/// Bytes of one file, also after decompression.
pub const FILE_BYTES_MAX: usize = 2_000_000;

/// Bytes of all files that are read to rank them.
pub const RANKED_BYTES_MAX: u64 = 512_000_000;

/// Folders inside each other.
pub const DEPTH_MAX: usize = 32;

/// Problems that are listed one by one; the rest is one line with their number.
pub const PROBLEMS_MAX: usize = 100;

/// Threads that read and rank; more only wait for the same disk.
const THREADS_MAX: usize = 8;

/// Candidates that are compared for each document that is wanted, before copies of one text may
/// leave places empty.
const COMPARED_PER_DOCUMENT: usize = 4;

/// A folder of Markdown, text and HTML files, also gzipped ones.
#[derive(Debug, Clone)]
pub struct Folder {
    name: String,
    path: PathBuf,
    root: Arc<Dir>,
    limits: FolderLimits,
}

/// What limits one reading of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FolderLimits {
    /// Readable files.
    pub files_max: usize,
    /// Directory entries of any kind.
    pub entries_max: usize,
    /// Bytes of one file, also after decompression.
    pub file_bytes_max: usize,
    /// Bytes of all files that are ranked.
    pub ranked_bytes_max: u64,
    /// Folders inside each other.
    pub depth_max: usize,
}

impl Default for FolderLimits {
    fn default() -> Self {
        Self {
            files_max: FILES_MAX,
            entries_max: ENTRIES_MAX,
            file_bytes_max: FILE_BYTES_MAX,
            ranked_bytes_max: RANKED_BYTES_MAX,
            depth_max: DEPTH_MAX,
        }
    }
}

impl Folder {
    /// Opens a folder. A link as the path itself is followed, since whoever names it means its
    /// target; blocks for as long as the system takes to open a directory.
    ///
    /// # Errors
    /// [`SourceError::Unreachable`] names the path.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, SourceError> {
        let path = path.as_ref().to_owned();
        let root = Dir::open_ambient_dir(&path, ambient_authority())
            .map_err(|error| unreachable_folder(&path, &error))?;
        let name = format!("folder {}", path.display());
        Ok(Self { name, path, root: Arc::new(root), limits: FolderLimits::default() })
    }

    /// The same folder under other limits.
    pub fn with_limits(self, limits: FolderLimits) -> Self {
        Self { limits, ..self }
    }
}

fn unreachable_folder(path: &Path, error: &io::Error) -> SourceError {
    SourceError::Unreachable {
        reason: format!("folder {} cannot be read: {}", path.display(), said(error)),
    }
}

/// An error of the system in words, without numbers and paths.
fn said(error: &io::Error) -> String {
    error.kind().to_string()
}

#[async_trait]
impl Collection for Folder {
    fn name(&self) -> &str {
        &self.name
    }

    async fn read(&self, query: &str, documents_max: usize) -> Result<Collected, SourceError> {
        let stop = StopOnDrop::default();
        let job = Job {
            root: self.root.clone(),
            limits: self.limits,
            query: Query::new(query),
            stop: stop.0.clone(),
        };
        let chosen = tokio::task::spawn_blocking(move || job.choose(documents_max));
        let chosen = match chosen.await {
            Ok(Ok(chosen)) => chosen,
            Ok(Err(error)) => return Err(unreachable_folder(&self.path, &error)),
            Err(_panic) => {
                return Err(SourceError::Unreachable {
                    reason: format!("folder {} could not be ranked", self.path.display()),
                });
            }
        };
        let Chosen { files, considered, mut problems } = chosen;

        let parallel = thread::available_parallelism().map_or(1, usize::from);
        let mut converted = stream::iter(files.into_iter().map(|file| {
            let (root, bytes_max) = (self.root.clone(), self.limits.file_bytes_max);
            let location = file.location.clone();
            let task = tokio::task::spawn_blocking(move || convert(&root, &file, bytes_max));
            async move {
                task.await.unwrap_or_else(|_panic| {
                    Err(Problem {
                        subject: location,
                        reason: "its text could not be extracted".to_owned(),
                    })
                })
            }
        }))
        .buffer_unordered(parallel);
        let mut documents = Vec::new();
        while let Some(result) = converted.next().await {
            match result {
                Ok(document) => documents.push(document),
                Err(problem) => problems.push(problem),
            }
        }
        documents.sort_by(|left: &Document, right| left.location.cmp(&right.location));
        Ok(Collected { documents, considered, problems: shortened(problems, &self.name) })
    }
}

/// Problems by subject, the first [`PROBLEMS_MAX`] of them.
fn shortened(mut problems: Vec<Problem>, name: &str) -> Vec<Problem> {
    problems.sort_by(|left, right| {
        left.subject.cmp(&right.subject).then_with(|| left.reason.cmp(&right.reason))
    });
    let more = problems.len().saturating_sub(PROBLEMS_MAX);
    problems.truncate(PROBLEMS_MAX);
    if more > 0 {
        problems.push(Problem {
            subject: name.to_owned(),
            reason: format!("{more} more files were skipped"),
        });
    }
    problems
}

/// Tells the ranking threads that nobody waits for them any more.
#[derive(Default)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One pass over the folder, on the blocking pool.
struct Job {
    root: Arc<Dir>,
    limits: FolderLimits,
    query: Query,
    stop: Arc<AtomicBool>,
}

struct Chosen {
    files: Vec<Candidate>,
    considered: usize,
    problems: Vec<Problem>,
}

impl Job {
    fn choose(&self, documents_max: usize) -> io::Result<Chosen> {
        let walk::Found { mut files, mut problems } =
            walk::walk(&self.root, &self.limits, &self.stop)?;
        let considered = files.len();
        self.keep_within_bytes(&mut files, &mut problems);
        let weighed = self.weigh(&files, &mut problems);
        let order = rank::order(&files, &weighed, &self.query, documents_max);
        let picked = self.without_copies(&files, &weighed, &order, documents_max);
        let files = picked.into_iter().map(|index| files[index].clone()).collect();
        Ok(Chosen { files, considered, problems })
    }

    /// Drops files that are too large, and those after the limit on all bytes together.
    fn keep_within_bytes(&self, files: &mut Vec<Candidate>, problems: &mut Vec<Problem>) {
        let mut bytes = 0_u64;
        let mut beyond = 0_usize;
        files.retain(|file| {
            if file.bytes > self.limits.file_bytes_max as u64 {
                problems.push(too_large(&file.location, self.limits.file_bytes_max));
                return false;
            }
            bytes = bytes.saturating_add(file.bytes);
            if bytes > self.limits.ranked_bytes_max {
                beyond += 1;
            }
            bytes <= self.limits.ranked_bytes_max
        });
        if beyond > 0 {
            let limit = self.limits.ranked_bytes_max / 1_000_000;
            problems.push(Problem {
                subject: ".".to_owned(),
                reason: format!("{beyond} files were not looked at: over the limit of {limit} MB"),
            });
        }
    }

    /// Counts words in every file, in parallel; the result does not depend on the threads.
    fn weigh(&self, files: &[Candidate], problems: &mut Vec<Problem>) -> Vec<Option<Weighed>> {
        let next = AtomicUsize::new(0);
        let results: Mutex<Vec<(usize, Result<Weighed, Problem>)>> = Mutex::new(Vec::new());
        let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let mut own = Vec::new();
                    while !self.stop.load(Ordering::Relaxed) {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(file) = files.get(index) else { break };
                        let weighed = read_text(&self.root, file, self.limits.file_bytes_max)
                            .map(|read| rank::weigh(&read.text, file.markup, &self.query));
                        own.push((index, weighed));
                    }
                    results.lock().unwrap_or_else(PoisonError::into_inner).extend(own);
                });
            }
        });
        let mut weighed = Vec::new();
        weighed.resize_with(files.len(), || None);
        for (index, result) in results.into_inner().unwrap_or_else(PoisonError::into_inner) {
            match result {
                Ok(found) => weighed[index] = Some(found),
                Err(problem) => problems.push(problem),
            }
        }
        weighed
    }

    /// The best files, without those that repeat a better one nearly word for word.
    fn without_copies(
        &self,
        files: &[Candidate],
        weighed: &[Option<Weighed>],
        order: &[usize],
        documents_max: usize,
    ) -> Vec<usize> {
        let mut picked: Vec<(usize, Signature)> = Vec::new();
        let compared_max = documents_max.saturating_mul(COMPARED_PER_DOCUMENT);
        for &index in order.iter().take(compared_max) {
            if picked.len() == documents_max || self.stop.load(Ordering::Relaxed) {
                break;
            }
            let file = &files[index];
            // Readable a moment ago; if it is gone now, converting it would fail as well.
            let Ok(read) = read_text(&self.root, file, self.limits.file_bytes_max) else {
                continue;
            };
            let words = weighed[index].as_ref().map_or(0, |weighed| weighed.words);
            let signature = Signature::new(&read.text, file.markup, words);
            let same = |(other, known): &&mut (usize, Signature)| {
                known.is_copy(&signature)
                    || (is_same_page(&files[*other], file) && known.is_edition(&signature))
            };
            let Some(kept) = picked.iter_mut().find(same) else {
                picked.push((index, signature));
                continue;
            };
            // Of one page's editions the one that is marked up says more.
            let better = files[kept.0].markup == Markup::Plain && file.markup != Markup::Plain;
            if better && is_same_page(&files[kept.0], file) {
                *kept = (index, signature);
            }
        }
        picked.into_iter().map(|(index, _)| index).collect()
    }
}

/// Whether two files differ in nothing but what follows the first dot of their names.
fn is_same_page(left: &Candidate, right: &Candidate) -> bool {
    fn page(location: &str) -> &str {
        let name = location.rfind('/').map_or(0, |slash| slash + 1);
        let stem = location[name..].find('.').map_or(location.len(), |dot| name + dot);
        &location[..stem]
    }
    page(&left.location) == page(&right.location)
}

/// A file's text and the hash of its bytes after decompression.
struct ReadText {
    text: String,
    bytes_hash: String,
}

fn too_large(location: &str, bytes_max: usize) -> Problem {
    let limit = format!("{} MB per file", bytes_max as f64 / 1e6);
    SourceError::TooLarge { limit }.into_problem(location)
}

fn read_text(root: &Dir, file: &Candidate, bytes_max: usize) -> Result<ReadText, Problem> {
    let failed = |error: io::Error| Problem {
        subject: file.location.clone(),
        reason: format!("cannot be read: {}", said(&error)),
    };
    let opened = root.open(&file.location).map_err(failed)?;
    let mut bytes = Vec::new();
    // One byte more than allowed tells a full file from a cut one.
    let bound = bytes_max as u64 + 1;
    if file.gzip {
        MultiGzDecoder::new(opened).take(bound).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        opened.take(bound).read_to_end(&mut bytes).map_err(failed)?;
    }
    if bytes.len() > bytes_max {
        return Err(too_large(&file.location, bytes_max));
    }
    let is_wide = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
    if !is_wide && bytes.contains(&0) {
        return Err(Problem {
            subject: file.location.clone(),
            reason: "holds bytes that are no text".to_owned(),
        });
    }
    let bytes_hash = blake3::hash(&bytes).to_hex().to_string();
    let text = decode(&bytes, None, file.markup == Markup::Html);
    Ok(ReadText { text, bytes_hash })
}

fn convert(root: &Dir, file: &Candidate, bytes_max: usize) -> Result<Document, Problem> {
    let read = read_text(root, file, bytes_max)?;
    let main = main_text::extract_now(file.markup, &read.text, None)
        .map_err(|reason| SourceError::from(reason).into_problem(&file.location))?;
    Ok(Document {
        location: file.location.clone(),
        fetched_by: FetchedBy::File,
        title: main.title,
        author: main.author,
        published: main.published,
        media_type: file.media_type.to_owned(),
        text: main.markdown.into(),
        bytes_hash: read.bytes_hash,
    })
}
