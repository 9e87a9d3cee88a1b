//! House rules that a compiler does not know.

use std::path::{Component, Path, PathBuf};

use crate::repository::{files, must_read, root, text};

/// Names that say nothing about what is inside, so everything ends up inside.
const EMPTY_NAMES: [&str; 5] = ["utils", "util", "helpers", "common", "manager"];

#[test]
fn every_crate_begins_by_saying_what_it_is_for() {
    let mut checked = 0;
    for path in files() {
        let name = path.file_name().unwrap().to_str().unwrap();
        let in_src = path.parent().is_some_and(|folder| folder.ends_with("src"));
        if in_src && (name == "lib.rs" || name == "main.rs") {
            let text = text(&path).unwrap();
            assert!(text.starts_with("//!"), "{}: begin with a `//!` comment", path.display());
            checked += 1;
        }
    }
    assert!(checked > 1, "the sources of the crates were not found");
}

#[test]
fn no_file_is_named_for_nothing() {
    for path in files() {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        let rust = path.extension().is_some_and(|kind| kind == "rs");
        let empty = EMPTY_NAMES.contains(&stem) || folder.is_some_and(|f| EMPTY_NAMES.contains(&f));
        assert!(!(rust && empty), "{}: name the one concept inside it", path.display());
    }
}

#[test]
fn links_between_markdown_files_resolve() {
    let mut checked = 0;
    // Fixtures are other people's pages, with links of their own.
    let fixture = |path: &Path| path.iter().any(|part| part == "fixtures");
    let pages = files();
    let pages = pages.iter().filter(|path| path.extension().is_some_and(|kind| kind == "md"));
    for path in pages.filter(|path| !fixture(path)) {
        for target in links(&text(path).unwrap_or_default()) {
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let linked = if file.is_empty() {
                path.clone()
            } else {
                normal(&path.parent().unwrap().join(file))
            };
            assert!(root().join(&linked).exists(), "{}: no file at {target}", path.display());
            if !anchor.is_empty() && linked.extension().is_some_and(|kind| kind == "md") {
                let known = text(&linked).is_some_and(|page| anchors(&page).any(|a| a == anchor));
                assert!(known, "{}: no heading for {target}", path.display());
            }
            checked += 1;
        }
    }
    assert!(checked > 10, "the links of the handbook were not found");
}

#[test]
fn the_table_of_contents_names_every_page_of_the_handbook() {
    let summary = must_read("docs/src/SUMMARY.md");
    for path in files() {
        let Ok(page) = path.strip_prefix("docs/src") else { continue };
        let page = page.to_str().unwrap();
        if path.extension().is_some_and(|kind| kind == "md") && page != "SUMMARY.md" {
            assert!(summary.contains(&format!("({page})")), "SUMMARY.md does not name {page}");
        }
    }
}

#[test]
fn the_link_reader_sees_links_and_nothing_else() {
    let page = "[a](x.md) ![b](img.png \"t\") `[c](no.md)` [d](https://e.org) [e](#top)\n\
                ```md\n[f](no.md)\n```\n[g](<y z.md>)\n";
    assert_eq!(links(page), ["x.md", "img.png", "#top", "y z.md"]);
    let headings: Vec<_> = anchors("# What is it?\n\n```\n# no\n```\n## `a` and b\n").collect();
    assert_eq!(headings, ["what-is-it", "a-and-b"]);
}

/// Targets of inline links and images that point into the repository.
fn links(markdown: &str) -> Vec<String> {
    let mut targets = Vec::new();
    for line in prose(markdown) {
        let line = without_code(line);
        let mut rest = line.as_str();
        while let Some((_, after)) = rest.split_once("](") {
            let (target, tail) = after.split_once(')').unwrap_or((after, ""));
            let target = match target.strip_prefix('<') {
                Some(bracketed) => bracketed.trim_end_matches('>'),
                None => target.split_whitespace().next().unwrap_or_default(),
            };
            let outside = target.contains("://") || target.starts_with("mailto:");
            if !outside && !target.is_empty() {
                targets.push(target.to_owned());
            }
            rest = tail;
        }
    }
    targets
}

/// Anchors of the headings, as renderers make them.
fn anchors(markdown: &str) -> impl Iterator<Item = String> {
    prose(markdown).filter(|line| line.starts_with('#')).map(|line| {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        heading
            .chars()
            .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    })
}

/// The lines outside fenced code.
fn prose(markdown: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    markdown.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// A line with its inline code removed.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// A relative path with its `..` worked out.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}
