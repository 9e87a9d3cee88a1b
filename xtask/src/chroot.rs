//! Runs the development container's Dockerfile in a root made by `debootstrap`.
//!
//! It shows that the commands work on a clean Debian of the same release; it does not show that
//! an engine can pull the base image, nor how an editor attaches. Nothing of the host is mounted.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, bail, ensure};

use crate::dockerfile::{self, Instruction};

const MIRROR: &str = "http://deb.debian.org/debian";

/// Where the host's certificates lie in the root, if the host names any.
const HOST_CERTIFICATES: &str = "/etc/host-certificates.crt";

/// Makes `root` and runs every instruction of the Dockerfile of `repository` in it.
pub(crate) fn build(repository: &Path, root: &Path) -> anyhow::Result<()> {
    ensure!(!root.exists(), "{} exists; name a directory that does not", root.display());
    let file = repository.join(".devcontainer/Dockerfile");
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let instructions =
        dockerfile::parse(&text).with_context(|| format!("cannot follow {}", file.display()))?;

    let mut place = Place {
        root: root.to_path_buf(),
        user: "root".to_owned(),
        workdir: "/".to_owned(),
        env: Vec::new(),
    };
    for instruction in instructions {
        let started = Instant::now();
        say(&format!("--- {}", headline(&instruction)));
        match instruction {
            Instruction::From(image) => place.bootstrap(&image)?,
            Instruction::Env { name, value } => place.env.push((name, value)),
            Instruction::User(user) => place.user = user,
            Instruction::Workdir(path) => {
                place.as_user("root", &format!("mkdir -p {path}"))?;
                place.workdir = path;
            }
            Instruction::Copy { from, to, owner } => {
                place.copy(&repository.join(from), &to, owner.as_deref())?;
            }
            Instruction::Run(command) => place.as_user(&place.user, &command)?,
        }
        say(&format!("    {:.0} s", started.elapsed().as_secs_f64()));
    }
    say(&format!("all instructions ran; the root is {}", root.display()));
    Ok(())
}

/// Where the next instruction acts, and as whom.
struct Place {
    root: PathBuf,
    user: String,
    workdir: String,
    env: Vec<(String, String)>,
}

impl Place {
    fn bootstrap(&mut self, image: &str) -> anyhow::Result<()> {
        let suite = suite(image).with_context(|| format!("no Debian release in `{image}`"))?;
        run(Command::new("debootstrap")
            .args(["--variant=minbase", suite])
            .arg(&self.root)
            .arg(MIRROR))?;
        // Names are resolved as on the host, and a host that names its own certificates (behind a
        // proxy that inspects TLS) shares that file. Nothing else of the host is visible inside.
        fs::copy("/etc/resolv.conf", self.root.join("etc/resolv.conf"))
            .context("cannot copy resolv.conf")?;
        if let Some(bundle) = std::env::var_os("SSL_CERT_FILE") {
            fs::copy(&bundle, self.root.join(HOST_CERTIFICATES.trim_start_matches('/')))
                .with_context(|| format!("cannot copy {}", bundle.display()))?;
            self.env.push(("SSL_CERT_FILE".to_owned(), HOST_CERTIFICATES.to_owned()));
        }
        Ok(())
    }

    fn copy(&self, from: &Path, to: &str, owner: Option<&str>) -> anyhow::Result<()> {
        let target = self.root.join(to.trim_start_matches('/'));
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        fs::copy(from, &target)
            .with_context(|| format!("cannot copy {} to {}", from.display(), target.display()))?;
        match owner {
            Some(owner) => self.as_user("root", &format!("chown {owner} {to}")),
            None => Ok(()),
        }
    }

    /// Runs `command` in the root as an image build would: `/bin/sh -c`, with a small environment.
    fn as_user(&self, user: &str, command: &str) -> anyhow::Result<()> {
        let home = if user == "root" { "/root".to_owned() } else { format!("/home/{user}") };
        // Namespaces of its own, as an engine would give it: the root sees its own processes in its
        // own /proc, and both are gone when the command ends.
        let mut chroot = Command::new("unshare");
        chroot.args(["--pid", "--fork", "--kill-child"]);
        chroot.arg(format!("--mount-proc={}", self.root.join("proc").display()));
        chroot.args(["chroot", &format!("--userspec={user}")]).arg(&self.root).env_clear();
        chroot.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        chroot.env("HOME", home).envs(proxies());
        for (name, value) in &self.env {
            ensure!(!value.contains('$'), "ENV {name} refers to another variable: `{value}`");
            chroot.env(name, value);
        }
        chroot.args(["/bin/sh", "-c", &format!("cd {} && {command}", self.workdir)]);
        run(&mut chroot)
    }
}

/// Proxy settings of the host, which an image build passes on as well.
fn proxies() -> impl Iterator<Item = (String, String)> {
    std::env::vars().filter(|(name, _)| {
        ["http_proxy", "https_proxy", "no_proxy"].contains(&name.to_ascii_lowercase().as_str())
    })
}

/// The Debian release of a tag such as `debian:trixie-20260101-slim@sha256:…`.
fn suite(image: &str) -> Option<&str> {
    let tag = image.split('@').next()?.rsplit_once("debian:")?.1;
    tag.split('-').next().filter(|release| release.chars().all(char::is_alphabetic))
}

fn headline(instruction: &Instruction) -> String {
    match instruction {
        Instruction::From(image) => format!("FROM {image}"),
        Instruction::Env { name, value } => format!("ENV {name}={value}"),
        Instruction::User(user) => format!("USER {user}"),
        Instruction::Workdir(path) => format!("WORKDIR {path}"),
        Instruction::Copy { from, to, .. } => format!("COPY {from} {to}"),
        Instruction::Run(command) => format!("RUN {command}"),
    }
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !status.success() {
        bail!("`{}` ended with {status}", command.get_program().display());
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "telling what runs is this command's whole output")]
fn say(line: &str) {
    println!("{line}");
}
