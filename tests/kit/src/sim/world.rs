//! One history: clients, server, network and disks, in the order that the dice say.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use synctable_core::transport::Transport;

use super::act::{Action, Actor, Shareds, act};
use super::application::Users;
use super::client::{Client, Opened, Seat, Start};
use super::dice::Dice;
use super::history::History;
use super::ledger::Ledger;
use super::line::Weather;
use super::realms::Realms;
use super::task::Task;
use super::trouble::Trouble;
use super::{Setting, Summary};

/// Things that a client does at the same time.
const AT_ONCE: usize = 3;
/// Turns within which a single thing has to end when nothing goes wrong any more.
pub(super) const PATIENCE: usize = 1_000_000;

/// The part of a history after its steps.
const AT_THE_END: usize = usize::MAX;
pub(crate) struct World {
    pub(super) setting: Setting,
    pub(super) history: History,
    /// The choices of this step, and those of requests and disks while it lasts.
    pub(super) dice: Dice,
    pub(super) shared: Arc<Mutex<Dice>>,
    pub(super) realms: Arc<Realms>,
    /// How others reach each realm.
    pub(super) others: Vec<Arc<dyn Transport>>,
    pub(super) weather: Arc<Mutex<Weather>>,
    pub(super) calm: Arc<AtomicBool>,
    pub(super) clients: Vec<Client>,
    /// What is under way, and for whom; late requests are for nobody.
    pub(super) tasks: Vec<Task>,
    pub(super) starting: BTreeMap<Seat, Start>,
    pub(super) shareds: Shareds,
    pub(super) trace: DefaultHasher,
    pub(crate) findings: Vec<String>,
    pub(super) steps: usize,
}

impl World {
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

    /// Where these have contexts.
    pub(super) fn seats(&self) -> Vec<Seat> {
        let of = |client: usize| {
            let contexts = self.clients.get(client).map_or(0, Client::contexts);
            (0..contexts).map(move |context| Seat { client, context })
        };
        self.numbers().into_iter().flat_map(of).collect()
    }

    fn step(&mut self) {
        let number = self.dice.below(self.clients.len());
        let takes_part = self.numbers().contains(&number);
        if self.realms.len() > 1 && self.dice.permille(40) {
            if takes_part {
                self.wander(number);
            }
            return;
        }
        if takes_part && self.open_questions(number) > 0 && self.dice.permille(50) {
            return self.while_asked(number);
        }
        match self.dice.below(100) {
            0..=44 => {
                for _ in 0..=self.dice.below(12) {
                    self.turn();
                }
            }
            45..=84 if takes_part => {
                let seat = self.seat_of(number);
                self.begin(seat);
            }
            85..=90 if self.has(Trouble::Others) => self.other(),
            91..=93 if takes_part && self.has(Trouble::Crash) => {
                let seat = self.seat_of(number);
                if self.has_rivals(number) && self.dice.permille(600) {
                    self.close(seat);
                } else {
                    self.crash(number);
                }
            }
            94..=95 if self.has(Trouble::Clock) => {
                let hours = [-10 * 365 * 24, -1, 1, 24][self.dice.below(4)];
                let at_server = self.dice.permille(250);
                self.tell(|| format!("a clock jumps by {hours} hours"));
                match self.clients.get(number) {
                    Some(client) if !at_server => client.watch.jump(hours * 3_600_000),
                    _ => {
                        for far in self.realms.far() {
                            far.jump(hours * 3_600_000);
                        }
                    }
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
        } else if let Some(seat) = self.starting.keys().nth(place - self.tasks.len()).copied() {
            self.poll_start(seat);
        }
    }

    /// One of the contexts of a client.
    pub(super) fn seat_of(&mut self, client: usize) -> Seat {
        let contexts = self.clients.get(client).map_or(1, Client::contexts);
        // No choice is no draw, so that a history without second contexts goes as it would otherwise.
        let context = if contexts > 1 {
            self.dice.below(contexts)
        } else {
            0
        };
        Seat { client, context }
    }

    pub(super) fn has_rivals(&self, client: usize) -> bool {
        let client = self.clients.get(client);
        client.is_some_and(|client| client.contexts() > 1)
    }

    pub(super) fn poll(&mut self, place: usize) {
        let Some(of) = self.tasks.get(place).map(|task| task.of) else {
            return;
        };
        let before = of.map_or(0, |seat| self.open_questions(seat.client));
        let outcome = self.tasks.get_mut(place).and_then(Task::poll);
        let Some(outcome) = outcome else {
            let after = of.map_or(0, |seat| self.open_questions(seat.client));
            if let Some(task) = self.tasks.get_mut(place) {
                task.asked(before, after);
            }
            return;
        };
        drop(self.tasks.swap_remove(place));
        (self.steps, outcome.is_ok(), place).hash(&mut self.trace);
        if let Err(finding) = outcome {
            self.findings.push(finding);
        }
    }

    fn poll_start(&mut self, seat: Seat) {
        let Some(start) = self.starting.get_mut(&seat) else {
            return;
        };
        let waker = Waker::noop();
        let Poll::Ready(outcome) = start.as_mut().poll(&mut Context::from_waker(waker)) else {
            return;
        };
        self.starting.remove(&seat);
        (self.steps, outcome.is_ok()).hash(&mut self.trace);
        if let (Ok(opened), Some(client)) = (outcome, self.clients.get_mut(seat.client)) {
            client.started(seat.context, opened);
        }
    }

    /// A client starts something, or a context.
    fn begin(&mut self, seat: Seat) {
        let action = self.action();
        let busy = self.tasks.iter().filter(|task| task.of == Some(seat));
        if busy.count() >= AT_ONCE {
            return self.turn();
        }
        let has_rivals = self.has_rivals(seat.client);
        self.close_what_was_left(seat);
        let Some(client) = self.clients.get_mut(seat.client) else {
            return;
        };
        match client.context(seat.context) {
            Some(Opened { sync, signpost }) => {
                (seat, action).hash(&mut self.trace);
                let actor = Actor {
                    seat,
                    has_rivals,
                    signpost: signpost.clone(),
                    told: self.setting.told.then_some(self.steps),
                };
                let task = act(sync.clone(), action, self.shareds.clone(), actor);
                self.tell(|| format!("{seat}: {action:?}"));
                self.tasks.push(Task::new(seat, task));
            }
            None => {
                if client.is_broken() {
                    // A store that takes no more writes is opened again: the program ends for that.
                    self.crash(seat.client);
                }
                if let Some(client) = self.clients.get_mut(seat.client) {
                    let start = client.start();
                    self.starting.entry(seat).or_insert(start);
                }
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
        let several = usize::from(self.realms.len() > 1);
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
            (10 * several, Action::Answer(false)),
            (3 * several, Action::Answer(true)),
            (8, Action::Resolve),
            (2 * own, Action::CancelWild),
        ])
    }

    pub(super) fn crash(&mut self, number: usize) {
        self.tell(|| format!("client {number} crashes"));
        self.starting.retain(|seat, _| seat.client != number);
        self.tasks.retain(|task| !task.is_of_client(number));
        if let Some(client) = self.clients.get_mut(number) {
            client.crash(&mut self.dice);
        }
    }

    /// A program gives up one of its contexts and all that is under way there.
    pub(super) fn close(&mut self, seat: Seat) {
        self.tell(|| format!("{seat} is closed"));
        self.starting.remove(&seat);
        self.tasks.retain(|task| task.of != Some(seat));
        if let Some(client) = self.clients.get_mut(seat.client) {
            client.close(seat.context);
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
