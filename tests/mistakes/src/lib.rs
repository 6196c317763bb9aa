//! Mistakes in the sync engine, a patch each, and the simulator that has to find them.
//!
//! A simulator that finds nothing proves nothing by itself. So each file in `patches` breaks one rule of the engine: its first line
//! says in plain English what is wrong, the rest is a unified diff with paths from the root of the workspace. The sources themselves
//! know nothing of mistakes: a [`Workshop`] copies them, applies a patch to the copy, builds it and runs the simulator until
//! it finds something. Its program tells some stories of the kit first, about what no history has.

mod mistake;
mod workshop;

pub use mistake::Mistake;
pub use workshop::{Finding, Found, Workshop};

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the workspace.
///
/// # Errors
/// A message, if this package does not lie where it should.
pub fn root() -> Result<PathBuf, String> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package.parent().and_then(Path::parent);
    root.map(Path::to_path_buf)
        .ok_or_else(|| format!("{} has no workspace", package.display()))
}

/// All mistakes, by name.
///
/// # Errors
/// A message that names the file that is no patch.
pub fn all() -> Result<Vec<Mistake>, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("patches");
    let said = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(&folder).map_err(said)? {
        paths.push(entry.map_err(said)?.path());
    }
    paths.sort_unstable();
    paths.iter().map(|path| Mistake::read(path)).collect()
}

/// Those whose turn is on a day: so many, others each day, all of them in the end.
pub fn of_day(all: &[Mistake], day: u64, count: usize) -> Vec<&Mistake> {
    let groups = all.len().div_ceil(count.max(1)).max(1) as u64;
    let group = usize::try_from(day % groups).unwrap_or_default();
    all.chunks(count.max(1))
        .nth(group)
        .unwrap_or_default()
        .iter()
        .collect()
}
