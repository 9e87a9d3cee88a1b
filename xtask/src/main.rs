//! Repository chores: `cargo xtask --help`.
//!
//! A chore lives here when it has to run on every contributor's machine and is more than one
//! command. Checks that can be tests are tests (`xtask/tests`), so that `cargo test` finds them.
//! Nothing here is part of the product.

mod chroot;
mod dockerfile;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};

/// Repository chores of Genesis Mesh.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Run the whole gate, as the build machine does (`.ci/run`).
    Ci,
    /// Run the commands of `.devcontainer/Dockerfile` in a clean Debian root, without a container
    /// engine. Needs root, `debootstrap` and a network; takes a few minutes.
    Devcontainer {
        /// Directory to make the root in; it must not exist yet.
        #[arg(long, value_name = "DIR")]
        root: PathBuf,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().chore {
        Chore::Ci => ci(),
        Chore::Devcontainer { root } => {
            chroot::build(&repository(), &root)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Root of the repository: the parent of this crate's folder.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| ".".into(), Path::to_path_buf)
}

/// Runs the gate and passes its exit code on.
fn ci() -> anyhow::Result<ExitCode> {
    let status = Command::new("bash")
        .arg(".ci/run")
        .current_dir(repository())
        .status()
        .context("cannot start bash to run .ci/run")?;
    Ok(match status.code().map(u8::try_from) {
        Some(Ok(code)) => ExitCode::from(code),
        _ => ExitCode::FAILURE, // ended by a signal
    })
}
