//! The version has one source: `[workspace.package]` in the root manifest.

use std::path::Path;

use crate::repository::{files, must_read, text};

/// Where the version may be spelt out: its source, what cargo derives, and what tells its story.
const MAY_NAME_IT: [&str; 3] = ["Cargo.toml", "Cargo.lock", "CHANGELOG.md"];

#[test]
fn no_crate_declares_a_version_of_its_own() {
    let mut checked = 0;
    for path in files().iter().filter(|path| is_member_manifest(path)) {
        let manifest: toml::Table = toml::from_str(&text(path).unwrap()).unwrap();
        let Some(package) = manifest.get("package") else { continue };
        let inherited = package
            .get("version")
            .and_then(|version| version.get("workspace"))
            .and_then(toml::Value::as_bool);
        assert_eq!(inherited, Some(true), "{}: write `version.workspace = true`", path.display());
        checked += 1;
    }
    assert!(checked > 1, "the manifests of the members were not found");
}

#[test]
fn dependencies_are_declared_in_the_root_manifest_only() {
    for path in files().iter().filter(|path| is_member_manifest(path)) {
        let manifest: toml::Table = toml::from_str(&text(path).unwrap()).unwrap();
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(declared) = manifest.get(table).and_then(toml::Value::as_table) else {
                continue;
            };
            for (name, spec) in declared {
                let inherited = spec.get("workspace").and_then(toml::Value::as_bool);
                assert_eq!(
                    inherited,
                    Some(true),
                    "{}: write `{name}.workspace = true` and declare it in the root Cargo.toml",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn nothing_repeats_the_version() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(must_read("Cargo.toml").contains(version), "the root manifest is the source");
    for path in files() {
        if MAY_NAME_IT.iter().any(|allowed| Path::new(allowed) == path) {
            continue;
        }
        let named = text(&path).is_some_and(|text| text.contains(version));
        assert!(!named, "{} repeats the version {version}; derive it instead", path.display());
    }
}

#[test]
fn the_change_log_knows_the_version_that_is_built() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(must_read("CHANGELOG.md").contains(version), "CHANGELOG.md does not name {version}");
}

fn is_member_manifest(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "Cargo.toml") && path != Path::new("Cargo.toml")
}
