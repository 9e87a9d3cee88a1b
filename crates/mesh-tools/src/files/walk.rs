//! Finds the readable files below a folder.

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use cap_std::fs::Dir;
use mesh_agents::source::Problem;

use super::{FolderLimits, said};
use crate::main_text::Markup;

/// Names without an extension that hold text for people.
const TEXT_NAMES: &[&str] = &[
    "authors",
    "changelog",
    "changes",
    "contributing",
    "faq",
    "hacking",
    "history",
    "install",
    "news",
    "notes",
    "readme",
    "todo",
];

/// One file that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Path below the folder, with `/` between its parts.
    pub(super) location: String,
    pub(super) markup: Markup,
    pub(super) media_type: &'static str,
    pub(super) gzip: bool,
    /// Bytes on disk.
    pub(super) bytes: u64,
}

/// What a walk found.
pub(super) struct Found {
    /// By location, bytewise.
    pub(super) files: Vec<Candidate>,
    pub(super) problems: Vec<Problem>,
}

/// Walks the folder depth first in the order of names, so that a limit always cuts at the same
/// place. Entries whose name begins with a dot are left out, and Sphinx's copies of its sources.
///
/// # Errors
/// Only when the folder itself cannot be listed.
pub(super) fn walk(root: &Dir, limits: &FolderLimits, stop: &AtomicBool) -> io::Result<Found> {
    let mut files = Vec::new();
    let mut problems = Vec::new();
    let mut entries = 0_usize;
    let mut open: Vec<(PathBuf, usize)> = vec![(PathBuf::new(), 0)];
    let mut is_full = false;
    while let Some((folder, depth)) = open.pop() {
        if is_full || stop.load(Ordering::Relaxed) {
            break;
        }
        let listed = if depth == 0 { root.entries() } else { root.read_dir(&folder) };
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) if depth == 0 => return Err(error),
            Err(error) => {
                problems.push(unreadable(&folder, &error));
                continue;
            }
        };
        let mut names = Vec::new();
        for entry in listed {
            entries += 1;
            if entries > limits.entries_max {
                problems.push(Problem {
                    subject: ".".to_owned(),
                    reason: format!("only its first {} entries were looked at", limits.entries_max),
                });
                is_full = true;
                break;
            }
            match entry {
                Ok(entry) => names.push((entry.file_name(), entry.file_type())),
                Err(error) => problems.push(unreadable(&folder, &error)),
            }
        }
        names.sort_by(|left, right| left.0.cmp(&right.0));
        let mut folders = Vec::new();
        for (name, kind) in names {
            let path = folder.join(&name);
            let Some(location) = location(&path) else {
                problems.push(Problem {
                    subject: path.to_string_lossy().into_owned(),
                    reason: "its name is no Unicode text".to_owned(),
                });
                continue;
            };
            let name = name.to_string_lossy();
            // Sphinx puts the sources of its pages beside them.
            if name.starts_with('.') || (name == "_sources") {
                continue;
            }
            let kind = match kind {
                Ok(kind) => kind,
                Err(error) => {
                    problems.push(unreadable(&path, &error));
                    continue;
                }
            };
            if kind.is_dir() {
                if depth + 1 > limits.depth_max {
                    problems.push(Problem {
                        subject: location,
                        reason: format!("more than {} folders inside each other", limits.depth_max),
                    });
                } else {
                    folders.push((path, depth + 1));
                }
            } else if kind.is_symlink() {
                problems.extend(judge_link(root, &path, location));
            } else if kind.is_file()
                && let Some((markup, media_type, gzip)) = kind_of(&name)
            {
                if files.len() == limits.files_max {
                    problems.push(Problem {
                        subject: ".".to_owned(),
                        reason: format!("only its first {} files were read", limits.files_max),
                    });
                    is_full = true;
                    break;
                }
                match root.symlink_metadata(&path) {
                    Ok(metadata) => files.push(Candidate {
                        location,
                        markup,
                        media_type,
                        gzip,
                        bytes: metadata.len(),
                    }),
                    Err(error) => problems.push(unreadable(&path, &error)),
                }
            }
        }
        // A stack: the first name is looked at next.
        open.extend(folders.into_iter().rev());
    }
    files.sort_by(|left: &Candidate, right| left.location.cmp(&right.location));
    Ok(Found { files, problems })
}

/// A link is not followed. One that leads out of the folder, or nowhere, is worth a note when it
/// looks like something that would have been read; one that stays inside is found by its target.
fn judge_link(root: &Dir, path: &Path, location: String) -> Option<Problem> {
    let reason = match root.metadata(path) {
        Ok(_) => return None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => "a link that leads nowhere",
        Err(_) => "a link that leads out of the folder",
    };
    let name = path.file_name()?.to_string_lossy();
    let is_readable = kind_of(&name).is_some() || path.extension().is_none();
    is_readable.then(|| Problem { subject: location, reason: reason.to_owned() })
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    let subject = if path.as_os_str().is_empty() { ".".into() } else { path.to_string_lossy() };
    Problem { subject: subject.into_owned(), reason: format!("cannot be read: {}", said(error)) }
}

fn location(path: &Path) -> Option<String> {
    let parts: Option<Vec<&str>> =
        path.components().map(|component| component.as_os_str().to_str()).collect();
    Some(parts?.join("/"))
}

/// How a file is read, by its name: markup, media type, whether it is gzipped.
fn kind_of(name: &str) -> Option<(Markup, &'static str, bool)> {
    let name = name.to_lowercase();
    let (name, gzip) = match name.strip_suffix(".gz") {
        Some(inner) => (inner, true),
        None => (name.as_str(), false),
    };
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) => (stem, Some(extension)),
        None => (name, None),
    };
    let (markup, media_type) = match extension {
        Some("md" | "markdown") => (Markup::Markdown, "text/markdown"),
        Some("html" | "htm") => (Markup::Html, "text/html"),
        Some("xhtml") => (Markup::Html, "application/xhtml+xml"),
        Some("txt" | "rst") => (Markup::Plain, "text/plain"),
        Some("adoc" | "asciidoc") => (Markup::AsciiDoc, "text/plain"),
        None | Some("debian") if TEXT_NAMES.contains(&stem) => (Markup::Plain, "text/plain"),
        _ => return None,
    };
    Some((markup, media_type, gzip))
}
