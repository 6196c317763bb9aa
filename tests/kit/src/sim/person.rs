//! A conflict handler that asks a person, who takes longer than any lease lasts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use synctable_core::Record;
use synctable_core::sync::{ConflictDecision, ConflictDetails, ConflictHandler, HandlerError};
use tokio::task::yield_now;

use super::act::{KEPT, counted};
use super::client::Watch;
use super::dice::Dice;

/// What is known of the questions that one client was asked.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    /// How many are open.
    pub(crate) open: usize,
    /// How often each was answered since faults have ended.
    answered: BTreeMap<String, usize>,
    /// Answers count from here on: faults have ended.
    calm: bool,
    /// What is wrong.
    pub(crate) findings: Vec<String>,
}

/// The person at a client.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    watch: Arc<Watch>,
    dice: Arc<Mutex<Dice>>,
    questions: Arc<Mutex<Questions>>,
}

/// A question until it is answered, or nobody waits for the answer any more.
struct Open<'a>(&'a Person);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.questions().open -= 1;
    }
}

impl Person {
    pub(crate) fn new(watch: &Arc<Watch>, dice: &Arc<Mutex<Dice>>) -> Self {
        Self {
            watch: Arc::clone(watch),
            dice: Arc::clone(dice),
            questions: Arc::default(),
        }
    }

    pub(crate) fn questions(&self) -> MutexGuard<'_, Questions> {
        self.questions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Faults have ended: from now on no question has to be asked twice.
    pub(crate) fn calm(&self) {
        self.questions().calm = true;
    }

    fn dice(&self) -> MutexGuard<'_, Dice> {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decide(&self, conflict: &ConflictDetails) -> Result<ConflictDecision, HandlerError> {
        let choice = self.dice().below(10);
        if conflict.operation.table.as_str() == KEPT {
            // Whatever is in already, the logs tell.
            let both = counted(conflict).or_id(|| conflict.operation.id.clone());
            return Ok(match choice {
                0 => ConflictDecision::Park,
                1 => return Err("the person is not sure".into()),
                _ => ConflictDecision::With(both),
            });
        }
        Ok(match choice {
            0..=3 => ConflictDecision::Server,
            4..=7 => ConflictDecision::Client,
            8 => ConflictDecision::Park,
            _ => return Err("the person is not sure".into()),
        })
    }
}

/// A question in words: the operation and what both sides hold.
fn words(conflict: &ConflictDetails) -> String {
    let ConflictDetails {
        operation,
        local,
        server,
        ..
    } = conflict;
    let text = |side: &Option<Record>| side.as_ref().map(Record::to_json);
    let (local, server) = (text(local), text(server));
    format!(
        "{} {}/{}: {local:?} here, {server:?} at the server",
        operation.seq, operation.table, operation.id
    )
}

#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
impl ConflictHandler for Person {
    async fn resolve(&self, conflict: &ConflictDetails) -> Result<ConflictDecision, HandlerError> {
        self.questions().open += 1;
        let _open = Open(self);
        // A minute and more by the clock, and many turns in which others go on.
        let turns = self.dice().below(60);
        for turn in 0..=turns {
            if turn % 20 == 0 {
                self.watch.jump(31_000);
            }
            yield_now().await;
        }
        let decision = self.decide(conflict);
        let mut questions = self.questions();
        if questions.calm {
            let question = words(conflict);
            let answered = questions.answered.entry(question).or_default();
            *answered += 1;
            if *answered > 1 {
                let finding = format!("asked again: {}", words(conflict));
                questions.findings.push(finding);
            }
        }
        drop(questions);
        decision
    }
}
