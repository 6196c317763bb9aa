//! Where the two commands are.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The commit of release 0.1.
const COMMIT: &str = "951bde756d3027eec3202fc113a6005ceb8a5335";

/// A release of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// 0.1.
    First,
    /// What is checked out.
    Today,
}

impl Release {
    pub(crate) const BOTH: [Self; 2] = [Self::First, Self::Today];

    /// The path of its command, which is built the first time.
    pub(crate) fn program(self) -> &'static Path {
        static FIRST: OnceLock<PathBuf> = OnceLock::new();
        static TODAY: OnceLock<PathBuf> = OnceLock::new();
        match self {
            Self::First => FIRST.get_or_init(first),
            Self::Today => TODAY.get_or_init(today),
        }
    }
}

/// What the scenario comes to with each release, the first one first.
pub(crate) fn both<T>(scenario: impl Fn(Release) -> T) -> [T; 2] {
    Release::BOTH.map(scenario)
}

fn first() -> PathBuf {
    if let Some(path) = std::env::var_os("SYNCTABLE_01") {
        let path = PathBuf::from(path);
        assert!(
            path.is_file(),
            "SYNCTABLE_01 names no file: {}",
            path.display()
        );
        return path.canonicalize().unwrap();
    }
    let commit = format!("{COMMIT}^{{commit}}");
    assert!(
        git(&["cat-file", "-e", &commit]).status.success(),
        "this clone does not have the commit of release 0.1, {COMMIT}: fetch the whole history (git fetch --unshallow), \
         or name a built command of that release in SYNCTABLE_01"
    );
    let folder = target().join("versions");
    let source = folder.join("source");
    std::fs::create_dir_all(&source).unwrap();
    let archive = folder.join("0.1.tar");
    let archive = archive.to_str().expect("a path that is text");
    done(&git(&["archive", "--output", archive, COMMIT]));
    let unpacked = Command::new("tar")
        .args(["-x", "-m", "-f", archive, "-C"])
        .arg(&source)
        .output();
    done(&unpacked.expect("tar can be run"));
    build(&source, &folder.join("target"))
}

fn today() -> PathBuf {
    build(&root(), &target())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The folder that cargo builds the tests in.
fn target() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let folder = program.ancestors().nth(3);
    folder
        .expect("target, profile, deps, program")
        .to_path_buf()
}

fn git(args: &[&str]) -> Output {
    let root = root();
    let git = Command::new("git").arg("-C").arg(root).args(args).output();
    git.expect("git can be run")
}

fn build(source: &Path, target: &Path) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsStr::new("cargo").into());
    let mut command = Command::new(cargo);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        // What cargo tells this test about its own package would make it build packages anew that look at it.
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    let built = command
        .current_dir(source)
        .args(["build", "--locked", "--package", "synctable-cli"])
        .arg("--target-dir")
        .arg(target)
        .output();
    done(&built.expect("cargo can be run"));
    target
        .join("debug/synctable")
        .with_extension(std::env::consts::EXE_EXTENSION)
}

fn done(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
