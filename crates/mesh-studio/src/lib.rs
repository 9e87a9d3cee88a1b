//! The Studio as files: what `studio/` builds, compiled in.
//!
//! This crate holds bytes and their types. It knows no HTTP and reads nothing when it runs. The
//! files below `assets` are made by `npm run build` in `studio/` and committed, so that building
//! the binary needs no Node.

/// A file of the Studio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    /// Its path below the Studio's own, with `/` between the parts.
    pub path: &'static str,
    /// What is in it.
    pub bytes: &'static [u8],
}

/// All files, sorted by path.
static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// Folder of the files whose names change with their content.
const HASHED: &str = "assets/";

impl File {
    /// Its media type.
    pub fn media_type(&self) -> &'static str {
        match self.path.rsplit('.').next() {
            Some("html") => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("svg") => "image/svg+xml",
            Some("txt") => "text/plain; charset=utf-8",
            _ => "application/octet-stream",
        }
    }

    /// Whether its name changes whenever its content does, so that it may be kept for ever.
    pub fn is_immutable(&self) -> bool {
        self.path.starts_with(HASHED)
    }
}

/// The file at a path below the Studio's own.
pub fn file(path: &str) -> Option<&'static File> {
    let place = FILES.binary_search_by(|file| file.path.cmp(path)).ok()?;
    FILES.get(place)
}

/// What is shown at an address of the Studio: the file of that name or, since addresses belong to
/// the program in the page, the page itself. None for a file that is not there.
pub fn at(path: &str) -> Option<&'static File> {
    match file(path) {
        Some(file) => Some(file),
        None if path.starts_with(HASHED) => None,
        None => file("index.html"),
    }
}

#[cfg(test)]
mod tests;
