//! What a store may hold after its process ended, from what it acknowledged.

use synctable_core::store::{Durability, WriteBatch};

use super::work::State;
use super::{Failure, Said};

/// The oracle outside of the store: follows what a child says.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    /// The history that goes on now, and the one of the child that was started and has not opened the store yet.
    seed: u64,
    next_seed: u64,
    /// The states since the last batch that a power cut cannot take; the last one has all that was acknowledged.
    states: Vec<State>,
    /// The state with a batch of which nobody knows whether it was done.
    doubtful: Option<State>,
    next: u64,
    acknowledged: u64,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It was killed: everything acknowledged is there.
    Killed,
    /// The power was cut: all up to the last `Immediate` batch is there.
    Cut,
}

impl Ledger {
    /// A store that holds nothing.
    pub(crate) fn new() -> Self {
        Self {
            seed: 0,
            next_seed: 0,
            states: vec![State::default()],
            doubtful: None,
            next: 1,
            acknowledged: 0,
        }
    }

    fn last(&self) -> &State {
        self.states.last().expect("there is always a state")
    }

    /// How many batches were acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// A seed for the history that goes on once a child has opened the store.
    pub(crate) fn begin(&mut self, seed: u64) -> u64 {
        self.next_seed = seed;
        seed
    }

    /// The number of the next batch.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The next batch, and whether its checks hold.
    pub(crate) fn batch(&self) -> (WriteBatch, bool) {
        self.last().batch(self.seed, self.next)
    }

    /// The next batch whose checks hold: the others change nothing.
    pub(crate) fn next_change(&self) -> WriteBatch {
        self.last().batch(self.seed, self.number_of_change()).0
    }

    /// Takes note that it was taken.
    pub(crate) fn next_change_is_done(&mut self) -> Result<(), String> {
        self.next = self.number_of_change();
        self.acknowledge(self.next)
    }

    fn number_of_change(&self) -> u64 {
        let mut numbers = self.next..;
        let number = numbers.find(|number| self.last().batch(self.seed, *number).1);
        number.expect("most batches hold")
    }

    /// Takes note of what a child says. `Err` if it may not be so.
    pub(crate) fn note(&mut self, said: &Said, end: End) -> Result<(), String> {
        match said {
            Said::Opening | Said::Defined | Said::Done => Ok(()),
            Said::Holds { tag } => {
                let state = self.allowed(end).into_iter().find(|it| it.tag() == *tag);
                let state = state.ok_or_else(|| {
                    format!(
                        "the store holds batch {tag} as its last one, but {}",
                        self.expected(end)
                    )
                })?;
                self.settle(state);
                self.seed = self.next_seed;
                Ok(())
            }
            Said::Acknowledged { number } => self.acknowledge(*number),
            Said::Refused { number } => self.numbered(*number),
            Said::Failed { number, error } => {
                let before = self.last().clone();
                self.numbered(*number)?;
                if self.doubtful.is_none() && error.kind == "Unknown" {
                    self.doubtful = Some(before.after(&before.batch(self.seed, *number).0));
                }
                typed("commit", error)
            }
            Said::Broken { call, error } => typed(call, error),
            Said::Wrong(what) => Err(what.clone()),
        }
    }

    fn numbered(&mut self, number: u64) -> Result<(), String> {
        if number != self.next {
            return Err(format!(
                "batch {number} was spoken of, {} was next",
                self.next
            ));
        }
        self.next += 1;
        Ok(())
    }

    fn acknowledge(&mut self, number: u64) -> Result<(), String> {
        self.numbered(number)?;
        if self.doubtful.is_some() {
            return Err(format!(
                "batch {number} was taken after an error of kind Unknown, before the store was opened again"
            ));
        }
        let (batch, _) = self.last().batch(self.seed, number);
        let state = self.last().after(&batch);
        if batch.get_durability() == Durability::Immediate {
            self.states.clear();
        }
        self.states.push(state);
        self.acknowledged += 1;
        Ok(())
    }

    /// Every state that the store may have now.
    fn allowed(&self, end: End) -> Vec<State> {
        let mut allowed = match end {
            End::Killed => vec![self.last().clone()],
            End::Cut => self.states.clone(),
        };
        match &self.doubtful {
            Some(state) => allowed.push(state.clone()),
            None => {
                // The next one may have been done, too, whose acknowledgement did not come through. Those whose
                // checks do not hold change nothing.
                let mut in_flight =
                    (self.next..).map(|number| self.last().batch(self.seed, number));
                let batch = in_flight.find_map(|(batch, holds)| holds.then_some(batch));
                allowed.extend(batch.map(|batch| self.last().after(&batch)));
            }
        }
        allowed
    }

    fn expected(&self, end: End) -> String {
        let tags = self.allowed(end).iter().map(State::tag).collect::<Vec<_>>();
        format!("the last batch may only be one of {tags:?}")
    }

    fn settle(&mut self, state: State) {
        self.next = state.tag() + 1;
        self.states = vec![state];
        self.doubtful = None;
    }

    /// Demands that the store, opened again, holds a state that it may hold, and goes on from it.
    pub(crate) fn check(&mut self, found: State, end: End) -> Result<(), String> {
        let allowed = self.allowed(end);
        if allowed.contains(&found) {
            self.settle(found);
            return Ok(());
        }
        let alike = allowed.iter().find(|state| state.tag() == found.tag());
        Err(match alike {
            Some(state) => format!(
                "the store holds the state after batch {}, but not whole:\n{}",
                found.tag(),
                state.difference(&found)
            ),
            None => format!(
                "the store holds batch {} as its last one, but {}:\n{}",
                found.tag(),
                self.expected(end),
                self.last().difference(&found)
            ),
        })
    }
}

/// Demands that an error that a failing call of the system causes says so, in one line.
fn typed(call: &str, error: &Failure) -> Result<(), String> {
    const FITTING: [&str; 4] = ["Io", "Full", "Permission", "Unknown"];
    let Failure { kind, message } = error;
    if !FITTING.contains(&kind.as_str()) {
        return Err(format!(
            "{call} fails with kind {kind} ({message}); one of {FITTING:?} is wanted"
        ));
    }
    if message.is_empty() || message.contains(char::is_control) {
        return Err(format!("{call} fails with {message:?}: one line is wanted"));
    }
    Ok(())
}
