//! How the cost of each job grows, counted and not timed: entries that the stores touch on both sides, their commits, and requests, at three sizes a
//! factor 4 apart. What a job does once a record may grow with the number of records, and no faster; what it does to a few records may not
//! grow at all.
//!
//! The whole is measured: device, HTTP transport and server, over stores that count. Only sockets and disks are left out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod counting;

use std::collections::BTreeMap;
use std::future::IntoFuture as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use synctable::http::HttpTransport;
use synctable::query::Query;
use synctable::server::TableServer;
use synctable::store::LocalStore;
use synctable::sync::{ConflictPolicy, Purge, Resolution, SyncContext, SyncTable};
use synctable::{Declaration, Declarations, FieldType, TableName};

use counting::{Asked, Touched, counting_store};

const SIZES: [u64; 3] = [500, 2_000, 8_000];

/// What one job took.
#[derive(Debug, Clone, Copy)]
struct Cost {
    here: u64,
    commits: u64,
    there: u64,
    commits_there: u64,
    requests: u64,
}

impl Cost {
    fn parts(self) -> [(&'static str, u64); 5] {
        [
            ("entries here", self.here),
            ("commits here", self.commits),
            ("entries at the server", self.there),
            ("commits at the server", self.commits_there),
            ("requests", self.requests),
        ]
    }
}

/// How a cost may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Growth {
    /// No faster than the number of records.
    Linear,
    /// With the table, in pages that end between two commits of the server.
    Paged,
    /// Not at all.
    Flat,
}

struct Device {
    sync: SyncContext,
    films: SyncTable<Value>,
    touched: Touched,
}

struct World {
    asked: Asked,
    there: Touched,
    costs: BTreeMap<&'static str, (Growth, Cost)>,
}

impl World {
    async fn new() -> Self {
        let there = Touched::default();
        let table = declared().with_soft_delete();
        let server = TableServer::builder(Arc::new(counting_store(&there)))
            .table(TableName::new("films").unwrap(), table)
            .host("server.test".parse().unwrap());
        Self {
            asked: Asked {
                server: Arc::new(server.build().await.unwrap()),
                requests: Arc::new(AtomicU64::new(0)),
            },
            there,
            costs: BTreeMap::new(),
        }
    }

    async fn device(&self) -> Device {
        let touched = Touched::default();
        let store: Arc<dyn LocalStore> = Arc::new(counting_store(&touched));
        self.context(store, touched).await
    }

    /// A context over a store, whatever is queued there.
    async fn context(&self, store: Arc<dyn LocalStore>, touched: Touched) -> Device {
        let http = HttpTransport::builder("http://server.test")
            .exchange(Arc::new(self.asked.clone()))
            .build()
            .unwrap();
        let table = |name| TableName::new(name).unwrap();
        let declarations = Declarations::new()
            .with_table(table("films"), declared())
            .with_table(table("notes"), Declaration::new());
        let sync = SyncContext::builder(store)
            // So that the smallest size has many runs.
            .queue_tail(64)
            .schema(declarations)
            .transport(http)
            .conflicts(ConflictPolicy::Park)
            .open()
            .await
            .unwrap();
        let films = sync.table("films").unwrap();
        Device {
            sync,
            films,
            touched,
        }
    }

    fn now(&self, device: &Device) -> Cost {
        Cost {
            here: device.touched.entries(),
            commits: device.touched.commits(),
            there: self.there.entries(),
            commits_there: self.there.commits(),
            requests: self.asked.requests.load(Ordering::Relaxed),
        }
    }

    /// Notes what `job` took on this device and at the server.
    async fn count<T>(
        &mut self,
        name: &'static str,
        growth: Growth,
        device: &Device,
        job: impl Future<Output = T>,
    ) -> T {
        let before = self.now(device);
        let result = job.await;
        self.note(name, growth, device, before);
        result
    }

    fn note(&mut self, name: &'static str, growth: Growth, device: &Device, before: Cost) {
        let after = self.now(device);
        let cost = Cost {
            here: after.here - before.here,
            commits: after.commits - before.commits,
            there: after.there - before.there,
            commits_there: after.commits_there - before.commits_there,
            requests: after.requests - before.requests,
        };
        self.costs.insert(name, (growth, cost));
    }
}

fn declared() -> Declaration {
    Declaration::new()
        .with_field("title", FieldType::String)
        .with_field("year", FieldType::Integer)
        .with_index(["year"])
}

async fn fill(device: &Device, count: u64, title: &str) {
    for first in (0..count).step_by(100) {
        let mut some = device.sync.transaction();
        for n in first..count.min(first + 100) {
            let film = json!({"id": format!("f{n:06}"), "title": format!("{title} {n}"), "year": 1900 + n % 120});
            some.insert(&device.films, &film).unwrap();
        }
        some.commit().await.unwrap();
    }
}

/// The story of a table with so many records, and what each job in it took.
async fn story(count: u64) -> BTreeMap<&'static str, (Growth, Cost)> {
    use Growth::{Flat, Linear, Paged};
    let mut world = World::new().await;
    let (ada, ben, eve) = (
        world.device().await,
        world.device().await,
        world.device().await,
    );
    let all = || Query::all();
    world
        .count("import", Linear, &ada, fill(&ada, count, "The film"))
        .await;
    let pushed = world
        .count("push", Linear, &ada, ada.sync.push().into_future())
        .await;
    assert_eq!(pushed.unwrap().pushed, count);
    let pulled = world.count(
        "first pull",
        Paged,
        &ben,
        ben.films.pull(all(), "all").into_future(),
    );
    assert_eq!(pulled.await.unwrap().added, count);
    let again = world.count(
        "pull of nothing",
        Flat,
        &ben,
        ben.films.pull(all(), "all").into_future(),
    );
    assert_eq!(again.await.unwrap().added, 0);
    for n in 0..10 {
        let change = json!({"title": format!("changed {n}")});
        ada.films.update(format!("f{n:06}"), &change).await.unwrap();
    }
    let few = world
        .count("push of 10", Flat, &ada, ada.sync.push().into_future())
        .await;
    assert_eq!(few.unwrap().pushed, 10);
    let few = world.count(
        "pull of 10",
        Flat,
        &ben,
        ben.films.pull(all(), "all").into_future(),
    );
    assert_eq!(few.await.unwrap().updated, 10);
    let audit = world
        .count("audit", Linear, &ben, ben.films.audit(all()).into_future())
        .await;
    assert!(audit.unwrap().is_clean());
    fill(&eve, count, "Another film").await;
    let (store, touched) = (Arc::clone(eve.sync.store()), eve.touched.clone());
    let before = world.now(&eve);
    let eve = world.context(store, touched).await;
    world.note("opening with all pending", Flat, &eve, before);
    let new = json!({"title": "A film of its own", "year": 2000});
    let one = eve.films.insert(&new).into_future();
    world
        .count("insert behind all", Flat, &eve, one)
        .await
        .unwrap();
    let page = eve.sync.pending().page(10).into_future();
    world
        .count("page of the queue", Flat, &eve, page)
        .await
        .unwrap();
    let change = json!({"title": "Another title"});
    let edit = eve.films.update("f000000", &change).into_future();
    world
        .count("edit behind all", Linear, &eve, edit)
        .await
        .unwrap();
    let met = world
        .count(
            "push of conflicts",
            Linear,
            &eve,
            eve.sync.push().into_future(),
        )
        .await;
    let met = met.unwrap();
    assert_eq!((met.conflicts, met.pushed), (count, 1));
    let parked = world
        .count("conflicts", Linear, &eve, eve.sync.conflicts())
        .await
        .unwrap();
    assert_eq!(parked.len() as u64, count);
    let resolve = async {
        for parked in &parked[..10] {
            let seq = parked.operation.seq;
            eve.sync.resolve(seq, Resolution::Server).await.unwrap();
        }
    };
    world.count("resolve 10", Flat, &eve, resolve).await;
    let purge = eve.films.purge(Purge::all().discard_pending());
    world
        .count("purge of pending", Linear, &eve, purge)
        .await
        .unwrap();
    world
        .count("purge", Linear, &ben, ben.films.purge(Purge::all()))
        .await
        .unwrap();
    world.costs
}

/// The smallest table is one page. Those of the others begin a commit that does not fit, of up to 256 changes with two entries each, and read it again:
/// two pages more than four times one.
const IN_VAIN: u64 = 2 * 256 * 2;

/// So many entries of the store each record takes at most on the device, with those of the change log.
const EACH: [(&str, u64); 4] = [("import", 7), ("push", 11), ("first pull", 6), ("purge", 6)];

/// What grew too fast from one size to the next, four times as large.
fn too_much(growth: Growth, small: Cost, large: Cost) -> Vec<String> {
    let parts = small.parts().into_iter().zip(large.parts());
    let wrong = parts.filter(|((_, small), (_, large))| match growth {
        // A few requests and commits come with each job.
        Growth::Linear => *large > small * 42 / 10 + 20,
        Growth::Paged => *large > small * 42 / 10 + 20 + IN_VAIN,
        Growth::Flat => *large > small + small / 10 + 10,
    });
    wrong
        .map(|((what, small), (_, large))| format!("{what} {small} -> {large}"))
        .collect()
}

#[tokio::test]
async fn no_job_costs_more_than_what_it_is_about() {
    let mut told = Vec::new();
    for size in SIZES {
        told.push(story(size).await);
    }
    for (name, (_, cost)) in &told[2] {
        println!("{name}: {:?}", cost.parts());
    }
    let mut wrong = Vec::new();
    for (name, most) in EACH {
        let (_, cost) = told[2][name];
        if cost.here > most * SIZES[2] {
            let each = cost.here / SIZES[2];
            wrong.push(format!("{name}: {each} entries here for each record"));
        }
    }
    for pair in told.windows(2) {
        for (name, (growth, small)) in &pair[0] {
            let (_, large) = pair[1][name];
            let found = too_much(*growth, *small, large);
            wrong.extend(found.into_iter().map(|what| format!("{name}: {what}")));
        }
    }
    assert!(wrong.is_empty(), "costs too much:\n{}", wrong.join("\n"));
}

/// A local write waits for the commit of a pull that is under way, so a pull stores few rows at once where records are changed here.
#[tokio::test]
async fn a_pull_beside_local_changes_stores_its_rows_in_more_commits() {
    const ROWS: u64 = 900;
    let world = World::new().await;
    let ada = world.device().await;
    fill(&ada, ROWS, "The film").await;
    assert_eq!(ada.sync.push().await.unwrap().pushed, ROWS);
    let mut commits = Vec::new();
    for changes in [false, true] {
        let ben = world.device().await;
        let notes = ben.sync.table::<Value>("notes").unwrap();
        if changes {
            notes.insert(&json!({"text": "A note"})).await.unwrap();
        }
        let before = ben.touched.commits();
        let pulled = ben.films.pull(Query::all(), "all").await.unwrap();
        assert_eq!(pulled.added, ROWS);
        commits.push(ben.touched.commits() - before);
    }
    // 256 rows, 512, and the rest.
    assert_eq!(commits[1], commits[0] + 2);
}
