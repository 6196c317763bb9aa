//! Several changes in one request.

use std::collections::BTreeSet;

use synctable_core::TableName;
use synctable_core::transport::{
    BatchAnswer, Change, ChangeAnswer, Outcome, Rejection, TransportError,
};
use tokio::task::yield_now;

use super::state::State;
use super::{Call, Fault, Request, TestServer};

/// How the server, or what stands before it, treats batches.
#[derive(Debug, Default)]
pub(super) struct Batches {
    /// Batches of more changes are refused as they are.
    taken: Option<usize>,
    /// It looks at so many changes of a batch, and leaves the others.
    looks_at: Option<usize>,
    /// Something on the way fails at every batch.
    fails: bool,
    /// How many changes each batch had that arrived, those that were refused and that failed, too.
    pub(super) arrived: Vec<usize>,
}

impl Batches {
    /// All batches are taken, and all of their changes looked at.
    pub(super) fn calm(&mut self) {
        (self.taken, self.looks_at, self.fails) = (None, None, false);
    }
}

impl TestServer {
    /// Refuses batches of more than so many changes as too large (413), as something before the server does that knows nothing of them.
    pub fn take_batches_up_to(&self, most: Option<usize>) {
        self.state().batches.taken = most;
    }

    /// Looks at the first so many changes of each batch, and at none behind them.
    pub fn look_at(&self, most: Option<usize>) {
        self.state().batches.looks_at = most;
    }

    /// Something on the way answers every batch with 502, and lets single changes through.
    pub fn fail_batches(&self) {
        self.state().batches.fails = true;
    }

    /// How many changes each batch had that arrived, oldest first; those that were refused or failed, too. What was looked at is among the
    /// [requests](Self::requests), one for each change.
    pub fn batches(&self) -> Vec<usize> {
        self.state().batches.arrived.clone()
    }

    /// A batch, which is one request: what befalls it, befalls all of its changes. A fault of one change that is none of the server's own
    /// ([`fail`](Self::fail)) befalls the request.
    pub(super) async fn serve_batch(
        &self,
        changes: &[(TableName, Change)],
    ) -> Result<BatchAnswer, TransportError> {
        yield_now().await;
        let (answer, fault, meanwhile) = {
            let mut state = self.state();
            let user = state.identity.user_of(self.account.as_deref())?;
            let number = state.begin(changes.iter().map(|(_, change)| &change.id));
            if state.batches.fails {
                state.batches.arrived.push(changes.len());
                return Err(Fault::Status(502).before().expect("it is an error"));
            }
            let faults: Vec<_> = (changes.iter())
                .map(|(table, change)| state.fault_by_rule(table, change))
                .collect();
            let of_all = faults.iter().flatten().find(|it| !it.is_of_one_change());
            let fault = state.fault_of_request(number).or(of_all.copied());
            let meanwhile = state.meanwhile.remove(&number);
            if let Some(error) = fault.and_then(Fault::before) {
                if fault == Some(Fault::LostRequest) {
                    state.lost.extend_from_slice(changes);
                }
                return Err(error);
            }
            state.identity.answered(user);
            (state.apply_together(changes, &faults), fault, meanwhile)
        };
        if let Some(meanwhile) = meanwhile {
            meanwhile.await;
        }
        yield_now().await;
        match fault.and_then(Fault::after) {
            Some(error) => Err(error),
            None => Ok(answer),
        }
    }
}

/// Whether two changes that stand side by side are of one unit.
pub(super) fn are_one(one: &(TableName, Change), next: &(TableName, Change)) -> bool {
    one.1.unit.is_some() && one.1.unit == next.1.unit
}

impl State {
    /// Does each change, or not, on its own or with its unit; or refuses the request.
    fn apply_together(
        &mut self,
        changes: &[(TableName, Change)],
        faults: &[Option<Fault>],
    ) -> BatchAnswer {
        self.batches.arrived.push(changes.len());
        if let Some(refusal) = self.refused(changes) {
            return BatchAnswer::Refused(refusal);
        }
        let looks_at = self.batches.looks_at.unwrap_or(usize::MAX);
        let mut each = Vec::with_capacity(changes.len());
        for unit in changes.chunk_by(are_one) {
            if each.len() >= looks_at {
                each.extend(unit.iter().map(|_| ChangeAnswer::NotTried));
                continue;
            }
            let faults = faults.get(each.len()..).unwrap_or_default();
            each.extend(self.apply_unit(unit, faults));
        }
        BatchAnswer::Each(each)
    }

    /// Does all of these changes or none of them: mostly it is one. A change that is in already is done.
    pub(super) fn apply_unit(
        &mut self,
        changes: &[(TableName, Change)],
        faults: &[Option<Fault>],
    ) -> Vec<ChangeAnswer> {
        let before = (changes.len() > 1).then(|| {
            let (rows, outcomes) = (self.rows.clone(), self.outcomes.clone());
            (rows, outcomes, self.effects.clone())
        });
        let mut each = Vec::with_capacity(changes.len());
        for ((table, change), fault) in changes.iter().zip(faults) {
            each.push(self.apply_part(table, change, *fault));
        }
        let is_done = |answer: &ChangeAnswer| {
            let (ChangeAnswer::Alone(Ok(outcome)) | ChangeAnswer::Current(outcome)) = answer else {
                return false;
            };
            matches!(outcome, Outcome::Applied(_) | Outcome::OtherId(_))
        };
        if let Some(before) = before.filter(|_| !each.iter().all(is_done)) {
            (self.rows, self.outcomes, self.effects) = before;
            for answer in each.iter_mut().filter(|answer| is_done(answer)) {
                *answer = ChangeAnswer::NotDone;
            }
        }
        each
    }

    fn apply_part(
        &mut self,
        table: &TableName,
        change: &Change,
        fault: Option<Fault>,
    ) -> ChangeAnswer {
        // Its parent may have come with this very batch.
        let fault = fault.or_else(|| self.fault_of_orphan(table, change));
        let fault = fault.filter(|fault| fault.is_of_one_change());
        if let Some(error) = fault.and_then(Fault::before) {
            return ChangeAnswer::Alone(Err(error));
        }
        self.requests.push(Request {
            table: table.clone(),
            call: Call::Apply(change.clone()),
        });
        let repeated = self.knows(change);
        match self.apply_classed(table, change) {
            Ok(outcome) if repeated && self.holds(table, change, &outcome) => {
                ChangeAnswer::Current(outcome)
            }
            answer => ChangeAnswer::Alone(answer),
        }
    }

    /// Why a batch is refused as it is.
    fn refused(&mut self, changes: &[(TableName, Change)]) -> Option<Rejection> {
        let refuse = |status, words| Some(Rejection::new(Some(status), words));
        let Some(most) = self.rows.options.batches else {
            return refuse(404, "no such path");
        };
        let mut records = BTreeSet::new();
        for (table, change) in changes {
            let wrong = match &change.operation_id {
                None => "has no operation id",
                Some(_) if !records.insert((table, &change.id)) => {
                    "is not the only one in its batch"
                }
                Some(_) => continue,
            };
            let (kind, id) = (change.kind, &change.id);
            self.violations
                .push(format!("{kind:?} of {table}/{id} {wrong}"));
            return refuse(400, wrong);
        }
        let units = self.rows.options.units.unwrap_or_default();
        let mut seen = BTreeSet::new();
        for unit in changes.chunk_by(are_one) {
            let Some((number, size)) = unit
                .first()
                .and_then(|(_, it)| Some((it.unit?, unit.len())))
            else {
                continue;
            };
            if size < 2 || size > units || !seen.insert(number) {
                let words = format!("a unit of {size} changes, of {units} at most, side by side");
                self.violations.push(words);
                return refuse(400, "no such unit");
            }
        }
        let taken = self.batches.taken.unwrap_or(most).min(most);
        (changes.len() > taken).then(|| Rejection::new(Some(413), "too large"))
    }

    /// True where the change was done before, and the server can tell.
    fn knows(&self, change: &Change) -> bool {
        let key = change.operation_id.as_ref();
        self.rows.options.operation_ids && key.is_some_and(|key| self.outcomes.contains_key(key))
    }

    /// True where the outcome of a change is still what the server holds.
    fn holds(&self, table: &TableName, change: &Change, outcome: &Outcome) -> bool {
        match outcome {
            Outcome::Applied(None) => {
                let row = self.rows.get(table, &change.id);
                row.is_none_or(|row| row.is_deleted())
            }
            Outcome::Applied(Some(told)) | Outcome::OtherId(told) => {
                let row = self.rows.get(table, told.id());
                row.is_some_and(|row| told.version().is_some() && told.version() == row.version())
            }
            _ => false,
        }
    }
}
