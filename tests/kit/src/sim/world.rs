//! One history: clients, server, network and disks, in the order that the dice say.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use synctable_core::sync::ConflictPolicy;
use synctable_core::transport::Transport;
use synctable_core::{Record, RecordId, Schema};

use super::act::{Action, KEPT, PASSING, Shareds, WILD, act, own_schema, tagged};
use super::application::Users;
use super::client::{Client, Parts, Start};
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
pub(super) const PATIENCE: usize = 1_000_000;

/// The part of a history after its steps.
const AT_THE_END: usize = usize::MAX;
/// The choice of clients whose disks do commits late.
const LATE_COMMITS: u64 = u64::MAX - 1;

type Task = BoxFuture<'static, Result<(), String>>;

pub(crate) struct World {
    pub(super) setting: Setting,
    pub(super) history: History,
    /// The choices of this step, and those of requests and disks while it lasts.
    pub(super) dice: Dice,
    pub(super) shared: Arc<Mutex<Dice>>,
    pub(super) server: Arc<dyn FarSide>,
    /// How others reach the server.
    pub(super) others: Arc<dyn Transport>,
    pub(super) weather: Arc<Mutex<Weather>>,
    pub(super) calm: Arc<AtomicBool>,
    pub(super) clients: Vec<Client>,
    /// What is under way, and for whom; late requests are for nobody.
    pub(super) tasks: Vec<(Option<usize>, Task)>,
    pub(super) starting: BTreeMap<usize, Start>,
    pub(super) shareds: Shareds,
    pub(super) trace: DefaultHasher,
    pub(crate) findings: Vec<String>,
    pub(super) steps: usize,
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
        let own = match &users {
            Users::Tagging => None,
            Users::Theirs(application) => application.far_side(&mut dice),
        };
        let server = own.unwrap_or_else(|| server(&schema, &mut dice));
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
        let late_commits = !setting.without.contains(&Trouble::LateCommit);
        let clients = stores
            .iter()
            .zip(0..)
            .map(|(store, number)| {
                // With dice of its own: without this trouble the history goes as it would otherwise.
                let mut own = Dice::of_part(history.seed, LATE_COMMITS - number);
                let policy = [ConflictPolicy::Merge, ConflictPolicy::Park][dice.below(2)].clone();
                let waits = dice.permille(500);
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
                    waits,
                    disk_trouble,
                    calm: Arc::clone(&calm),
                    holds: own.permille(500) && late_commits,
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

    pub(super) fn weather(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line of the story, where it is told.
    pub(super) fn tell(&self, line: impl FnOnce() -> String) {
        if self.setting.told {
            match self.steps {
                AT_THE_END => println!(" end {}", line()),
                step => println!("{step:4} {}", line()),
            }
        }
    }

    pub(super) fn books(&self) -> MutexGuard<'_, Ledger> {
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
    pub(super) fn numbers(&self) -> BTreeSet<usize> {
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
            96.. if self.late() => {}
            96.. => self.late_commit(number),
            _ => {}
        }
    }

    /// One of the things that are under way goes one turn further.
    pub(super) fn turn(&mut self) {
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
                let told = self.setting.told.then_some(self.steps);
                let task = act(sync.clone(), action, self.shareds.clone(), number, told);
                self.tell(|| format!("client {number}: {action:?}"));
                self.tasks.push((Some(number), task));
            }
            None => {
                // A store that takes no more writes is opened again: the program ends for that.
                self.tasks.retain(|(of, _)| *of != Some(number));
                client.crash(&mut self.dice);
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
        let (own, theirs, in_order) = match &self.shareds.users {
            Users::Tagging => (1, 0, false),
            Users::Theirs(application) => (0, 1, application.in_order()),
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
            (4 * usize::from(!in_order), Action::PushParallel),
            (12, Action::Pull(of)),
            (6, Action::PullInFull(of)),
            (2, Action::Audit(of)),
            (1, Action::Purge(of)),
            (1, Action::StartAnew),
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
            client.crash(&mut self.dice);
        }
    }

    /// A request that its client gave up arrives after all; false if there is none.
    fn late(&mut self) -> bool {
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
            return true;
        }
        false
    }
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
pub(super) fn finish<T>(future: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..PATIENCE {
        if let Poll::Ready(outcome) = future.as_mut().poll(&mut context) {
            return outcome;
        }
    }
    Err("stuck: a single task does not end".into())
}
