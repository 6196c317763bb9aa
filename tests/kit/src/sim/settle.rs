//! The end of a history: faults stop, all clients become equal, and the books are read.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use serde_json::Value;
use synctable_core::query::Query;
use synctable_core::{Error, Record, TableName};

use super::act::{KEPT, PASSING, answer, resolve};
use super::application::{Participant, Users};
use super::client::{Client, Opened, Seat};
use super::person::Person;
use super::task::Task;
use super::watch::watch;
use super::world::{PATIENCE, World, finish};
use crate::fixture::table;

/// Rounds of push, resolve and pull in which all clients have to become equal.
const ROUNDS: usize = 12;

impl World {
    /// Faults end. What is under way comes to its end, and every client pushes and pulls until nothing is left.
    pub(super) fn settle(&mut self) {
        self.calm.store(true, Ordering::SeqCst);
        self.tell(|| "faults end".into());
        {
            let mut weather = self.weather();
            weather.permille = 0;
            weather.troubles.clear();
        }
        let late = std::mem::take(&mut self.weather().late.0);
        self.tasks.extend(late.into_iter().map(Task::late));
        let mut patience = PATIENCE;
        while !(self.tasks.is_empty() && self.starting.is_empty()) {
            self.turn();
            patience -= 1;
            if patience == 0 {
                self.findings
                    .push("stuck: something that was begun does not end".into());
            }
            if !self.findings.is_empty() {
                return;
            }
        }
        if self.dice.permille(500) {
            self.land_commits();
        }
        if let Err(finding) = self.endure() {
            return self.findings.push(finding);
        }
        for far in self.realms.far() {
            far.lift();
        }
        let persons = self.clients.iter().filter_map(|c| c.person.clone());
        let persons: Vec<Person> = persons.collect();
        for person in &persons {
            person.calm();
        }
        self.rest_everywhere();
        for person in &persons {
            let findings = std::mem::take(&mut person.questions().findings);
            self.findings.extend(findings);
        }
    }

    /// All come to rest, and do so again once some clients have moved.
    fn rest_everywhere(&mut self) {
        if self.bring_to_rest() && self.realms.len() > 1 {
            if let Err(finding) = self.last_moves() {
                return self.findings.push(finding);
            }
            self.bring_to_rest();
        }
    }

    /// Every client pushes and pulls until nothing is left; false if that does not come.
    fn bring_to_rest(&mut self) -> bool {
        for _ in 0..ROUNDS {
            let mut quiet = true;
            for seat in self.seats() {
                match self.round(seat) {
                    Ok(left) => quiet &= left == 0,
                    Err(finding) => self.findings.push(finding),
                }
            }
            if !self.findings.is_empty() {
                return false;
            }
            // The last that disks hold back is seen by one more round.
            quiet &= !self.land_commits();
            if quiet {
                self.last_pulls();
                return self.findings.is_empty();
            }
        }
        self.findings
            .push(format!("stuck: operations are left after {ROUNDS} rounds"));
        false
    }

    /// An application looks at what the server's own habits leave, before they end.
    fn endure(&mut self) -> Result<(), String> {
        let Users::Theirs(application) = self.shareds.users.clone() else {
            return Ok(());
        };
        let mut clients = Vec::new();
        for number in self.numbers() {
            let sync = self.opened(first_of(number))?.sync;
            let waits = self.clients.get(number).is_some_and(|client| client.waits);
            clients.push(Participant {
                number,
                sync,
                waits,
            });
        }
        finish(async move { application.endure(&clients).await })
    }

    /// Push, resolve, push, pull; how many operations are left.
    fn round(&mut self, seat: Seat) -> Result<u64, String> {
        if self.realms.len() > 1
            && let Some(home) = self.home_of(seat.client)?
        {
            self.send_to(seat.client, home);
        }
        let Opened { sync, signpost } = self.opened(seat)?;
        let error = |error: Error| format!("stuck: {seat}: {error:?}");
        let shareds = self.shareds.clone();
        let audits = self.realms.far().iter().any(|far| !far.keeps_tombstones());
        finish(async move {
            if let Some(signpost) = signpost {
                answer(&sync, &signpost, false).await.map_err(error)?;
            }
            // What had no answer again and again rests, unless somebody asks for it.
            for operation in sync.pending().await.map_err(error)? {
                if operation.aside.is_some() {
                    sync.retry(operation.seq).await.map_err(error)?;
                }
            }
            sync.push().await.map_err(error)?;
            watch(&sync, &shareds.users).await?;
            resolve(&sync, &shareds.users).await.map_err(error)?;
            sync.push().await.map_err(error)?;
            watch(&sync, &shareds.users).await?;
            for name in shareds.readable() {
                let rows = sync.table::<Value>(name.as_str()).map_err(error)?;
                let pull = rows.pull(Query::all(), "all");
                pull.await.map_err(error)?;
                if audits {
                    rows.audit(Query::all()).await.map_err(error)?;
                }
            }
            let findings = sync.verify().await.map_err(error)?;
            if findings.is_empty() {
                sync.pending_count().await.map_err(error)
            } else {
                Err(format!("broken: {seat}: {findings:?}"))
            }
        })
    }

    /// The last changes of the last client reach the first.
    fn last_pulls(&mut self) {
        for seat in self.seats() {
            if let Err(finding) = self.round(seat).and_then(|left| match left {
                0 => Ok(()),
                left => Err(format!("stuck: {seat} has {left} operations again")),
            }) {
                self.findings.push(finding);
            }
        }
    }

    /// The context at a seat; it is opened if it is not.
    pub(super) fn opened(&mut self, seat: Seat) -> Result<Opened, String> {
        let Some(client) = self.clients.get_mut(seat.client) else {
            return Err("no such client".into());
        };
        if client.context(seat.context).is_none() {
            if client.is_broken() {
                client.crash(&mut self.dice);
            }
            let opened = client
                .start()
                .map(|done| done.map_err(|e| format!("{e:?}")));
            let opened = finish(opened)?;
            client.started(seat.context, opened);
        }
        let opened = client.context(seat.context).cloned();
        opened.ok_or_else(|| format!("stuck: {seat} cannot be started"))
    }

    /// Every client holds what its realm holds, and the realms what the books say.
    pub(super) fn compare(&mut self) {
        let mut all = BTreeMap::new();
        for table in Arc::clone(&self.shareds.tables).iter() {
            let mut expected = Vec::new();
            for far in self.realms.far() {
                match finish(async { Ok(far.live(table).await) }) {
                    Ok(rows) => expected.push(rows),
                    Err(error) => return self.findings.push(error),
                }
            }
            if self.shareds.is_readable(table) {
                for number in self.numbers() {
                    let same = self.compare_one(number, table, &expected);
                    self.findings.extend(same.err());
                }
            }
            for row in expected.iter().flatten() {
                // Versions may be random.
                (row.id().as_str(), row.body(), row.updated_at()).hash(&mut self.trace);
            }
            all.insert(table.clone(), expected);
        }
        match &self.shareds.users {
            Users::Tagging => {
                let of = |name: &str| -> Vec<&[Record]> {
                    let realms = all.get(&table(name));
                    realms.into_iter().flatten().map(Vec::as_slice).collect()
                };
                let wrong = self.books().check(&of(KEPT));
                self.findings.extend(wrong);
                let wrong = self.books().check_passing(&of(PASSING));
                self.findings.extend(wrong);
            }
            Users::Theirs(application) => {
                let rows = all.into_iter();
                let rows =
                    rows.map(|(name, realms)| (name, realms.into_iter().flatten().collect()));
                let wrong = application.check(&rows.collect()).err();
                self.findings
                    .extend(wrong.map(|wrong| format!("wrong: {wrong}")));
            }
        }
        for far in self.realms.far() {
            self.findings.extend(far.violations());
        }
    }

    /// The records of a table at a client are those of its realm.
    fn compare_one(
        &mut self,
        number: usize,
        table: &TableName,
        realms: &[Vec<Record>],
    ) -> Result<(), String> {
        let pointed = self.clients.get(number).map_or(0, Client::pointed);
        let realm = self.home_of(number)?.unwrap_or(pointed);
        let expected = &realms[realm];
        let sync = self.opened(first_of(number))?.sync;
        let found = finish(async {
            let store = Arc::clone(sync.store());
            let found = crate::fixture::all(&store, table).await;
            Ok((store.capabilities(), found))
        })?;
        let (keeps, found) = found;
        if crate::fixture::are_kept(keeps, &found, expected) {
            return Ok(());
        }
        Err(format!(
            "diverged: client {number}, table {table}: {} at the server, {} here",
            shown(expected),
            shown(&found)
        ))
    }
}

/// The context of a client that its program opens first.
fn first_of(client: usize) -> Seat {
    Seat { client, context: 0 }
}

fn shown(rows: &[Record]) -> String {
    let rows: Vec<String> = rows.iter().map(Record::to_json).collect();
    format!("[{}]", rows.join(", "))
}
