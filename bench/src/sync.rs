//! Devices and a server in processes of their own, with files, over loopback: from the start of each command to its end.

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::command::{Ran, Server};
use crate::data::{Item, Numbers, item};
use crate::harness::{Bench, FSYNC, Job, NO_FSYNC, READS};
use crate::line::Goal;
use crate::one_by_one;
use crate::stats::Sample;

const OURS: &str = "synctable";

pub const JOBS: &[Job] = &[
    Job {
        name: "first_pull",
        about: "`pull` into a new store; memory is that of the device",
        run: |bench| {
            let all = bench.records;
            first_pull(bench, &[all / 10, all / 5, all / 5 * 2, all]);
        },
        causes: &[
            (
                "memory",
                "two page caches of SQLite at the device, 16 and 4 MiB, fill up, and up to five pages are in flight",
            ),
            (
                "",
                "inserting into SQLite with its index, and printing and parsing of JSON, on two processors that the server shares",
            ),
        ],
    },
    Job {
        name: "first_pull_1m",
        about: "the same of a million records",
        run: |bench| first_pull(bench, &[1_000_000]),
        causes: &[("", "as of `first_pull`")],
    },
    Job {
        name: "incremental_pull",
        about: "`pull` of 10 changes into a table of this size",
        run: incremental_pull,
        causes: &[(
            "",
            "most of it is the start of a process and its first request",
        )],
    },
    Job {
        name: "verify_remote",
        about: "`verify --remote` of a table that is equal at both ends",
        run: verify_remote,
        causes: &[(
            "exponent",
            "the depth of a tree alone makes 1.09 at these sizes (n log n); the rest is not known yet",
        )],
    },
    Job {
        name: "open_with_pending",
        about: "`insert` of a record where so many operations wait; memory is its own",
        run: open_with_pending,
        causes: &[(
            "",
            "the start of a process, the opening of a store and an fsync",
        )],
    },
    Job {
        name: "push_batches",
        about: "`push` of queued inserts, in batches as the server announces them",
        run: |bench| push(bench, bench.records, true),
        causes: &[(
            "",
            "both processors are busy: the device marks each change in one commit and settles it in another, beside the work of the server",
        )],
    },
    Job {
        name: "push_one_by_one",
        about: "the same to a server that takes no batches: a request and a durable commit each",
        run: |bench| push(bench, bench.records / 10, false),
        causes: &[(
            "",
            "two fsyncs for each request, at the device and at the server, one request at a time",
        )],
    },
];

/// About 185 bytes of JSON.
pub fn text(item: &Item) -> String {
    format!(
        r#"{{"id":"{}","name":"{}","category":"{}","quantity":{},"price":{:?},"done":{},"due":"{}"}}"#,
        item.id, item.name, item.category, item.quantity, item.price, item.done, item.due
    )
}

/// A file of JSON lines; the same numbers are the same records, with other values where `seed` is another.
pub fn records(folder: &Path, count: u64, seed: u64) -> PathBuf {
    let path = folder.join(format!("records-{count}-{seed}.jsonl"));
    if !path.exists() {
        let mut out = BufWriter::new(std::fs::File::create(&path).unwrap());
        let mut numbers = Numbers::new(seed);
        for number in 0..count {
            let mut item = item(number, &mut numbers);
            item.id = format!("record-{number:025}");
            writeln!(out, "{}", text(&item)).unwrap();
        }
        out.flush().unwrap();
    }
    path
}

/// A server that has `count` records, and the folder of its store.
struct Filled {
    folder: TempDir,
    server: Server,
}

fn filled(bench: &Bench, count: u64) -> Filled {
    let folder = bench.fresh();
    let server = bench.command.serve(folder.path());
    let writer = bench.command.device(folder.path(), "writer", Some(&server));
    writer.import(&records(bench.folder.path(), count, 1));
    writer.push(count);
    Filled { folder, server }
}

fn samples(rans: &[Ran], of: impl Fn(&Ran) -> f64) -> Sample {
    Sample::of(&rans.iter().map(of).collect::<Vec<_>>())
}

fn first_pull(bench: &mut Bench, sizes: &[u64]) {
    let mut costs = Vec::new();
    for &size in sizes {
        let filled = filled(bench, size);
        let rounds = if size >= 1_000_000 { 1 } else { bench.few() };
        let round = |_| {
            let folder = bench.fresh();
            let device = bench
                .command
                .device(folder.path(), "reader", Some(&filled.server));
            device.pull(size)
        };
        let rans: Vec<Ran> = (0..rounds).map(round).collect();
        let seconds = samples(&rans, |ran| ran.seconds);
        costs.push((size, seconds.median));
        let (least, most) = if size >= 1_000_000 {
            (1e6 / 12.0, 32.0)
        } else {
            (1e5, 32.0)
        };
        let rate = seconds.map(|seconds| size as f64 / seconds);
        bench.line(OURS, size, rate, "rows/s", NO_FSYNC).goal = Some(Goal::AtLeast(least));
        let memory = samples(&rans, |ran| ran.peak);
        bench.line("memory", size, memory, "MiB", "").goal = Some(Goal::AtMost(most));
        let server = Sample::of(&[filled.server.peak()]);
        bench.line("memory of the server", size, server, "MiB", "");
    }
    bench.growth(OURS, &costs, 1.1);
}

fn incremental_pull(bench: &mut Bench) {
    let changes = records(bench.folder.path(), 10, 2);
    let mut costs = Vec::new();
    for size in bench.sizes(bench.records) {
        let Filled { folder, server } = filled(bench, size);
        let writer = bench.command.device(folder.path(), "writer", Some(&server));
        let reader = bench.command.device(folder.path(), "reader", Some(&server));
        reader.pull(size);
        let mut rans = Vec::new();
        for round in 0..bench.rounds as u64 {
            let changes = match round {
                0 => changes.clone(),
                _ => records(bench.folder.path(), 10, 2 + round),
            };
            writer.import(&changes);
            writer.push(10);
            // What is read again beside the changes is not counted.
            let ran = reader.run(&["pull", crate::command::TABLE]);
            assert_eq!(ran.answer["updated"], 10, "{}", ran.answer);
            rans.push(ran);
        }
        let millis = samples(&rans, |ran| ran.seconds * 1e3);
        costs.push((size, millis.median));
        bench.line(OURS, size, millis, "ms", NO_FSYNC);
    }
    bench.growth(OURS, &costs, 0.1);
}

fn verify_remote(bench: &mut Bench) {
    let mut costs = Vec::new();
    for size in bench.sizes(bench.records) {
        let Filled { folder, server } = filled(bench, size);
        let reader = bench.command.device(folder.path(), "reader", Some(&server));
        reader.pull(size);
        let round = |_| reader.run(&["verify"]);
        let rans: Vec<Ran> = (0..bench.few()).map(round).collect();
        let seconds = samples(&rans, |ran| ran.seconds);
        costs.push((size, seconds.median));
        bench.line(OURS, size, seconds, "s", READS);
    }
    bench.growth(OURS, &costs, 1.1);
}

fn open_with_pending(bench: &mut Bench) {
    let mut costs = Vec::new();
    for size in bench.sizes(bench.records) {
        let folder = bench.fresh();
        let device = bench.command.device(folder.path(), "device", None);
        device.import(&records(bench.folder.path(), size, 1));
        let round = |_| device.run(&["insert", crate::command::TABLE, r#"{"name":"one more"}"#]);
        let rans: Vec<Ran> = (0..bench.rounds).map(round).collect();
        let millis = samples(&rans, |ran| ran.seconds * 1e3);
        costs.push((size, millis.median));
        bench.line(OURS, size, millis, "ms", FSYNC).goal = Some(Goal::AtMost(20.0));
        let memory = samples(&rans, |ran| ran.peak);
        bench.line("memory", size, memory, "MiB", "").goal = Some(Goal::AtMost(15.0));
    }
    bench.growth(OURS, &costs, 0.1);
}

fn push(bench: &mut Bench, largest: u64, batches: bool) {
    let mut costs = Vec::new();
    for size in bench.sizes(largest) {
        let file = records(bench.folder.path(), size, 1);
        let round = |_| {
            let folder = bench.fresh();
            let server = match batches {
                true => bench.command.serve(folder.path()),
                false => one_by_one::start(folder.path()),
            };
            let device = bench.command.device(folder.path(), "writer", Some(&server));
            device.import(&file);
            device.push(size)
        };
        let rans: Vec<Ran> = (0..bench.few()).map(round).collect();
        let seconds = samples(&rans, |ran| ran.seconds);
        costs.push((size, seconds.median));
        let rate = seconds.map(|seconds| size as f64 / seconds);
        let least = if batches { 20_000.0 } else { 2000.0 };
        bench.line(OURS, size, rate, "changes/s", FSYNC).goal = Some(Goal::AtLeast(least));
    }
    bench.growth(OURS, &costs, 1.1);
}
