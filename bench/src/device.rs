//! What a user notices: size, start, and how long one has to wait while much goes on.

use std::process::Command as Program;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;
use synctable::http::HttpTransport;
use synctable::query::Query;
use synctable::sync::SyncContext;
use synctable::transport::{Change, ChangeKind, Outcome, Transport as _};
use synctable::{Record, SqliteStore};

use crate::command::{TABLE, run};
use crate::data::table;
use crate::harness::{Bench, FSYNC, Job, READS, database};
use crate::line::Goal;
use crate::stats::{Sample, percentile};
use crate::sync::records;

pub const JOBS: &[Job] = &[
    Job {
        name: "binary_size",
        about: "the `synctable` command with all stores, server and TLS, stripped",
        run: binary_size,
        causes: &[],
    },
    Job {
        name: "cold_start",
        about: "`get` of a record from a store of this size: the whole process",
        run: cold_start,
        causes: &[],
    },
    Job {
        name: "wait_during_pull",
        about: "the longest wait of a local insert, one each 2 ms, while this many records are pulled for the first time",
        run: wait_during_pull,
        causes: &[(
            "",
            "a commit of several pages, or a checkpoint, is under way when the insert comes",
        )],
    },
    Job {
        name: "lone_write",
        about: "a single write at the server, one each 5 ms, while four devices push this many in batches",
        run: lone_write,
        causes: &[(
            "",
            "the writes share two processors and one disk with four devices",
        )],
    },
];

fn binary_size(bench: &mut Bench) {
    let folder = bench.fresh();
    let stripped = folder.path().join("stripped");
    let mut strip = Program::new("strip");
    strip.arg("-o").arg(&stripped).arg(&bench.command.program);
    if !strip.status().is_ok_and(|status| status.success()) {
        return bench.skip("synctable", "there is no strip");
    }
    let bytes = stripped.metadata().unwrap().len();
    let sample = Sample::of(&[bytes as f64 / (1 << 20) as f64]);
    bench.line("synctable", 1, sample, "MiB", "");
}

fn cold_start(bench: &mut Bench) {
    let folder = bench.fresh();
    let device = bench.command.device(folder.path(), "device", None);
    let size = (bench.records / 100).max(10);
    device.import(&records(bench.folder.path(), size, 1));
    let id = format!("record-{:025}", size / 2);
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds * 4 {
        ours.push(device.run(&["get", TABLE, &id]).seconds * 1e3);
        bare.push(run(&mut Program::new("true")).seconds * 1e3);
    }
    bench.line("an empty process", size, Sample::of(&bare), "ms", "");
    bench.line("synctable", size, Sample::of(&ours), "ms", READS);
}

fn wait_during_pull(bench: &mut Bench) {
    let size = bench.records;
    let folder = bench.fresh();
    let server = bench.command.serve(folder.path());
    let writer = bench.command.device(folder.path(), "writer", Some(&server));
    writer.import(&records(bench.folder.path(), size, 1));
    writer.push(size);
    let (mut longest, mut usual, mut memory) = (Vec::new(), Vec::new(), 0.0);
    for _ in 0..bench.few() {
        let folder = bench.fresh();
        let waits = bench.runtime.block_on(async {
            let store = Arc::new(SqliteStore::open(database(&folder)).unwrap());
            let http = HttpTransport::builder(&server.url).build().unwrap();
            let builder = SyncContext::builder(store).transport(http);
            let sync = builder.open().await.unwrap();
            let pulled = Arc::new(AtomicBool::new(false));
            let inserts = tokio::spawn(insert_until(sync.clone(), Arc::clone(&pulled)));
            let items = sync.table::<Record>(TABLE).unwrap();
            let report = items.pull(Query::all(), "all").await.unwrap();
            assert_eq!(report.added, size);
            pulled.store(true, Ordering::Relaxed);
            inserts.await.unwrap()
        });
        longest.push(percentile(&waits, 1.0));
        usual.push(percentile(&waits, 0.5));
        memory = server.peak();
    }
    bench
        .line("longest", size, Sample::of(&longest), "ms", FSYNC)
        .goal = Some(Goal::AtMost(20.0));
    bench.line("median", size, Sample::of(&usual), "ms", FSYNC);
    bench.line(
        "memory of the server",
        size,
        Sample::of(&[memory]),
        "MiB",
        "",
    );
}

/// Inserts into another table until `over`, and gives how long each took, in milliseconds.
async fn insert_until(sync: SyncContext, over: Arc<AtomicBool>) -> Vec<f64> {
    let notes = sync.table::<serde_json::Value>("notes").unwrap();
    let mut waits = Vec::new();
    for number in 0.. {
        let start = Instant::now();
        notes
            .insert(&json!({"id": format!("n{number}"), "text": "a note"}))
            .await
            .unwrap();
        waits.push(start.elapsed().as_secs_f64() * 1e3);
        if over.load(Ordering::Relaxed) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    waits
}

fn lone_write(bench: &mut Bench) {
    const DEVICES: u64 = 4;
    let share = bench.records / DEVICES;
    let (mut waits, mut ahead) = (Vec::new(), Vec::new());
    let file = records(bench.folder.path(), share, 1);
    for _ in 0..bench.few() {
        let folder = bench.fresh();
        let server = bench.command.serve(folder.path());
        let names: Vec<String> = (0..DEVICES)
            .map(|number| format!("writer{number}"))
            .collect();
        for name in &names {
            // Ids of its own for each, or they would be in conflict.
            let text = std::fs::read_to_string(&file).unwrap();
            let own = folder.path().join(name).with_extension("jsonl");
            std::fs::write(&own, text.replace("\"record-", &format!("\"{name}-"))).unwrap();
            bench.command.device(folder.path(), name, None).import(&own);
        }
        let over = AtomicBool::new(false);
        let (waited, times) = std::thread::scope(|scope| {
            let lone = scope.spawn(|| bench.runtime.block_on(write_until(&server.url, &over)));
            let pushes: Vec<_> = names
                .iter()
                .map(|name| {
                    let device = bench.command.device(folder.path(), name, Some(&server));
                    scope.spawn(move || device.push(share))
                })
                .collect();
            for push in pushes {
                push.join().unwrap();
            }
            over.store(true, Ordering::Relaxed);
            lone.join().unwrap()
        });
        waits.push(percentile(&waited, 0.99));
        ahead.push(percentile(&times, 1.0));
    }
    let size = share * DEVICES;
    bench
        .line("p99", size, Sample::of(&waits), "ms", FSYNC)
        .goal = Some(Goal::AtMost(50.0));
    let ahead = Sample::of(&ahead).map(|millis| millis.max(0.0));
    bench
        .line("`updatedAt` ahead of the clock", size, ahead, "ms", "")
        .goal = Some(Goal::AtMost(1000.0));
}

/// Writes until `over`; how long each took, and how far its `updatedAt` was ahead when the answer came, in milliseconds.
async fn write_until(url: &str, over: &AtomicBool) -> (Vec<f64>, Vec<f64>) {
    let http = HttpTransport::builder(url).build().unwrap();
    let (mut waits, mut ahead) = (Vec::new(), Vec::new());
    for number in 0.. {
        let text = format!(r#"{{"id":"lone-{number}","name":"a lone write"}}"#);
        let record = Record::from_json(&text).unwrap();
        let change = Change::new(ChangeKind::Insert, record.id().clone()).with_record(record);
        let start = Instant::now();
        let outcome = http.apply(&table(), &change).await.unwrap();
        waits.push(start.elapsed().as_secs_f64() * 1e3);
        let Outcome::Applied(Some(stored)) = outcome else {
            panic!("a lone write was answered with {outcome:?}");
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let time = stored.system().updated_at.unwrap().millis();
        ahead.push(time as f64 - now.as_millis() as f64);
        if over.load(Ordering::Relaxed) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (waits, ahead)
}
