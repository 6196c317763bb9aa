//! The same story with what others use: queue records, push them, pull them with a second device, change some, push and pull again.
//!
//! Of ours each step is a command from its start to its end; of the others it begins when their program is loaded. A server has a process of its own.

use std::path::{Path, PathBuf};
use std::process::Command as Program;

use tempfile::TempDir;

use crate::command::{Device, Ran, Server, run};
use crate::harness::{Bench, FSYNC, Job, NO_FSYNC};
use crate::line::Goal;
use crate::stats::Sample;
use crate::sync::records;

pub const JOBS: &[Job] = &[
    Job {
        name: "peers",
        about: "a story of a device, its server and a second device; ratios are theirs against ours, and below 1 is ours ahead",
        run: |bench| story(bench, bench.records / 10, bench.few(), &PEERS),
        causes: &[(
            "",
            "they answer before anything is on a disk, or have one commit for all",
        )],
    },
    Job {
        name: "predecessor",
        about: "the same with the genuine Azure Mobile Apps client and node server, once: as shipped it sleeps a millisecond at every step",
        run: |bench| story(bench, bench.records / 1000, 1, &PREDECESSOR),
        causes: &[],
    },
];

/// How the program of a peer is started.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A script for node, which needs this folder of modules.
    Node(&'static str, &'static str),
    /// A program that was built, without a server.
    Built(&'static str),
}

#[derive(Debug, Clone, Copy)]
struct Peer {
    name: &'static str,
    kind: Kind,
    variable: &'static str,
    /// What is on the disk of a device and of the server before an answer.
    durability: [&'static str; 2],
}

const MODULES: &str = "node_modules/pouchdb";
const INTEROP: &str = "../../tests/interop/node_modules/azure-mobile-apps-client";
const GENUINE: Kind = Kind::Node("genuine.js", INTEROP);
const POUCH: Kind = Kind::Node("pouchdb.js", MODULES);

const PREDECESSOR: [Peer; 2] = [
    Peer {
        name: "as shipped",
        kind: GENUINE,
        variable: "",
        durability: [FSYNC, FSYNC],
    },
    Peer {
        name: "without its sleeps",
        kind: GENUINE,
        variable: "FAST_TIMERS",
        durability: [FSYNC, FSYNC],
    },
];

const PEERS: [Peer; 4] = [
    Peer {
        name: "PouchDB, LevelDB",
        kind: POUCH,
        variable: "",
        durability: [NO_FSYNC, NO_FSYNC],
    },
    Peer {
        name: "PouchDB, tuned",
        kind: POUCH,
        variable: "TUNED",
        durability: [NO_FSYNC, NO_FSYNC],
    },
    Peer {
        name: "WatermelonDB, SQLite",
        kind: Kind::Node("watermelon.js", MODULES),
        variable: "",
        durability: [FSYNC, FSYNC],
    },
    Peer {
        name: "taskchampion, no network",
        kind: Kind::Built("taskchampion/target/release/synctable-bench-taskchampion"),
        variable: "",
        durability: [FSYNC, FSYNC],
    },
];

impl Peer {
    /// Its program, if it is installed.
    fn program(&self) -> Result<Program, String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        let (needed, script) = match self.kind {
            Kind::Node(script, modules) => (folder.join(modules), Some(folder.join(script))),
            Kind::Built(program) => (folder.join(program), None),
        };
        if !needed.exists() {
            return Err("not installed, see bench/peers/setup.sh".into());
        }
        let mut program = Program::new(
            script
                .as_ref()
                .map_or(needed.as_path(), |_| Path::new("node")),
        );
        program.args(script);
        if !self.variable.is_empty() {
            program.env(self.variable, "1");
        }
        Ok(program)
    }
}

/// Who takes part.
enum Subject<'a> {
    Ours { bench: &'a Bench, tuned: bool },
    Peer(&'a Peer),
}

/// What is measured, and in which unit: the steps, and the memory that the second device takes at its first pull.
const FIGURES: [(&str, &str); 5] = [
    ("import", "s"),
    ("push", "s"),
    ("first pull", "s"),
    ("pull of 100 changes", "s"),
    ("memory of a first pull", "MiB"),
];

type Told = [f64; FIGURES.len()];

/// Files of the story.
struct Files {
    count: u64,
    all: PathBuf,
    changes: PathBuf,
}

/// Tells the story once.
fn tell(subject: &Subject, place: &TempDir, files: &Files) -> Told {
    let folder = |name: &str| {
        let folder = place.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        folder
    };
    let (there, one, other) = (folder("server"), folder("one"), folder("other"));
    match subject {
        Subject::Ours { bench, tuned } => {
            let server = bench.command.serve(&there);
            let one = bench.command.device(&one, "device", Some(&server));
            let other = bench.command.device(&other, "device", Some(&server));
            let push = |device: &Device| match tuned {
                true => device.run(&["push", "--parallel", "8"]),
                false => device.run(&["push"]),
            };
            let pull = |device: &Device| match tuned {
                true => device.run(&["pull", crate::command::TABLE, "--page", "5000"]),
                false => device.run(&["pull", crate::command::TABLE]),
            };
            let import = one.import(&files.all);
            let pushed = push(&one);
            assert_eq!(pushed.answer["pushed"], files.count);
            let first = pull(&other);
            assert_eq!(first.answer["added"], files.count);
            one.import(&files.changes);
            push(&one);
            let again = pull(&other);
            assert_eq!(again.answer["updated"], 100.min(files.count));
            let [import, push, pull, changes] =
                [&import, &pushed, &first, &again].map(|ran| ran.seconds);
            [import, push, pull, changes, first.peak]
        }
        Subject::Peer(peer) => {
            let program = || peer.program().unwrap();
            let server = match peer.kind {
                Kind::Node(..) => Some(Server::start(program().arg("server").arg(&there))),
                Kind::Built(_) => None,
            };
            let url = match &server {
                Some(server) => server.url.clone(),
                None => there.display().to_string(),
            };
            let step = |verb: &str, device: &Path, file: Option<&PathBuf>| -> Ran {
                run(program().arg(verb).arg(&url).arg(device).args(file))
            };
            let import = step("import", &one, Some(&files.all));
            let push = step("push", &one, None);
            let first = step("pull", &other, None);
            assert_eq!(first.answer["count"], files.count, "{}", peer.name);
            step("edit", &one, Some(&files.changes));
            step("push", &one, None);
            let again = step("pull", &other, None);
            assert_eq!(again.answer["count"], files.count, "{}", peer.name);
            let seconds = |ran: &Ran| ran.answer["seconds"].as_f64().unwrap();
            let peak = first.answer["peak"].as_f64().unwrap();
            let [import, push, pull, changes] = [&import, &push, &first, &again].map(seconds);
            [import, push, pull, changes, peak]
        }
    }
}

fn story(bench: &mut Bench, count: u64, rounds: usize, peers: &[Peer]) {
    let count = count.max(100);
    let files = Files {
        count,
        all: records(bench.folder.path(), count, 1),
        changes: records(bench.folder.path(), 100, 2),
    };
    let mut present: Vec<&Peer> = Vec::new();
    for peer in peers {
        match peer.program() {
            Ok(_) => present.push(peer),
            Err(why) => bench.skip(peer.name, &why),
        }
    }
    if present.is_empty() {
        return;
    }
    // What each gave, round by round; ours are the first two.
    let ours = ["synctable", "synctable, tuned"].map(|name| (name, [FSYNC, FSYNC]));
    let theirs = present.iter().map(|peer| (peer.name, peer.durability));
    let subjects: Vec<_> = ours.into_iter().chain(theirs).collect();
    let mut told: Vec<Vec<Told>> = vec![Vec::new(); subjects.len()];
    for round in 0..rounds {
        let order: Vec<usize> = match round % 2 {
            0 => (0..subjects.len()).collect(),
            _ => (0..subjects.len()).rev().collect(),
        };
        for number in order {
            let subject = match number {
                0 | 1 => Subject::Ours {
                    bench,
                    tuned: number == 1,
                },
                _ => Subject::Peer(present[number - 2]),
            };
            told[number].push(tell(&subject, &bench.fresh(), &files));
        }
    }
    for (figure, (what, unit)) in FIGURES.into_iter().enumerate() {
        let sample = |number: usize| {
            let values: Vec<f64> = told[number].iter().map(|told| told[figure]).collect();
            Sample::of(&values)
        };
        for (number, (name, durability)) in subjects.iter().enumerate() {
            // Where it is written: what is imported, at the device; what is pushed, at the server; what is pulled can be pulled again.
            let said = match what {
                "import" => durability[0],
                "push" => durability[1],
                _ => "",
            };
            // Tuned against tuned.
            let base = usize::from(name.ends_with("tuned") && number > 1);
            let subject = format!("{what}: {name}");
            let line = bench.line(&subject, count, sample(number), unit, said);
            if number > 1 {
                let ratio = sample(base).median / sample(number).median;
                line.ratio = Some((ratio, subjects[base].0.into()));
                line.goal = Some(Goal::RatioAtMost(1.0));
            }
        }
    }
}
