//! What the server holds, and what it makes of a change.

use std::collections::{BTreeMap, BTreeSet};

use synctable_core::threads::{BoxFuture, MaybeSend};
use synctable_core::transport::{
    Change, ChangeKind, Conflict, ConflictCause, InvalidRow, Outcome, Rejection, ServerRecord,
    TransportError, TransportErrorKind,
};
use synctable_core::{Draft, Record, RecordId, SystemProperties, TableName, Version};

use super::batch::Batches;
use super::fault::failed;
use super::identity::Identity;
use super::{Fault, Request, ServerOptions};
use crate::engine::rows::Rows;
use crate::typed::Flavour;

/// The row with these members of a record.
fn merged(row: &Record, sent: &Record, members: &[String]) -> Record {
    let changes = Draft::from_json(&sent.to_json_selected(members));
    let changes = changes.expect("members of a record make a draft");
    sent.clone().with_body_of(&row.patched(&changes))
}

pub(super) type Rule<T> = Box<dyn Judges<T>>;

pub(super) trait Judges<T>: Fn(&TableName, &Change) -> Option<T> + MaybeSend {}

impl<T, F: Fn(&TableName, &Change) -> Option<T> + MaybeSend> Judges<T> for F {}

pub(super) struct State {
    pub(super) rows: Rows,
    pub(super) requests: Vec<Request>,
    /// Requests that were made, those that never arrived too.
    pub(super) made: usize,
    pub(super) faults: BTreeMap<usize, Fault>,
    pub(super) always: Option<Fault>,
    /// What befalls every request from this one on.
    pub(super) fails_from: Option<(usize, Fault)>,
    pub(super) meanwhile: BTreeMap<usize, BoxFuture<'static, ()>>,
    pub(super) rule: Option<Rule<Rejection>>,
    pub(super) fails: Option<Rule<Fault>>,
    pub(super) clashes: Option<Rule<Rejection>>,
    pub(super) hides: Option<Fault>,
    /// Tables that may be written and not read.
    pub(super) hidden: BTreeMap<TableName, Fault>,
    /// The record that has to be there, and the status of the refusal while it is not.
    pub(super) demand: Option<Rule<(TableName, RecordId, u16)>>,
    /// Conflicts are answered though the version is the right one.
    pub(super) doubts: Option<Rule<()>>,
    pub(super) renewals: u32,
    pub(super) renames: Option<Rule<RecordId>>,
    pub(super) blanks: bool,
    pub(super) bare: bool,
    /// Requests about single records, those that never arrived, too.
    pub(super) made_for: BTreeMap<RecordId, usize>,
    /// Tables that are not there for now.
    pub(super) unmounted: BTreeSet<TableName>,
    /// Changes whose request was lost: they may still arrive.
    pub(super) lost: Vec<(TableName, Change)>,
    pub(super) invalid: Vec<InvalidRow>,
    pub(super) effects: BTreeMap<(TableName, RecordId), u64>,
    /// How it treats several changes in one request.
    pub(super) batches: Batches,
    /// What became of changes, by their operation id.
    pub(super) outcomes: BTreeMap<String, Outcome>,
    pub(super) violations: Vec<String>,
    /// Who it is, who is signed in, and what clients heard of it.
    pub(super) identity: Identity,
}

impl State {
    pub(super) fn new(options: ServerOptions) -> Self {
        Self {
            rows: Rows::new(options),
            requests: Vec::new(),
            made: 0,
            faults: BTreeMap::new(),
            always: None,
            fails_from: None,
            meanwhile: BTreeMap::new(),
            rule: None,
            fails: None,
            clashes: None,
            hides: None,
            hidden: BTreeMap::new(),
            demand: None,
            doubts: None,
            renewals: 0,
            renames: None,
            blanks: false,
            bare: false,
            made_for: BTreeMap::new(),
            unmounted: BTreeSet::new(),
            lost: Vec::new(),
            invalid: Vec::new(),
            effects: BTreeMap::new(),
            batches: Batches::default(),
            outcomes: BTreeMap::new(),
            violations: Vec::new(),
            identity: Identity::default(),
        }
    }

    /// A request is made about these records; its number.
    pub(super) fn begin<'a>(&mut self, about: impl Iterator<Item = &'a RecordId>) -> usize {
        let number = self.made;
        self.made += 1;
        for id in about {
            *self.made_for.entry(id.clone()).or_default() += 1;
        }
        number
    }

    /// What was planned for the request with this number.
    pub(super) fn fault_of_request(&mut self, number: usize) -> Option<Fault> {
        let lasting = self.fails_from.filter(|(from, _)| *from <= number);
        let lasting = lasting.map(|(_, fault)| fault);
        self.faults.remove(&number).or(lasting).or(self.always)
    }

    /// What a rule says that goes wrong with a change.
    pub(super) fn fault_by_rule(&self, table: &TableName, change: &Change) -> Option<Fault> {
        self.fails.as_ref().and_then(|rule| rule(table, change))
    }

    /// What goes wrong with a change whose parent is not there.
    pub(super) fn fault_of_orphan(&self, table: &TableName, change: &Change) -> Option<Fault> {
        (self.is_orphan(table, change) == Some(500)).then_some(Fault::Failure)
    }

    /// An error for a table that is not there.
    pub(super) fn must_have(&self, table: &TableName) -> Result<(), TransportError> {
        if !self.unmounted.contains(table) {
            return Ok(());
        }
        let error = TransportError::new(TransportErrorKind::UnknownTable, "no such table");
        Err(error.with_status(404))
    }

    pub(super) fn as_shown(&self, row: Record) -> Record {
        if !self.bare {
            return row;
        }
        let deleted = row.is_deleted();
        row.with_system(SystemProperties {
            deleted,
            ..SystemProperties::default()
        })
    }

    /// The status with which a record is refused whose parent is missing.
    pub(super) fn is_orphan(&self, table: &TableName, change: &Change) -> Option<u16> {
        let (parent, id, status) = self.demand.as_ref()?(table, change)?;
        let row = self.rows.get(&parent, &id);
        let there = row.is_some_and(|row| !row.is_deleted());
        (!there).then_some(status)
    }

    /// As [`apply`](Self::apply), with what the class of the table makes of the record.
    pub(super) fn apply_classed(
        &mut self,
        table: &TableName,
        change: &Change,
    ) -> Result<Outcome, TransportError> {
        let mut change = change.clone();
        if change.members.is_some() && !self.rows.options.takes_members {
            return Ok(Outcome::WholeOnly);
        }
        if let Some((members, row)) = change
            .members
            .as_ref()
            .zip(self.rows.get(table, &change.id))
        {
            // What was not sent stays as it is here.
            change.record = change.record.map(|sent| merged(&row, &sent, members));
        }
        let taken = change.record.as_ref();
        match taken.map(|record| self.rows.take(table, record)) {
            None => {}
            Some(Ok(record)) => change.record = Some(record),
            Some(Err((500, _))) => return Err(failed()),
            Some(Err((status, words))) => {
                return Ok(Outcome::Rejected(Rejection::new(Some(status), words)));
            }
        }
        // The answer would name the record in a header that takes ASCII only.
        let unspeakable = self.rows.options.classes == Some(Flavour::Toolkit)
            && change.kind == ChangeKind::Insert
            && !change.id.as_str().is_ascii();
        match self.apply(table, &change) {
            Outcome::Applied(_) if unspeakable => Err(failed()),
            outcome => Ok(outcome),
        }
    }

    pub(super) fn apply(&mut self, table: &TableName, change: &Change) -> Outcome {
        let Some(key) = change
            .operation_id
            .as_ref()
            .filter(|_| self.rows.options.operation_ids)
        else {
            return self.apply_anew(table, change);
        };
        if let Some(outcome) = self.outcomes.get(key) {
            return outcome.clone();
        }
        let outcome = self.apply_anew(table, change);
        if matches!(outcome, Outcome::Applied(_) | Outcome::OtherId(_)) {
            self.outcomes.insert(key.clone(), outcome.clone());
        }
        outcome
    }

    fn apply_anew(&mut self, table: &TableName, change: &Change) -> Outcome {
        if let Some(rejection) = self.rule.as_ref().and_then(|rule| rule(table, change)) {
            return Outcome::Rejected(rejection);
        }
        if let Some(refusal) = self.clashes.as_ref().and_then(|rule| rule(table, change)) {
            let conflict = Conflict::new(ServerRecord::Unknown);
            return Outcome::Conflict(conflict.with_cause(ConflictCause::Existing, refusal));
        }
        if self.unmounted.contains(table) {
            return Outcome::Missing;
        }
        match self.is_orphan(table, change) {
            Some(409) => {
                let conflict = Conflict::new(ServerRecord::Unknown);
                let refusal = Rejection::new(Some(409), "no such parent");
                return Outcome::Conflict(conflict.with_cause(ConflictCause::Existing, refusal));
            }
            Some(status) => {
                return Outcome::Rejected(Rejection::new(Some(status), "no such parent"));
            }
            None => {}
        }
        let doubt = self
            .doubts
            .as_ref()
            .filter(|_| change.kind != ChangeKind::Insert);
        if doubt.and_then(|rule| rule(table, change)).is_some() {
            return Outcome::Conflict(Conflict::new(ServerRecord::Unknown));
        }
        let row = self.rows.get(table, &change.id);
        let checks = self.rows.options.checks_versions;
        if checks && change.kind != ChangeKind::Insert && change.if_match.is_none() && row.is_some()
        {
            let (kind, id) = (change.kind, &change.id);
            self.violations
                .push(format!("{kind:?} of {table}/{id} names no version"));
        }
        let new = change.kind == ChangeKind::Insert;
        let renames = self.renames.as_ref().filter(|_| new);
        if let Some(id) = renames.and_then(|rule| rule(table, change)) {
            let mut other = change.clone();
            other.id = id;
            let id = other.id.clone();
            other.record = other.record.map(|record| record.with_id(id));
            return match self.rows.apply(table, &other) {
                Outcome::Applied(Some(row)) => Outcome::OtherId(row),
                other => other,
            };
        }
        let outcome = self.rows.apply(table, change);
        let changed = self.rows.get(table, &change.id) != row;
        if matches!(outcome, Outcome::Applied(_)) && changed {
            let key = (table.clone(), change.id.clone());
            *self.effects.entry(key).or_default() += 1;
        }
        match outcome {
            Outcome::Applied(Some(row)) if self.blanks => {
                let mut system = row.system().clone();
                system.version = Some(Version::new(""));
                Outcome::Applied(Some(row.with_system(system)))
            }
            Outcome::Applied(row) => Outcome::Applied(row.map(|row| self.as_shown(row))),
            outcome => outcome,
        }
    }
}
