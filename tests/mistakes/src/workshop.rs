//! Where a mistake is made: a copy of the sources, built and run.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, thread};

use crate::mistake::Mistake;

/// What a copy needs to run the simulator, with all that lies below.
const NEEDED: [&str; 5] = [
    "core",
    "stores/kv",
    "stores/memory",
    "tests/kit",
    "tests/stories",
];
/// The program of the kit that runs histories until one ends badly.
const RUNNER: &str = "first_finding";
/// It runs a history of each in turn.
const SIMULATIONS: u64 = 2;
/// Most time goes into building, and what is left into histories, which spend theirs in the engine and its store.
const PROFILE: &str = "
[profile.dev]
debug = false
incremental = true
opt-level = 1

[profile.dev.package.synctable-testkit]
opt-level = 0
";

/// A copy of the sources in a folder of its own. One process at a time has it.
#[derive(Debug)]
pub struct Workshop {
    /// All that is copied, as it was at the start: the sources may change during a long run.
    wanted: Files,
    sources: PathBuf,
    built: PathBuf,
    _lock: File,
}

/// Files by their paths from the root of the workspace.
type Files = BTreeMap<String, Vec<u8>>;

/// What came of a mistake.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Found {
    /// The name of the mistake.
    pub name: String,
    /// What the simulator said, or why it said nothing.
    pub outcome: Result<Finding, String>,
}

/// What the simulator found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Finding {
    /// In which history, counted over both simulations.
    pub history: u64,
    /// Its words.
    pub words: String,
}

impl Workshop {
    /// Copies the sources of the workspace at `root` into `folder`; what is there from last time is used again.
    ///
    /// # Errors
    /// A message, if files cannot be read or written.
    pub fn open(root: &Path, folder: &Path) -> Result<Self, String> {
        let workshop = Self {
            wanted: wanted(root)?,
            sources: folder.join("sources"),
            built: folder.join("built"),
            _lock: locked(folder)?,
        };
        workshop.copy()?;
        Ok(workshop)
    }

    /// Makes each mistake in turn and lets the simulator look for it, in so many histories of each of its simulations. `told` hears of
    /// each at once.
    ///
    /// At the end the engine as it is has to do well in as many histories as were needed: else a finding says nothing of a mistake.
    ///
    /// # Errors
    /// A message, if files cannot be read or written, or if the engine as it is does badly. That a mistake does not build is what
    /// came of it, no error.
    pub fn hunt(
        &self,
        mistakes: &[&Mistake],
        histories: u64,
        told: &(dyn Fn(&Found) + Sync),
    ) -> Result<Vec<Found>, String> {
        let mut all = Vec::new();
        let mut made: Vec<String> = Vec::new();
        let without = thread::scope(|scope| {
            let mut running = None;
            for mistake in mistakes {
                let built = self.make(mistake, &mut made)?;
                // The one before ran while this one was built.
                all.extend(running.take().map(joined).transpose()?);
                running = Some(scope.spawn(move || {
                    let finding = built.and_then(|program| look(&program, histories));
                    let nothing =
                        || format!("nothing found in {histories} histories of each simulation");
                    let outcome = finding.and_then(|finding| finding.ok_or_else(nothing));
                    let found = Found {
                        name: mistake.name.clone(),
                        outcome,
                    };
                    told(&found);
                    found
                }));
            }
            self.restore(&mut made)?;
            let without = self.build("no_mistake")?;
            all.extend(running.take().map(joined).transpose()?);
            Ok::<_, String>(without)
        })?;
        let needed = all
            .iter()
            .filter_map(|found| found.outcome.as_ref().ok())
            .map(|finding| finding.history.div_ceil(SIMULATIONS))
            .max();
        if let Some(needed) = needed
            && let Some(finding) = look(&without?, needed)?
        {
            return Err(format!("without any mistake: {}", finding.words));
        }
        Ok(all)
    }

    /// Builds the copy with this mistake alone; the program, or why there is none. `made` are the files that the one before changed.
    fn make(
        &self,
        mistake: &Mistake,
        made: &mut Vec<String>,
    ) -> Result<Result<PathBuf, String>, String> {
        self.restore(made)?;
        let files = match mistake.apply(|path| self.text(path)) {
            Ok(files) => files,
            Err(error) => return Ok(Err(error)),
        };
        for (path, text) in files {
            write(&self.sources.join(&path), text.as_bytes())?;
            made.push(path);
        }
        self.build(&mistake.name)
    }

    fn restore(&self, made: &mut Vec<String>) -> Result<(), String> {
        for path in made.drain(..) {
            let text = self.text(&path)?;
            write(&self.sources.join(&path), text.as_bytes())?;
        }
        Ok(())
    }

    fn text(&self, path: &str) -> Result<String, String> {
        let bytes = self.wanted.get(path);
        let bytes = bytes.ok_or_else(|| format!("{path} is not part of the copy"))?;
        String::from_utf8(bytes.clone()).map_err(|error| format!("{path}: {error}"))
    }

    /// Builds the copy as it is. The program gets a name of its own, as the next one is built while it runs.
    fn build(&self, name: &str) -> Result<Result<PathBuf, String>, String> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["build", "--offline", "--quiet"])
            .args(["-p", "synctable-testkit", "--example", RUNNER])
            .current_dir(&self.sources)
            .env("CARGO_TARGET_DIR", &self.built)
            // The same sources but for a few lines, again and again, also where whoever calls builds everything once.
            .env_remove("CARGO_INCREMENTAL")
            // A mistake may leave something unused.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("CARGO_BUILD_TARGET")
            .output()
            .map_err(|error| format!("cargo: {error}"))?;
        if !output.status.success() {
            return Ok(Err(format!("it does not build:\n{}", said(&output))));
        }
        let ending = env::consts::EXE_SUFFIX;
        let examples = self.built.join("debug").join("examples");
        let program = self.built.join(format!("{name}{ending}"));
        let from = examples.join(format!("{RUNNER}{ending}"));
        fs::copy(&from, &program).map_err(|error| format!("{}: {error}", from.display()))?;
        Ok(Ok(program))
    }

    /// Brings the copy up to date. Files that are as they were keep their times, so that little is built anew.
    fn copy(&self) -> Result<(), String> {
        let mut there = Files::new();
        for folder in NEEDED {
            if self.sources.join(folder).exists() {
                collect(&self.sources, folder, &mut there)?;
            }
        }
        for path in there.keys().filter(|path| !self.wanted.contains_key(*path)) {
            let path = self.sources.join(path);
            fs::remove_file(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        for (path, bytes) in &self.wanted {
            if there.get(path) != Some(bytes) {
                write(&self.sources.join(path), bytes)?;
            }
        }
        Ok(())
    }
}

/// Runs so many histories of each simulation: what was found, if anything.
fn look(program: &Path, histories: u64) -> Result<Option<Finding>, String> {
    let output = Command::new(program).arg(histories.to_string()).output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    // Not needed any more, and there may be many.
    fs::remove_file(program).map_err(|error| format!("{}: {error}", program.display()))?;
    let words = said(&output);
    let history = words.strip_prefix("found in history ");
    let history = history.and_then(|rest| rest.split(':').next()?.parse().ok());
    match (output.status.code(), history) {
        (Some(0), Some(history)) => Ok(Some(Finding { history, words })),
        (Some(1), None) => Ok(None),
        _ => Err(format!("it ended with {}: {words}", output.status)),
    }
}

fn joined(running: thread::ScopedJoinHandle<'_, Found>) -> Result<Found, String> {
    running.join().map_err(|_| "a run broke off".to_owned())
}

fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8_lossy(&text).trim().to_owned()
}

/// The folder, which this process alone has as long as the file is open.
fn locked(folder: &Path) -> Result<File, String> {
    let said = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(said)?;
    let file = File::create(folder.join("lock")).map_err(said)?;
    file.lock().map_err(said)?;
    Ok(file)
}

/// The manifest of the workspace for what is copied of it, with a profile of its own.
fn manifest(text: &str) -> String {
    let mut manifest = String::new();
    for line in text.lines().take_while(|line| !is_about_more(line)) {
        if line.starts_with("members") {
            let members = NEEDED.map(|folder| format!("\"{folder}\"")).join(", ");
            manifest.push_str("members = [");
            manifest.push_str(&members);
            manifest.push(']');
        } else if !line.starts_with("default-members") {
            manifest.push_str(line);
        }
        manifest.push('\n');
    }
    manifest + PROFILE
}

/// What follows the parts for the whole workspace.
fn is_about_more(line: &str) -> bool {
    line.starts_with("[profile") || line == "[package]"
}

/// What a copy consists of.
fn wanted(root: &Path) -> Result<Files, String> {
    let mut wanted = Files::new();
    for folder in NEEDED {
        collect(root, folder, &mut wanted)?;
    }
    let lock = read(&root.join("Cargo.lock"))?;
    wanted.insert("Cargo.lock".into(), lock.into_bytes());
    let manifest = manifest(&read(&root.join("Cargo.toml"))?);
    wanted.insert("Cargo.toml".into(), manifest.into_bytes());
    Ok(wanted)
}

/// All files below a folder, by their paths from `root`.
fn collect(root: &Path, folder: &str, files: &mut Files) -> Result<(), String> {
    let said = |error: std::io::Error| format!("{folder}: {error}");
    for entry in fs::read_dir(root.join(folder)).map_err(said)? {
        let entry = entry.map_err(said)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let path = format!("{folder}/{name}");
        if entry.file_type().map_err(said)?.is_dir() {
            collect(root, &path, files)?;
        } else {
            let bytes = fs::read(entry.path()).map_err(said)?;
            files.insert(path, bytes);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let said = |error: std::io::Error| format!("{}: {error}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(said)?;
    }
    fs::write(path, bytes).map_err(said)
}
