//! The repository as the tests see it: its root, its files, its manifests.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Folders that hold what tools made, or what a person keeps beside the work.
const NOT_OURS: [&str; 6] = [".git", "target", "node_modules", "book", "__pycache__", ".venv"];

/// Files above this size are data, not text that a person wrote.
const TEXT_BYTES_MAX: u64 = 1 << 20;

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Every file of the repository as a path relative to its root, sorted.
pub(crate) fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(root(), &mut found);
    found.sort();
    found
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        // A file may vanish while we look: editors and builds leave short-lived ones.
        let Ok(kind) = path.symlink_metadata() else { continue };
        if kind.is_dir() && !NOT_OURS.contains(&name) {
            walk(&path, found);
        } else if kind.is_file() {
            found.push(path.strip_prefix(root()).unwrap().to_path_buf());
        }
    }
}

/// The text of a file, or `None` for data: not UTF-8, or too large.
pub(crate) fn text(relative: &Path) -> Option<String> {
    let path = root().join(relative);
    let small = fs::metadata(&path).is_ok_and(|meta| meta.len() <= TEXT_BYTES_MAX);
    if small { fs::read_to_string(path).ok() } else { None }
}

/// The text of a file that has to be there.
pub(crate) fn must_read(relative: &str) -> String {
    text(Path::new(relative)).unwrap_or_else(|| panic!("{relative} is missing or is not text"))
}
