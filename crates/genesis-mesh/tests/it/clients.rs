//! Other people's clients, as their registries give them, against the real binary with its
//! fixture graphs. What they have to see is in `clients/`, in their own languages.
//!
//! They are installed below the target directory once per set of versions. Where Python or Node is
//! missing, the test says so and passes: there is no client to ask then.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Mutex,
};

use crate::{process::Place, serving::Serving};

pub(crate) fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients")
}

/// A folder below the target directory that stays from one run to the next.
pub(crate) fn installed(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients").join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Held by a test with a browser: one fills a small machine, and people's patience is part of what
/// those tests have.
pub(crate) static BROWSER: Mutex<()> = Mutex::new(());

/// A test that waits for what never comes fails, instead of holding up all others.
const TEST_TIMEOUT: &str = "--test-timeout=300000";

/// Whether the program is there.
#[expect(clippy::print_stdout, reason = "what is skipped has to be told")]
pub(crate) fn has(program: &str) -> bool {
    let there = runs(program);
    if !there {
        println!("skipped: {program} is not installed");
    }
    there
}

/// Whether the program is there, without a word.
pub(crate) fn runs(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|it| it.status.success())
}

pub(crate) fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    output
}

/// Runs `install` unless it did so for the same `versions` before.
pub(crate) fn install_once(folder: &Path, versions: &str, install: impl FnOnce()) {
    let note = folder.join("installed.txt");
    if fs::read_to_string(&note).is_ok_and(|before| before == versions) {
        return;
    }
    install();
    fs::write(note, versions).unwrap();
}

fn served() -> (Place, Serving) {
    let place = Place::new();
    let serving = Serving::start(&place, &["serve", "--fixtures", "--data-dir", "data"]);
    (place, serving)
}

#[test]
fn the_python_client_and_remote_graph_find_what_they_know() {
    if !has("python3") {
        return;
    }
    let folder = installed("python");
    let python = folder.join("venv/bin/python");
    let wanted = clients().join("python/requirements.txt");
    install_once(&folder, &fs::read_to_string(&wanted).unwrap(), || {
        let venv = folder.join("venv");
        succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(venv));
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
        succeed(Command::new(&python).args(pip).arg(&wanted));
    });
    let (_place, serving) = served();
    let seen = succeed(
        Command::new(&python)
            .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "."])
            .current_dir(clients().join("python"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("GENESIS_MESH_URL", format!("http://{}", serving.address)),
    );
    println!("{}", String::from_utf8_lossy(&seen.stdout));
}

#[test]
fn the_javascript_client_finds_what_it_knows() {
    if !has("node") || !has("npm") {
        return;
    }
    let folder = installed("js");
    let lock = fs::read_to_string(clients().join("js/package-lock.json")).unwrap();
    install_once(&folder, &lock, || {
        for name in ["package.json", "package-lock.json"] {
            fs::copy(clients().join("js").join(name), folder.join(name)).unwrap();
        }
        let npm = ["ci", "--no-audit", "--no-fund", "--ignore-scripts"];
        succeed(Command::new("npm").args(npm).current_dir(&folder));
    });
    // Beside the packages, since modules are looked for upwards from the file.
    let files = ["client.test.mjs", "events.test.mjs"];
    for name in files {
        fs::copy(clients().join("js").join(name), folder.join(name)).unwrap();
    }
    let (_place, serving) = served();
    let seen = succeed(
        Command::new("node")
            // Older releases have sockets only when asked.
            .args(["--experimental-websocket", "--test", "--test-reporter=spec", TEST_TIMEOUT])
            .args(files)
            .current_dir(&folder)
            .env("GENESIS_MESH_URL", format!("http://{}", serving.address)),
    );
    println!("{}", String::from_utf8_lossy(&seen.stdout));
}

#[test]
fn our_typescript_client_reads_the_log_over_cuts() {
    if !has("node") || !has("npm") {
        return;
    }
    let folder = installed("socket-ts");
    let source = clients().join("socket-ts");
    install_once(&folder, &fs::read_to_string(source.join("package-lock.json")).unwrap(), || {
        for name in ["package.json", "package-lock.json"] {
            fs::copy(source.join(name), folder.join(name)).unwrap();
        }
        let npm = ["ci", "--no-audit", "--no-fund", "--ignore-scripts"];
        succeed(Command::new("npm").args(npm).current_dir(&folder));
    });
    for name in ["mesh-socket.ts", "mesh-socket.test.mjs", "tsconfig.json"] {
        fs::copy(source.join(name), folder.join(name)).unwrap();
    }
    succeed(Command::new("npx").args(["--no-install", "tsc", "-p", "."]).current_dir(&folder));
    let (_place, serving) = served();
    let seen = succeed(
        Command::new("node")
            .args(["--experimental-websocket", "--test", "--test-reporter=spec", TEST_TIMEOUT])
            .arg("mesh-socket.test.mjs")
            .current_dir(&folder)
            .env("GENESIS_MESH_URL", format!("http://{}", serving.address)),
    );
    println!("{}", String::from_utf8_lossy(&seen.stdout));
}

#[test]
fn our_python_client_reads_the_log_over_cuts_and_conversations_are_replayed() {
    if !has("python3") {
        return;
    }
    let folder = installed("socket-py");
    let python = folder.join("venv/bin/python");
    let source = clients().join("socket-py");
    let wanted = source.join("requirements.txt");
    install_once(&folder, &fs::read_to_string(&wanted).unwrap(), || {
        let venv = folder.join("venv");
        succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(venv));
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
        succeed(Command::new(&python).args(pip).arg(&wanted));
    });
    let (_place, serving) = served();
    let address = format!("http://{}", serving.address);
    let seen = succeed(
        Command::new(&python)
            .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "."])
            .current_dir(&source)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("GENESIS_MESH_URL", &address),
    );
    println!("{}", String::from_utf8_lossy(&seen.stdout));
    let replay = clients().join("conversations/replay.py");
    let seen = succeed(Command::new(&python).arg(replay).arg(&address));
    println!("{}", String::from_utf8_lossy(&seen.stdout));
}
