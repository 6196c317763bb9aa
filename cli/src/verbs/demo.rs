//! The demo: two devices that work offline, meet in conflict, and agree in the end.

mod world;

use std::fmt::Debug;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use synctable::kv::files::create_private_folders;
use synctable::query::Query;
use synctable::sync::{PullReport, Purge, PushReport, Resolution};
use synctable::{Draft, Error};

use self::world::{Person, Todo, World};
use crate::errors::{Done, Failure};
use crate::output::{Output, seconds};
use crate::progress::Progress;

/// Records written in one transaction.
const BATCH: u64 = 500;
/// Operations at the server at once.
const PARALLEL: usize = 8;
/// The name of all pulls.
const ALL: &str = "all";

pub(crate) async fn demo(
    output: &mut Output,
    records: u32,
    dir: Option<&Path>,
) -> Result<Done, Failure> {
    let cannot =
        |error| Failure::failed(format!("the folder for the demo cannot be made: {error}"));
    let temporary = match dir {
        None => Some(tempfile::tempdir().map_err(cannot)?),
        Some(dir) => {
            create_private_folders(dir).map_err(cannot)?;
            None
        }
    };
    let folder = temporary.as_ref().map(tempfile::TempDir::path).or(dir);
    let world = World::open(folder.unwrap_or(Path::new("."))).await?;
    let started = Instant::now();
    let mut story = Story::new(output, &world, records.into());
    let told = story.tell().await;
    world.close().await?;
    let count = told?;
    let seconds = seconds(started.elapsed());
    let line = json!({"ok": true, "records": count, "seconds": seconds, "dir": dir});
    output.summary(&line, || {
        let kept = dir.map_or_else(String::new, |dir| format!("; the stores are in {}", dir.display()));
        format!("Done in {seconds:.1} s: {count} records are the same on the server and on both devices{kept}.")
    })?;
    Ok(Done::All)
}

struct Story<'a> {
    output: &'a mut Output,
    world: &'a World,
    /// How many records each writes, and which of them play a part later.
    ada_writes: u64,
    ben_writes: u64,
    edited: u64,
    deleted: u64,
    step: u32,
}

impl<'a> Story<'a> {
    fn new(output: &'a mut Output, world: &'a World, records: u64) -> Self {
        let ben_writes = records / 4;
        let ada_writes = records - ben_writes;
        // The first record is for the conflict.
        let edited = (ada_writes - 1).min(5);
        let deleted = (ada_writes - 1 - edited).min(1);
        Self {
            output,
            world,
            ada_writes,
            ben_writes,
            edited,
            deleted,
            step: 0,
        }
    }

    async fn tell(&mut self) -> Result<u64, Failure> {
        self.work_offline().await?;
        self.first_sync().await?;
        self.conflict().await?;
        self.resolve().await?;
        self.incremental_pull().await?;
        self.purge().await?;
        self.converge().await
    }

    async fn work_offline(&mut self) -> Result<(), Failure> {
        let World { ada, ben, .. } = self.world;
        for (person, count) in [(ada, self.ada_writes), (ben, self.ben_writes)] {
            let label = format!("{} writes", person.name);
            let progress = Progress::new(self.output, &label, Some(count));
            let mut written = 0;
            while written < count {
                let mut transaction = person.sync.transaction();
                for number in written..count.min(written + BATCH) {
                    transaction.insert(&person.todos, &todo(person, number))?;
                }
                written += transaction.len() as u64;
                transaction.commit().await?;
                progress.set(written);
            }
            same(
                "operations in the queue",
                &person.sync.pending_count().await?,
                &count,
            )?;
        }
        let (ada, ben) = (self.ada_writes, self.ben_writes);
        self.told(
            "offline",
            &format!("Both work offline: Ada writes {ada} records, Ben {ben}. Each change waits in a durable queue."),
            json!({"ada": ada, "ben": ben}),
        )
    }

    async fn first_sync(&mut self) -> Result<(), Failure> {
        let World { ada, ben, url, .. } = self.world;
        for (person, count) in [(ada, self.ada_writes), (ben, self.ben_writes)] {
            let began = Instant::now();
            let report = self.push(person).await?;
            let took = began.elapsed();
            same("pushed records", &report.pushed, &count)?;
            self.told(
                "push",
                &format!(
                    "{} is online and pushes {count} records to {url} ({}).",
                    person.name,
                    rate(count, took)
                ),
                json!({"device": person.name, "pushed": count, "seconds": seconds(took)}),
            )?;
        }
        let all = self.ada_writes + self.ben_writes;
        for (person, count) in [(ada, self.ben_writes), (ben, self.ada_writes)] {
            let began = Instant::now();
            let report = self.pull(person).await?;
            let took = began.elapsed();
            same(
                "fetched and added records",
                &(report.fetched, report.added),
                &(all, count),
            )?;
            self.told(
                "pull",
                &format!(
                    "{} pulls {all} records, of which {count} are new ({}).",
                    person.name,
                    rate(all, took)
                ),
                json!({"device": person.name, "fetched": all, "added": count, "seconds": seconds(took)}),
            )?;
        }
        Ok(())
    }

    /// Both change the same record; the second to push meets the conflict. Ben changes some more.
    async fn conflict(&mut self) -> Result<(), Failure> {
        let World { ada, ben, .. } = self.world;
        let shared = id_of(ada, 0);
        ada.todos
            .update(&shared, &json!({"text": "Oat milk"}))
            .await?;
        ben.todos
            .update(
                &shared,
                &json!({"text": "Milk and bread", "complete": true}),
            )
            .await?;
        for number in 1..=self.edited {
            ben.todos
                .update(id_of(ada, number), &json!({"complete": true}))
                .await?;
        }
        for number in 1..=self.deleted {
            ben.todos.delete(id_of(ada, self.edited + number)).await?;
        }
        let report = self.push(ada).await?;
        same("Ada's pushed records", &report.pushed, &1)?;
        let report = self.push(ben).await?;
        let others = self.edited + self.deleted;
        same(
            "Ben's pushed records and conflicts",
            &(report.pushed, report.conflicts),
            &(others, 1),
        )?;
        self.told(
            "edit",
            &format!(
                "Both edit {shared} offline; Ben also changes {} other records and deletes {}.",
                self.edited, self.deleted
            ),
            json!({"id": shared, "others": others}),
        )?;
        for parked in ben.sync.conflicts().await? {
            let text = |record: Option<&synctable::Record>| {
                record
                    .and_then(|record| record.member("text"))
                    .unwrap_or_default()
            };
            let conflict = &parked.conflict;
            let sides = [&conflict.base, &conflict.local, &conflict.server];
            let [base, local, server] = sides.map(|side| text(side.as_ref()));
            self.told(
                "conflict",
                &format!("Ada pushes first, so Ben's edit of it is parked, with base {base}, local {local}, server {server}."),
                json!({"seq": parked.operation.seq, "id": shared, "base": base, "local": local, "server": server}),
            )?;
        }
        Ok(())
    }

    async fn resolve(&mut self) -> Result<(), Failure> {
        let ben = &self.world.ben;
        let joined = Todo {
            text: "Oat milk and bread".into(),
            complete: true,
            ..todo(&self.world.ada, 0)
        };
        for parked in ben.sync.conflicts().await? {
            let resolution = Resolution::With(Draft::from_serialize(&joined)?);
            ben.sync.resolve(parked.operation.seq, resolution).await?;
        }
        let report = self.push(ben).await?;
        same(
            "pushed resolutions and operations left",
            &(report.pushed, report.pending),
            &(1, 0),
        )?;
        self.told(
            "resolve",
            &format!("Ben joins both edits to {:?} and pushes that.", joined.text),
            json!({"id": joined.id, "text": joined.text}),
        )?;
        let pulled = ben.todos.get(&joined.id).await?;
        same("Ben's record", &pulled, &Some(joined))
    }

    async fn incremental_pull(&mut self) -> Result<(), Failure> {
        let changed = 1 + self.edited + self.deleted;
        let report = self.pull(&self.world.ada).await?;
        let counts = (report.fetched, report.updated, report.deleted);
        same(
            "fetched, updated and deleted records",
            &counts,
            &(changed, 1 + self.edited, self.deleted),
        )?;
        self.told(
            "incremental",
            &format!(
                "Ada pulls again: only the {changed} records that changed are fetched, {} updated and {} deleted.",
                report.updated, report.deleted
            ),
            json!({"fetched": report.fetched, "updated": report.updated, "deleted": report.deleted}),
        )
    }

    async fn purge(&mut self) -> Result<(), Failure> {
        let ada = &self.world.ada;
        ada.todos
            .update(id_of(ada, 0), &json!({"priority": 9}))
            .await?;
        let refusal = match ada.todos.purge(Purge::all()).await {
            Err(error @ Error::PendingOperations { .. }) => error.to_string(),
            other => {
                return Err(Failure::failed(format!(
                    "the purge was not refused: {other:?}"
                )));
            }
        };
        self.told(
            "purge_refused",
            &format!("Ada has a change to push, so a purge is refused: {refusal}."),
            json!({"refused": refusal}),
        )?;
        same("pushed records", &self.push(ada).await?.pushed, &1)?;
        let purged = ada.todos.purge(Purge::all()).await?.purged;
        let report = self.pull(ada).await?;
        same("records that came back", &report.added, &purged)?;
        self.told(
            "purge",
            &format!(
                "After a push the purge frees {purged} records here, and a pull brings them back."
            ),
            json!({"purged": purged, "added": report.added}),
        )
    }

    async fn converge(&mut self) -> Result<u64, Failure> {
        let World { ada, ben, .. } = self.world;
        let report = self.pull(ben).await?;
        same("records that Ben misses", &report.updated, &1)?;
        for person in [ada, ben] {
            same("operations left", &person.sync.pending_count().await?, &0)?;
            let findings = person.sync.verify().await?;
            same("findings", &findings, &Vec::new())?;
        }
        let count = self.world.compare().await?;
        same(
            "records",
            &count,
            &(self.ada_writes + self.ben_writes - self.deleted),
        )?;
        self.told(
            "converged",
            "Ben pulls as well. Server and devices are compared record by record: nothing differs, nothing is left in a queue.",
            json!({"records": count}),
        )?;
        Ok(count)
    }

    async fn push(&self, person: &Person) -> Result<PushReport, Failure> {
        let _progress = Progress::of(
            self.output,
            &format!("{} pushes", person.name),
            &person.sync,
        );
        Ok(person.sync.push().parallel(PARALLEL).await?)
    }

    async fn pull(&self, person: &Person) -> Result<PullReport, Failure> {
        let _progress = Progress::of(self.output, &format!("{} pulls", person.name), &person.sync);
        Ok(person.todos.pull(Query::all(), ALL).await?)
    }

    /// Tells a step that was done.
    fn told(&mut self, step: &str, text: &str, mut facts: Value) -> Result<(), Failure> {
        self.step += 1;
        if let Some(facts) = facts.as_object_mut() {
            facts.insert("step".into(), step.into());
        }
        let number = self.step;
        self.output
            .summary(&facts, || format!("{number:>2}. {text}"))?;
        Ok(self.output.flush()?)
    }
}

fn id_of(person: &Person, number: u64) -> String {
    format!("{}-{number:07}", person.name.to_lowercase())
}

fn todo(person: &Person, number: u64) -> Todo {
    Todo {
        id: id_of(person, number),
        text: format!("Todo {number} of {}", person.name),
        complete: false,
        priority: u32::try_from(number % 5).unwrap_or_default(),
    }
}

/// The promise of the demo: every number is as it must be.
fn same<T: PartialEq + Debug>(what: &str, found: &T, expected: &T) -> Result<(), Failure> {
    if found == expected {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "the demo went wrong: {what}: {found:?} instead of {expected:?}"
    )))
}

/// How long so many records took, for people.
fn rate(records: u64, took: Duration) -> String {
    let each = u128::from(records) * 1000 / took.as_millis().max(1);
    format!("{:.1} s, {each} a second", took.as_secs_f64())
}
