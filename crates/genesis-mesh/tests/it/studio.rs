//! The Studio: what is compiled in is what `studio/` builds, and it does in a browser what
//! `studio/tests` says, against the real binary.
//!
//! The packages are installed below the target directory once per lock file. Where Node or
//! Chromium is missing, a test says so and passes.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{OnceLock, PoisonError},
};

use crate::clients::{BROWSER, has, install_once, succeed};

/// Where Chromium is looked for, after the variable `CHROMIUM`.
const CHROMIUM: [&str; 3] =
    ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/// The oldest Node that the build runs on.
const NODE: (u32, u32) = (20, 19);

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Whether Node is there and new enough.
#[expect(clippy::print_stdout, reason = "what is skipped has to be told")]
fn has_node() -> bool {
    if !has("node") || !has("npm") {
        return false;
    }
    let version = succeed(Command::new("node").arg("--version")).stdout;
    let version = String::from_utf8_lossy(&version);
    let mut numbers = version.trim().trim_start_matches('v').split('.').map(str::parse::<u32>);
    let found = (numbers.next().unwrap().unwrap(), numbers.next().unwrap().unwrap());
    if found < NODE {
        println!("skipped: Node {version} is older than {}.{}", NODE.0, NODE.1);
    }
    found >= NODE
}

#[expect(clippy::print_stdout, reason = "what is skipped has to be told")]
fn chromium() -> Option<String> {
    let named = std::env::var("CHROMIUM").ok();
    let found =
        named.into_iter().chain(CHROMIUM.map(str::to_owned)).find(|path| Path::new(path).exists());
    if found.is_none() {
        println!("skipped: Chromium is not installed");
    }
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if name == "node_modules" {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(name));
        } else {
            fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

/// A copy of `studio/` with its packages, below the target directory.
fn prepared() -> &'static Path {
    static PREPARED: OnceLock<PathBuf> = OnceLock::new();
    PREPARED.get_or_init(|| {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("studio");
        let folder = root.join("studio");
        // Only what is there now: no file of an earlier state may help.
        for gone in [folder.join("src"), folder.join("tests"), root.join("clients")] {
            let _ = fs::remove_dir_all(gone);
        }
        copy(&repository().join("studio"), &folder);
        copy(&repository().join("clients/socket-ts"), &root.join("clients/socket-ts"));
        let lock = fs::read_to_string(folder.join("package-lock.json")).unwrap();
        install_once(&folder, &lock, || {
            let npm = ["ci", "--no-audit", "--no-fund", "--ignore-scripts"];
            succeed(Command::new("npm").args(npm).current_dir(&folder));
        });
        folder
    })
}

/// All files below a folder, by their paths.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            let inner = files(&entry.path());
            found.extend(inner.into_iter().map(|(path, bytes)| (format!("{name}/{path}"), bytes)));
        } else {
            found.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    found
}

#[test]
fn what_is_compiled_in_is_what_the_sources_build() {
    if !has_node() {
        return;
    }
    let folder = prepared();
    let node = |script: &str, arguments: &[&str]| {
        let script = folder.join("node_modules").join(script);
        let out = folder.join("out");
        let mut command = Command::new("node");
        command.arg(script).args(arguments).current_dir(folder).env("STUDIO_OUT", out);
        succeed(&mut command);
    };
    node("typescript/bin/tsc", &["--noEmit"]);
    node("vite/bin/vite.js", &["build", "--logLevel", "error"]);
    let built = files(&folder.join("out"));
    let committed = files(&repository().join("crates/mesh-studio/assets"));
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&built), names(&committed), "run `npm run build` in studio/");
    for (name, bytes) in &built {
        assert!(committed[name] == *bytes, "{name} differs: run `npm run build` in studio/");
    }
}

#[test]
fn forms_fit_their_schemas() {
    if !has_node() {
        return;
    }
    let seen = succeed(Command::new("npm").arg("test").current_dir(prepared()));
    println!("{}", String::from_utf8_lossy(&seen.stdout));
}

#[test]
fn the_studio_does_in_a_browser_what_its_tests_say() {
    let (true, Some(chromium)) = (has_node(), chromium()) else { return };
    let folder = prepared();
    let mut tests: Vec<PathBuf> = fs::read_dir(folder.join("tests"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".test.mjs"))
        .collect();
    tests.sort();
    let _alone = BROWSER.lock().unwrap_or_else(PoisonError::into_inner);
    let seen = succeed(
        Command::new("node")
            .args(["--test", "--test-reporter=spec", "--test-concurrency=2"])
            .args(&tests)
            .current_dir(folder)
            .env("CHROMIUM", chromium)
            .env("STUDIO_ASSETS", repository().join("crates/mesh-studio/assets"))
            .env("GENESIS_MESH_BIN", env!("CARGO_BIN_EXE_genesis-mesh")),
    );
    println!("{}", String::from_utf8_lossy(&seen.stdout));
}
