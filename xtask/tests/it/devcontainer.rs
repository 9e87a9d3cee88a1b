//! The development container says what the project promises about it.
//!
//! The types below are the properties in use, no more: an unknown or misspelt one is an error here,
//! where an editor would ignore it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::repository::must_read;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DevContainer {
    #[serde(rename = "$schema")]
    schema: String,
    name: String,
    build: Build,
    run_args: Vec<String>,
    remote_user: String,
    forward_ports: Vec<u16>,
    ports_attributes: BTreeMap<String, PortAttributes>,
    post_start_command: String,
    customizations: Customizations,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Build {
    dockerfile: String,
    context: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PortAttributes {
    label: String,
    on_auto_forward: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Customizations {
    vscode: VsCode,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VsCode {
    extensions: Vec<String>,
}

fn container() -> DevContainer {
    serde_json::from_str(&must_read(".devcontainer/devcontainer.json"))
        .expect("plain JSON with known properties")
}

#[test]
fn the_container_has_the_promised_name_port_and_user_mapping() {
    let container = container();
    assert_eq!(container.name, "genesis-mesh");
    assert!(container.schema.contains("devcontainers/spec"));
    assert_eq!(container.forward_ports, [8080]);
    assert!(!container.ports_attributes["8080"].label.is_empty());
    assert_eq!(container.ports_attributes["8080"].on_auto_forward, "notify");
    assert!(container.run_args.contains(&"--userns=keep-id".to_owned()));
}

#[test]
fn the_container_brings_the_promised_extensions() {
    let extensions = container().customizations.vscode.extensions;
    for promised in [
        "rust-lang.rust-analyzer",
        "vadimcn.vscode-lldb",
        "tamasfe.even-better-toml",
        "redhat.vscode-yaml",
        "eamodio.gitlens",
        "ms-vsliveshare.vsliveshare",
    ] {
        assert!(extensions.iter().any(|one| one == promised), "{promised} is missing");
    }
}

#[test]
fn an_editor_without_the_container_is_told_of_the_same_extensions() {
    let recommended: serde_json::Value =
        serde_json::from_str(&must_read(".vscode/extensions.json")).unwrap();
    let extensions = container().customizations.vscode.extensions;
    assert_eq!(recommended["recommendations"], serde_json::json!(extensions));
}

#[test]
fn the_image_is_pinned_and_its_user_is_ordinary() {
    let container = container();
    assert_eq!(
        (container.build.dockerfile.as_str(), container.build.context.as_str()),
        ("Dockerfile", "..")
    );
    let dockerfile = must_read(".devcontainer/Dockerfile");
    let from = dockerfile.lines().find(|line| line.starts_with("FROM ")).unwrap();
    let (_, digest) = from.split_once("@sha256:").expect("the base is pinned by digest");
    assert_eq!(digest.len(), 64, "a whole digest");
    let user = dockerfile.lines().rev().find_map(|line| line.strip_prefix("USER ")).unwrap();
    assert_eq!(user, container.remote_user);
    assert_ne!(user, "root");
    for forbidden in ["sudo", "passwd", "chpasswd"] {
        assert!(!dockerfile.contains(forbidden), "no {forbidden} in the image");
    }
}

#[test]
fn the_toolchain_file_alone_decides_the_toolchain() {
    let dockerfile = must_read(".devcontainer/Dockerfile");
    let toolchain: toml::Table = toml::from_str(&must_read("rust-toolchain.toml")).unwrap();
    let channel = toolchain["toolchain"]["channel"].as_str().unwrap();
    assert!(dockerfile.contains("COPY") && dockerfile.contains("rust-toolchain.toml"));
    assert!(!dockerfile.contains(channel), "the Dockerfile repeats {channel}");
    let manifest: toml::Table = toml::from_str(&must_read("Cargo.toml")).unwrap();
    let minimum = manifest["workspace"]["package"]["rust-version"].as_str().unwrap();
    assert!(
        channel == minimum || channel.starts_with(&format!("{minimum}.")),
        "rust-toolchain.toml has {channel}, rust-version says {minimum}"
    );
}

#[test]
fn the_start_command_is_a_script_of_the_repository_that_leaves_the_work_to_the_background() {
    let command = container().post_start_command;
    let script = must_read(command.strip_prefix("bash ").expect("run by bash"));
    for promised in ["cargo fetch --locked", "cargo fmt --all --check", "setsid"] {
        assert!(script.contains(promised), "{promised} is missing");
    }
}
