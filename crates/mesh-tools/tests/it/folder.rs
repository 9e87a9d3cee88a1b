use std::{fs, io::Write, path::Path};

use expect_test::{Expect, expect};
use flate2::{Compression, write::GzEncoder};
use mesh_agents::source::{Collected, Collection as _, FetchedBy, SourceError};
use mesh_tools::{Folder, FolderLimits};
use tempfile::TempDir;

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        write(folder.path(), name, bytes);
    }
    folder
}

fn write(root: &Path, name: &str, bytes: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

async fn read(folder: &TempDir, query: &str, documents_max: usize) -> Collected {
    Folder::open(folder.path()).unwrap().read(query, documents_max).await.unwrap()
}

fn locations(collected: &Collected) -> Vec<&str> {
    collected.documents.iter().map(|document| document.location.as_str()).collect()
}

/// One line per document and per problem.
fn check(collected: &Collected, expected: Expect) {
    use std::fmt::Write as _;

    let mut out = format!("considered {}\n", collected.considered);
    for document in &collected.documents {
        let title = document.title.as_deref().unwrap_or("-");
        let text: String = document.text.replace('\n', " / ");
        writeln!(out, "{} {} [{title}] {text}", document.location, document.media_type).unwrap();
    }
    for problem in &collected.problems {
        writeln!(out, "! {}: {}", problem.subject, problem.reason).unwrap();
    }
    expected.assert_eq(&out);
}

#[tokio::test]
async fn every_kind_of_text_is_read_three_levels_deep() {
    let folder = folder(&[
        ("a.md", b"---\ntitle: From front matter\n---\n# Heading\n\ntext a\n"),
        ("b/c.txt", b"First line\n\ntext c\n"),
        ("b/d/e.HTML", b"<title>Page</title><main><h1>Page</h1><p>text e</p></main>"),
        ("b/d/f.txt.gz", &gzipped(b"Packed\n\ntext f\n")),
        ("b/d/g.html.gz", &gzipped(b"<main><h1>Packed page</h1><p>text g</p></main>")),
        ("README", b"Read me\n\ntext readme\n"),
        ("README.Debian", b"For Debian\n\ntext debian\n"),
        ("h.rst", b"Title\n=====\n\ntext h\n"),
        ("i.adoc", b"= Doc title\n\n== Part\n\ntext i\n"),
        ("skipped.png", b"\x89PNG"),
        ("skipped", b"text"),
        (".hidden/j.md", b"text j"),
        ("_sources/a.rst.txt", b"text a"),
    ]);
    check(
        &read(&folder, "text", 20).await,
        expect![[r"
            considered 9
            README text/plain [Read me] Read me /  / text readme / 
            README.Debian text/plain [For Debian] For Debian /  / text debian / 
            a.md text/markdown [From front matter] # Heading /  / text a / 
            b/c.txt text/plain [First line] First line /  / text c / 
            b/d/e.HTML text/html [Page] # Page /  / text e / 
            b/d/f.txt.gz text/plain [Packed] Packed /  / text f / 
            b/d/g.html.gz text/html [Packed page] # Packed page /  / text g / 
            h.rst text/plain [Title] # Title /  / text h / 
            i.adoc text/plain [Doc title] # Doc title /  / ## Part /  / text i / 
        "]],
    );
}

#[tokio::test]
async fn a_document_says_where_it_is_from() {
    let folder = folder(&[("a.txt.gz", &gzipped(b"text"))]);
    let opened = Folder::open(folder.path()).unwrap();
    assert_eq!(opened.name(), format!("folder {}", folder.path().display()));
    let collected = opened.read("", 1).await.unwrap();
    let document = &collected.documents[0];
    assert_eq!(document.fetched_by, FetchedBy::File);
    assert_eq!(document.bytes_hash, blake3::hash(b"text").to_hex().as_str());
}

#[tokio::test]
async fn what_cannot_be_read_is_a_problem_beside_the_rest() {
    let folder = folder(&[
        ("binary.md", b"# Title\0\x01\x02"),
        ("damaged.txt.gz", b"\x1f\x8bno gzip"),
        ("empty.md", b""),
        ("good.md", b"good text"),
        ("latin.txt", b"Gr\xf6\xdfe"),
        ("only-comment.md", b"<!-- nothing -->"),
        ("wide.txt", b"\xff\xfeh\0i\0"),
    ]);
    check(
        &read(&folder, "", 20).await,
        expect![[r"
            considered 7
            good.md text/markdown [good text] good text / 
            latin.txt text/plain [Größe] Größe / 
            wide.txt text/plain [hi] hi / 
            ! binary.md: holds bytes that are no text
            ! damaged.txt.gz: cannot be read: unexpected end of file
            ! only-comment.md: not readable: it holds no text
        "]],
    );
}

#[cfg(unix)]
#[tokio::test]
async fn links_never_lead_out_and_never_around() {
    use std::os::unix::fs::symlink;

    let outside = folder(&[("secret.md", b"secret text"), ("inner/more.md", b"secret text")]);
    let folder = folder(&[("a.md", b"open text"), ("sub/b.md", b"other text")]);
    let root = folder.path();
    symlink(outside.path().join("secret.md"), root.join("out.md")).unwrap();
    symlink(outside.path(), root.join("outside")).unwrap();
    symlink("../../../../etc/passwd", root.join("passwd.txt")).unwrap();
    symlink("nowhere.md", root.join("dangling.md")).unwrap();
    symlink("nowhere.png", root.join("dangling.png")).unwrap();
    symlink(".", root.join("itself")).unwrap();
    symlink("..", root.join("sub/around")).unwrap();
    symlink("a.md", root.join("inside.md")).unwrap();
    symlink("loop2.md", root.join("loop1.md")).unwrap();
    symlink("loop1.md", root.join("loop2.md")).unwrap();
    let collected = read(&folder, "text", 20).await;
    assert_eq!(locations(&collected), ["a.md", "sub/b.md"]);
    let subjects: Vec<&str> =
        collected.problems.iter().map(|problem| problem.subject.as_str()).collect();
    assert_eq!(
        subjects,
        ["dangling.md", "loop1.md", "loop2.md", "out.md", "outside", "passwd.txt"]
    );
    let out = collected.problems.iter().find(|problem| problem.subject == "out.md").unwrap();
    assert_eq!(out.reason, "a link that leads out of the folder");
}

#[cfg(unix)]
#[tokio::test]
async fn closed_files_and_folders_are_problems_unless_the_system_lets_us_in() {
    use std::os::unix::fs::PermissionsExt;

    let folder = folder(&[("closed.md", b"text"), ("shut/a.md", b"text"), ("open.md", b"words")]);
    let closed = fs::Permissions::from_mode(0o000);
    fs::set_permissions(folder.path().join("closed.md"), closed.clone()).unwrap();
    fs::set_permissions(folder.path().join("shut"), closed).unwrap();
    // The superuser reads them all the same; either way nothing is lost without a word.
    let all_powerful = fs::read(folder.path().join("closed.md")).is_ok();
    let collected = read(&folder, "", 20).await;
    fs::set_permissions(folder.path().join("shut"), fs::Permissions::from_mode(0o700)).unwrap();
    if all_powerful {
        assert_eq!(locations(&collected), ["closed.md", "open.md"]);
        assert_eq!(collected.problems, []);
    } else {
        assert_eq!(locations(&collected), ["open.md"]);
        assert_eq!(collected.problems.len(), 2);
    }
}

#[tokio::test]
async fn a_folder_that_is_missing_or_none_is_an_error_with_its_path() {
    let folder = folder(&[("file.md", b"text")]);
    for name in ["missing", "file.md"] {
        let path = folder.path().join(name);
        match Folder::open(&path) {
            Err(SourceError::Unreachable { reason }) => {
                assert!(reason.contains(&path.display().to_string()), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn limits_are_kept_and_said() {
    let large = "text ".repeat(1_000);
    let bomb = gzipped(&vec![b'x'; 1_000_000]);
    let folder = folder(&[
        ("a.md", b"text one"),
        ("b.md", large.as_bytes()),
        ("bomb.txt.gz", &bomb),
        ("c.md", b"text two"),
        ("d/e/f.md", b"text deep"),
        ("g.md", b"text three"),
    ]);
    let opened = Folder::open(folder.path()).unwrap();
    let limits = FolderLimits { file_bytes_max: 4_000, depth_max: 1, ..FolderLimits::default() };
    check(
        &opened.clone().with_limits(limits).read("text", 20).await.unwrap(),
        expect![[r"
            considered 5
            a.md text/markdown [text one] text one / 
            c.md text/markdown [text two] text two / 
            g.md text/markdown [text three] text three / 
            ! b.md: over the limit: 0.004 MB per file
            ! bomb.txt.gz: over the limit: 0.004 MB per file
            ! d/e: more than 1 folders inside each other
        "]],
    );
    let limits = FolderLimits { files_max: 2, ..FolderLimits::default() };
    let collected = opened.clone().with_limits(limits).read("text", 20).await.unwrap();
    assert_eq!(locations(&collected), ["a.md", "b.md"]);
    assert_eq!(collected.problems[0].reason, "only its first 2 files were read");
    let limits = FolderLimits { entries_max: 3, ..FolderLimits::default() };
    let collected = opened.clone().with_limits(limits).read("text", 20).await.unwrap();
    assert_eq!(collected.problems[0].reason, "only its first 3 entries were looked at");
    let limits = FolderLimits { ranked_bytes_max: 20, ..FolderLimits::default() };
    let collected = opened.with_limits(limits).read("text", 20).await.unwrap();
    assert_eq!(locations(&collected), ["a.md"]);
    assert!(collected.problems[0].reason.starts_with("5 files were not looked at"));
}

#[tokio::test]
async fn many_problems_become_one_line() {
    let files: Vec<(String, Vec<u8>)> =
        (0..150).map(|number| (format!("{number:03}.md"), vec![0])).collect();
    let files: Vec<(&str, &[u8])> =
        files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let collected = read(&folder(&files), "text", 20).await;
    assert_eq!(collected.problems.len(), 101);
    assert_eq!(collected.problems[100].reason, "50 more files were skipped");
}

#[tokio::test]
async fn the_best_files_are_chosen_and_given_by_location() {
    let mut files: Vec<(String, String)> = (0..60)
        .map(|number| {
            let other = format!("number{number} speaks of something else entirely ").repeat(30);
            (format!("other{number:02}.md"), other)
        })
        .collect();
    let about = |name: &str| {
        format!("{name} vacuum frees the space of dead rows, {name} says. ").repeat(20)
    };
    files.push(("z-good.md".to_owned(), about("first")));
    files.push(("a-good.md".to_owned(), about("second")));
    files.push(("m-copy.md".to_owned(), about("first")));
    files.push(("genindex.html".to_owned(), "vacuum ".repeat(200)));
    let files: Vec<(&str, &[u8])> =
        files.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    let folder = folder(&files);
    let collected = read(&folder, "How does VACUUM work?", 5).await;
    assert_eq!(locations(&collected), ["a-good.md", "m-copy.md"]);
    assert_eq!(collected.considered, 64);
    let nothing = read(&folder, "zebra crossing", 5).await;
    assert_eq!((nothing.documents.len(), nothing.considered), (0, 64));
}

#[tokio::test]
async fn of_two_editions_of_a_page_the_marked_up_one_is_taken() {
    let words: Vec<String> = (0..300).map(|number| format!("word{number}")).collect();
    let text = words.join(" ");
    let html = format!("<main><h1>Guide</h1><p>{text}</p></main>");
    let folder = folder(&[
        ("guide.txt", text.as_bytes()),
        ("guide.html", html.as_bytes()),
        ("notes.md", b"word1 of my own"),
        ("notes.txt", b"something else with word1"),
    ]);
    let collected = read(&folder, "word1", 20).await;
    assert_eq!(locations(&collected), ["guide.html", "notes.md", "notes.txt"]);
}

#[tokio::test]
async fn the_same_folder_gives_the_same_documents_every_time() {
    let files: Vec<(String, String)> = (0..80)
        .map(|number| {
            let text = format!("<main><p>topic {} and {}</p></main>", number % 7, number).repeat(9);
            (format!("{}/{number}.html", number % 5), text)
        })
        .collect();
    let files: Vec<(&str, &[u8])> =
        files.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    let folder = folder(&files);
    let first = read(&folder, "topic 3", 12).await;
    assert_eq!(first.documents.len(), 12);
    for _ in 0..5 {
        assert_eq!(read(&folder, "topic 3", 12).await.documents, first.documents);
    }
}
