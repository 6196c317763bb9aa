//! One history: clients, server, network and disks, in the order that the dice say.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use synctable_core::sync::{ConflictPolicy, SyncContext};
use synctable_core::transport::Transport;
use synctable_core::{Error, Record, RecordId, Schema};

use super::application::Users;
use super::client::{
    Action, Client, KEPT, PASSING, Parts, Shareds, Start, WILD, act, own_schema, resolve, tagged,
};
use super::dice::Dice;
use super::far::{self, FarSide};
use super::history::History;
use super::ledger::Ledger;
use super::line::{Line, Weather};
use super::trouble::Trouble;
use super::{Setting, Summary};
use crate::fixture::{Store, record, table};

/// Things that a client does at the same time.
const AT_ONCE: usize = 3;
/// Turns within which a single thing has to end when nothing goes wrong any more.
const PATIENCE: usize = 1_000_000;
/// Rounds of push, resolve and pull in which all clients have to become equal.
const ROUNDS: usize = 12;

/// The part of a history after its steps.
const AT_THE_END: usize = usize::MAX;

type Task = BoxFuture<'static, Result<(), String>>;

pub(crate) struct World {
    setting: Setting,
    history: History,
    /// The choices of this step, and those of requests and disks while it lasts.
    dice: Dice,
    shared: Arc<Mutex<Dice>>,
    server: Arc<dyn FarSide>,
    /// How others reach the server.
    others: Arc<dyn Transport>,
    weather: Arc<Mutex<Weather>>,
    calm: Arc<AtomicBool>,
    clients: Vec<Client>,
    /// What is under way, and for whom; late requests are for nobody.
    tasks: Vec<(Option<usize>, Task)>,
    starting: BTreeMap<usize, Start>,
    shareds: Shareds,
    trace: DefaultHasher,
    pub(crate) findings: Vec<String>,
    steps: usize,
}

impl World {
    pub(crate) fn new(
        setting: &Setting,
        history: &History,
        stores: &[Store],
        users: Users,
        server: &dyn Fn(&Schema, &mut Dice) -> Arc<dyn FarSide>,
    ) -> Self {
        let mut dice = Dice::new(history.seed);
        let schema = match &users {
            Users::Tagging => own_schema(),
            Users::Theirs(application) => application.schema(),
        };
        let server = server(&schema, &mut dice);
        let calm = Arc::new(AtomicBool::new(false));
        let mut setting = setting.clone();
        setting.without.extend(&history.without);
        // Each history has its own kinds of trouble: rare combinations are met more often so.
        let troubles: Vec<Trouble> = Trouble::OF_REQUESTS
            .into_iter()
            .filter(|trouble| dice.permille(500) && !setting.without.contains(trouble))
            .collect();
        let weather = Arc::new(Mutex::new(Weather {
            troubles,
            permille: [0, 50, 150, 400][dice.below(4)],
            delay: dice.below(6),
            ..Weather::default()
        }));
        let shared = Arc::new(Mutex::new(Dice::new(dice.draw())));
        let disk_trouble = [0, 0, 5, 30][dice.below(4)];
        let disk_trouble = if setting.without.contains(&Trouble::Disk) {
            0
        } else {
            disk_trouble
        };
        let clients = stores
            .iter()
            .map(|store| {
                let policy = [ConflictPolicy::Merge, ConflictPolicy::Park][dice.below(2)].clone();
                let line = Line::new(Arc::clone(&weather), Arc::clone(&shared));
                Client::new(Parts {
                    store: Arc::clone(store),
                    way: server.connect(line),
                    schema: schema.clone(),
                    dice: Arc::clone(&shared),
                    policy: match &users {
                        Users::Tagging => policy,
                        Users::Theirs(application) => application.conflicts(),
                    },
                    disk_trouble,
                    calm: Arc::clone(&calm),
                })
            })
            .collect();
        let tables = match &users {
            Users::Tagging => [KEPT, WILD, PASSING].map(table).into(),
            Users::Theirs(_) => schema.tables().map(|(name, _)| name.clone()).collect(),
        };
        Self {
            setting,
            history: history.clone(),
            dice,
            shared,
            others: server.connect(Line::calm()),
            server,
            weather,
            calm,
            clients,
            tasks: Vec::new(),
            starting: BTreeMap::new(),
            shareds: Shareds {
                tables,
                ledger: Arc::default(),
                users,
            },
            trace: DefaultHasher::new(),
            findings: Vec::new(),
            steps: 0,
        }
    }

    fn weather(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line of the story, where it is told.
    fn tell(&self, line: impl FnOnce() -> String) {
        if self.setting.told {
            match self.steps {
                AT_THE_END => println!(" end {}", line()),
                step => println!("{step:4} {}", line()),
            }
        }
    }

    fn books(&self) -> MutexGuard<'_, Ledger> {
        self.shareds
            .ledger
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The whole history; what is wrong at its end is in the summary.
    pub(crate) fn run(mut self) -> Summary {
        let steps = self.history.steps.take();
        let steps = steps.unwrap_or_else(|| (0..self.setting.steps).collect());
        let mut taken = 0;
        for step in steps {
            self.part(step);
            self.step();
            taken += 1;
            if !self.findings.is_empty() {
                break;
            }
        }
        self.part(AT_THE_END);
        if self.findings.is_empty() {
            self.settle();
        }
        if self.findings.is_empty() {
            self.compare();
        }
        let changes = self.books().len();
        Summary {
            steps: taken,
            changes,
            trace: self.trace.finish(),
            findings: self.findings,
        }
    }

    /// A part of the history begins. Its choices are its own, so that it goes much the same way without those before it.
    fn part(&mut self, number: usize) {
        self.steps = number;
        self.dice = Dice::of_part(self.history.seed, number as u64);
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) =
            Dice::of_part(!self.history.seed, number as u64);
    }

    fn has(&self, trouble: Trouble) -> bool {
        !self.setting.without.contains(&trouble)
    }

    /// The clients that take part.
    fn numbers(&self) -> BTreeSet<usize> {
        let chosen = |number: &usize| {
            let clients = self.history.clients.as_ref();
            clients.is_none_or(|clients| clients.contains(number))
        };
        (0..self.clients.len()).filter(chosen).collect()
    }

    fn step(&mut self) {
        let number = self.dice.below(self.clients.len());
        let takes_part = self.numbers().contains(&number);
        match self.dice.below(100) {
            0..=44 => {
                for _ in 0..=self.dice.below(12) {
                    self.turn();
                }
            }
            45..=84 if takes_part => self.begin(number),
            85..=90 if self.has(Trouble::Others) => self.other(),
            91..=93 if takes_part && self.has(Trouble::Crash) => self.crash(number),
            94..=95 if self.has(Trouble::Clock) => {
                let hours = [-10 * 365 * 24, -1, 1, 24][self.dice.below(4)];
                let at_server = self.dice.permille(250);
                self.tell(|| format!("a clock jumps by {hours} hours"));
                match self.clients.get(number) {
                    Some(client) if !at_server => client.watch.jump(hours * 3_600_000),
                    _ => self.server.jump(hours * 3_600_000),
                }
            }
            96.. => self.late(),
            _ => {}
        }
    }

    /// One of the things that are under way goes one turn further.
    fn turn(&mut self) {
        let place = self.dice.below(self.tasks.len() + self.starting.len());
        if place < self.tasks.len() {
            self.poll(place);
        } else if let Some(number) = self.starting.keys().nth(place - self.tasks.len()).copied() {
            self.poll_start(number);
        }
    }

    fn poll(&mut self, place: usize) {
        let Some((_, task)) = self.tasks.get_mut(place) else {
            return;
        };
        let Some(outcome) = poll(task) else {
            return;
        };
        drop(self.tasks.swap_remove(place));
        (self.steps, outcome.is_ok(), place).hash(&mut self.trace);
        if let Err(finding) = outcome {
            self.findings.push(finding);
        }
    }

    fn poll_start(&mut self, number: usize) {
        let Some(start) = self.starting.get_mut(&number) else {
            return;
        };
        let waker = Waker::noop();
        let Poll::Ready(outcome) = start.as_mut().poll(&mut Context::from_waker(waker)) else {
            return;
        };
        self.starting.remove(&number);
        (self.steps, outcome.is_ok()).hash(&mut self.trace);
        if let (Ok(running), Some(client)) = (outcome, self.clients.get_mut(number)) {
            client.started(running);
        }
    }

    /// A client starts something, or its program.
    fn begin(&mut self, number: usize) {
        let action = self.action();
        let busy = self.tasks.iter().filter(|(of, _)| *of == Some(number));
        if busy.count() >= AT_ONCE {
            return self.turn();
        }
        let Some(client) = self.clients.get_mut(number) else {
            return;
        };
        match client.program() {
            Some(sync) => {
                (number, action).hash(&mut self.trace);
                let told = self.setting.told.then_some((self.steps, number));
                let task = act(sync.clone(), action, self.shareds.clone(), told);
                self.tell(|| format!("client {number}: {action:?}"));
                self.tasks.push((Some(number), task));
            }
            None => {
                // A store that takes no more writes is opened again: the program ends for that.
                self.tasks.retain(|(of, _)| *of != Some(number));
                client.crash();
                let start = client.start();
                self.starting.entry(number).or_insert(start);
            }
        }
    }

    fn action(&mut self) -> Action {
        let which = u8::try_from(self.dice.below(3)).unwrap_or_default();
        let of = match &self.shareds.users {
            Users::Tagging => usize::from(self.dice.permille(300)),
            Users::Theirs(_) => self.dice.below(self.shareds.tables.len()),
        };
        let (own, theirs) = match &self.shareds.users {
            Users::Tagging => (1, 0),
            Users::Theirs(_) => (0, 1),
        };
        let seed = self.dice.draw();
        self.dice.weighted(&[
            (60 * theirs, Action::Theirs(seed)),
            (30 * own, Action::EditKept(which)),
            (8 * own, Action::Pass(which)),
            (6 * own, Action::PutWild(which)),
            (6 * own, Action::UpdateWild(which)),
            (6 * own, Action::DeleteWild(which)),
            (16, Action::Push),
            (4, Action::PushParallel),
            (12, Action::Pull(of)),
            (6, Action::PullInFull(of)),
            (2, Action::Audit(of)),
            (1, Action::Purge(of)),
            (8, Action::Resolve),
            (2 * own, Action::CancelWild),
        ])
    }

    /// Someone else changes a row at the server.
    fn other(&mut self) {
        if matches!(self.shareds.users, Users::Theirs(_)) {
            return self.turn();
        }
        let which = self.dice.below(3);
        let what = self.dice.below(3);
        self.tell(|| format!("someone else: {what} {which}"));
        let way = Arc::clone(&self.others);
        let done = match what {
            0 => {
                let id = format!("k{which}");
                let tag = self.books().start(&id);
                let done = finish(async {
                    let row = way.get(&table(KEPT), &RecordId::system(&id)).await;
                    let row = row.map_err(|error| format!("stuck: others: {error}"))?;
                    let mut members = match row.as_ref().map(Record::to_map) {
                        Some(members) => Value::Object(members),
                        None => json!({}),
                    };
                    let mut change = tagged(&mut members, &tag);
                    change["id"] = id.into();
                    Ok(far::put(&*way, &table(KEPT), &record(&change.to_string())).await)
                });
                if done == Ok(true) {
                    self.books().acknowledge(&tag);
                }
                done.map(drop)
            }
            1 => {
                let row = record(&format!(r#"{{"id":"w{which}","n":{}}}"#, self.steps));
                finish(async { Ok(far::put(&*way, &table(WILD), &row).await) }).map(drop)
            }
            _ => {
                let id = RecordId::system(&format!("w{which}"));
                finish(async { Ok(far::delete(&*way, &table(WILD), &id).await) }).map(drop)
            }
        };
        self.findings.extend(done.err());
    }

    fn crash(&mut self, number: usize) {
        self.tell(|| format!("client {number} crashes"));
        self.starting.remove(&number);
        self.tasks.retain(|(of, _)| *of != Some(number));
        if let Some(client) = self.clients.get_mut(number) {
            client.crash();
        }
    }

    /// A request that its client gave up arrives after all.
    fn late(&mut self) {
        let place = {
            let waiting = self.weather().late.0.len();
            self.dice.below(waiting)
        };
        let mut weather = self.weather();
        if place < weather.late.0.len() {
            let request = weather.late.0.swap_remove(place);
            drop(weather);
            self.tell(|| "a late request arrives".into());
            self.tasks.push((None, request.map(Ok).boxed()));
        }
    }

    /// Faults end. What is under way comes to its end, and every client pushes and pulls until nothing is left.
    fn settle(&mut self) {
        self.calm.store(true, Ordering::SeqCst);
        self.tell(|| "faults end".into());
        {
            let mut weather = self.weather();
            weather.permille = 0;
            weather.troubles.clear();
        }
        let late = std::mem::take(&mut self.weather().late.0);
        let late = late
            .into_iter()
            .map(|request| (None, request.map(Ok).boxed()));
        self.tasks.extend(late);
        let mut patience = PATIENCE;
        while !(self.tasks.is_empty() && self.starting.is_empty()) {
            self.turn();
            patience -= 1;
            if patience == 0 || !self.findings.is_empty() {
                self.findings
                    .push("stuck: something that was begun does not end".into());
                return;
            }
        }
        for _ in 0..ROUNDS {
            let mut quiet = true;
            for number in self.numbers() {
                match self.round(number) {
                    Ok(left) => quiet &= left == 0,
                    Err(finding) => self.findings.push(finding),
                }
            }
            if !self.findings.is_empty() {
                return;
            }
            if quiet {
                return self.last_pulls();
            }
        }
        self.findings
            .push(format!("stuck: operations are left after {ROUNDS} rounds"));
    }

    /// Push, resolve, push, pull; how many operations are left.
    fn round(&mut self, number: usize) -> Result<u64, String> {
        let sync = self.program(number)?;
        let error = |error: Error| format!("stuck: client {number}: {error:?}");
        let shareds = self.shareds.clone();
        finish(async move {
            sync.push().await.map_err(error)?;
            resolve(&sync, &shareds.users).await.map_err(error)?;
            sync.push().await.map_err(error)?;
            for name in shareds.tables.iter() {
                let rows = sync.table::<Value>(name.as_str()).map_err(error)?;
                let pull = rows.pull(synctable_core::query::Query::all(), "all");
                pull.await.map_err(error)?;
            }
            let findings = sync.verify().await.map_err(error)?;
            if findings.is_empty() {
                Ok(sync.pending_count())
            } else {
                Err(format!("broken: client {number}: {findings:?}"))
            }
        })
    }

    /// The last changes of the last client reach the first.
    fn last_pulls(&mut self) {
        for number in self.numbers() {
            if let Err(finding) = self.round(number).and_then(|left| match left {
                0 => Ok(()),
                left => Err(format!(
                    "stuck: client {number} has {left} operations again"
                )),
            }) {
                self.findings.push(finding);
            }
        }
    }

    fn program(&mut self, number: usize) -> Result<SyncContext, String> {
        let Some(client) = self.clients.get_mut(number) else {
            return Err("no such client".into());
        };
        if client.program().is_none() {
            client.crash();
            let running = finish(
                client
                    .start()
                    .map(|done| done.map_err(|e| format!("{e:?}"))),
            )?;
            client.started(running);
        }
        let sync = client.program().cloned();
        sync.ok_or_else(|| format!("stuck: client {number} cannot be started"))
    }

    /// Every client holds what the server holds, and the server what the books say.
    fn compare(&mut self) {
        let mut all = BTreeMap::new();
        for table in Arc::clone(&self.shareds.tables).iter() {
            let server = Arc::clone(&self.server);
            let expected = match finish(async { Ok(server.live(table).await) }) {
                Ok(rows) => rows,
                Err(error) => return self.findings.push(error),
            };
            for number in self.numbers() {
                let found = match self.program(number) {
                    Ok(sync) => finish(async {
                        let store = Arc::clone(sync.store());
                        Ok(crate::fixture::all(&store, table).await)
                    }),
                    Err(error) => Err(error),
                };
                match found {
                    Ok(found) if found == expected => {}
                    Ok(found) => self.findings.push(format!(
                        "diverged: client {number}, table {table}: {} at the server, {} here",
                        shown(&expected),
                        shown(&found)
                    )),
                    Err(error) => self.findings.push(error),
                }
            }
            for row in &expected {
                // Versions may be random.
                (row.id().as_str(), row.body(), row.updated_at()).hash(&mut self.trace);
            }
            all.insert(table.clone(), expected);
        }
        match &self.shareds.users {
            Users::Tagging => {
                let of = |name: &str| all.get(&table(name)).map_or(&[][..], Vec::as_slice);
                let wrong = self.books().check(of(KEPT));
                self.findings.extend(wrong);
                let wrong = self.books().check_passing(of(PASSING));
                self.findings.extend(wrong);
            }
            Users::Theirs(application) => {
                let wrong = application.check(&all).err();
                self.findings
                    .extend(wrong.map(|wrong| format!("wrong: {wrong}")));
            }
        }
        self.findings.extend(self.server.violations());
    }
}

fn shown(rows: &[Record]) -> String {
    let rows: Vec<String> = rows.iter().map(Record::to_json).collect();
    format!("[{}]", rows.join(", "))
}

/// Polls once; a panic is a finding.
fn poll(task: &mut Task) -> Option<Result<(), String>> {
    let mut context = Context::from_waker(Waker::noop());
    let polled = std::panic::catch_unwind(AssertUnwindSafe(|| Pin::new(task).poll(&mut context)));
    match polled {
        Ok(Poll::Pending) => None,
        Ok(Poll::Ready(outcome)) => Some(outcome),
        Err(panic) => {
            let message = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied());
            Some(Err(format!("panicked: {}", message.unwrap_or("?"))))
        }
    }
}

/// Runs one future alone to its end.
fn finish<T>(future: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..PATIENCE {
        if let Poll::Ready(outcome) = future.as_mut().poll(&mut context) {
            return outcome;
        }
    }
    Err("stuck: a single task does not end".into())
}
