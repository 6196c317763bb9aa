//! "Was it mine?": what became of an operation, told from the row that the server holds now. A pure rule.

use std::collections::HashSet;

use crate::record::Record;
use crate::schema::{Defaults, MergeRule, MergeRules};
use crate::sync::decide::merge::join;
use crate::sync::push::meaning::{Meaning, Standing};
use crate::sync::queue::operation::{Operation, OperationKind};

/// An operation and the row that it met.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) operation: &'a Operation,
    /// What is sent now; `None` for a delete.
    pub(crate) content: Option<&'a Record>,
    /// What the server holds: a tombstone where it shows one, `None` where it shows nothing.
    pub(crate) row: Option<&'a Record>,
    pub(crate) rules: &'a MergeRules,
    /// What declared members that are missing stand for.
    pub(crate) defaults: &'a Defaults,
    /// Members of the table that the server is known not to keep.
    pub(crate) drops: &'a HashSet<String>,
    /// The application wants to be asked before a record that was deleted comes back.
    pub(crate) ask_before_undelete: bool,
}

/// What became of the operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ours {
    /// It had no effect so far: the server holds what it was based on.
    NotApplied,
    /// It took effect with this content; `None` for a delete.
    Accepted(Option<Record>),
    /// It took effect with this content, and others changed the record since.
    Overtaken(Record),
    /// An old tombstone is in its way: the record comes back on the condition of its version.
    Undelete,
    /// It goes on from this row: the tombstone is a record again and its members are to follow, or what it is to delete is what
    /// this store inserted.
    GoOn,
    /// What it inserted was deleted by somebody.
    Removed,
    /// Others changed the record; `unsure` where the operation may be in as well.
    Conflict { unsure: bool },
}

impl Question<'_> {
    pub(crate) fn answer(&self) -> Ours {
        let operation = self.operation;
        let live = self.row.filter(|row| !row.is_deleted());
        match (operation.kind, self.row, live) {
            _ if self.at_base() => Ours::NotApplied,
            (OperationKind::Delete, _, None) => Ours::Accepted(None),
            (OperationKind::Insert, None, _) => Ours::NotApplied,
            (_, Some(tombstone), None) => self.tombstone(tombstone),
            // A server that hides tombstones shows nothing where the operation started from one.
            (OperationKind::Replace, None, _) if self.starts_from_tombstone() => Ours::NotApplied,
            // Deleted and made again here, and gone there: it is new.
            (OperationKind::Replace, None, _)
                if operation.follows_delete && !self.ask_before_undelete =>
            {
                Ours::Undelete
            }
            (OperationKind::Delete, _, Some(row)) if self.is_own(row) => Ours::GoOn,
            (OperationKind::Delete, ..) | (OperationKind::Replace, None, _) => self.conflict(false),
            (OperationKind::Insert, _, Some(row)) => self.inserted(row),
            (OperationKind::Replace, _, Some(row)) => self.replaced(row),
        }
    }

    fn meaning(&self) -> Meaning<'_> {
        Meaning(self.defaults)
    }

    /// The row may be what became of this content as a new record.
    fn took(&self, content: &Record, row: &Record, any: bool) -> bool {
        self.meaning().inserted(content, row, self.drops, any)
    }

    /// The version that was sent is still there.
    fn at_base(&self) -> bool {
        match (self.row, self.operation.base.as_ref()) {
            (Some(row), Some(base)) if row.is_deleted() == base.is_deleted() => {
                let version = |record: &Record| {
                    let version = record.version().cloned();
                    version.filter(|version| !version.as_str().is_empty())
                };
                match (version(row), version(base)) {
                    (Some(row), Some(base)) => row == base,
                    // Without versions members have to tell.
                    (None, None) => row.same_members(base),
                    _ => false,
                }
            }
            _ => false,
        }
    }

    /// A delete of an insert that was given up, and that is in after all.
    fn is_own(&self, row: &Record) -> bool {
        let operation = self.operation;
        let took = |content: &Record| self.took(content, row, operation.generated);
        operation.base.is_none() && operation.sent.iter().any(took) && !self.counts()
    }

    fn starts_from_tombstone(&self) -> bool {
        let base = self.operation.base.as_ref();
        base.is_some_and(Record::is_deleted)
    }

    /// Everything that may have been sent and not been settled, oldest first.
    fn contents(&self) -> impl Iterator<Item = &Record> {
        self.operation.sent.iter().chain(self.content)
    }

    fn conflict(&self, maybe: bool) -> Ours {
        let unsure = maybe && self.operation.is_unsure();
        Ours::Conflict { unsure }
    }

    /// A counter does not tell who moved it.
    fn counts(&self) -> bool {
        let base = self.operation.base.as_ref();
        let base = base.filter(|base| !base.is_deleted());
        self.contents().any(|content| {
            let names = content.members();
            let is_counter = |name: &str| self.rules.find(name) == Some(MergeRule::Counter);
            names.iter().any(|(name, text)| {
                let old = base.and_then(|base| base.member(name)).unwrap_or_default();
                let new = serde_json::from_str(text).unwrap_or_default();
                is_counter(name) && !crate::record::same_value(&old, &new)
            })
        })
    }

    fn inserted(&self, row: &Record) -> Ours {
        let operation = self.operation;
        if !operation.is_unsure() {
            return self.met(row);
        }
        let many = !operation.sent.is_empty();
        if self.counts() && (many || !operation.generated) {
            return self.conflict(true);
        }
        let took = |content: &&Record| self.took(content, row, operation.generated);
        match (self.contents().find(took), self.contents().next()) {
            (Some(content), _) => Ours::Accepted(Some(content.clone())),
            // Nobody else can have inserted it, so the first of the contents is in, and others changed it since.
            (None, Some(first)) if operation.generated => Ours::Overtaken(first.clone()),
            _ => self.conflict(true),
        }
    }

    fn replaced(&self, row: &Record) -> Ours {
        let operation = self.operation;
        if self.starts_from_tombstone() {
            let took = |content: &&Record| self.took(content, row, false);
            // Some servers take it in two requests: the first makes the tombstone a record, perhaps with the new members over the old ones.
            let half = operation.base.as_ref().is_some_and(|base| {
                let over = |content: &Record| base.overlaid(content.body());
                row.same_members(base)
                    || self
                        .contents()
                        .any(|content| self.took(&over(content), row, false))
            });
            return match self.contents().find(took) {
                Some(content) if !self.counts() || !operation.is_unsure() => {
                    Ours::Accepted(Some(content.clone()))
                }
                _ if half => Ours::GoOn,
                _ => self.conflict(true),
            };
        }
        if !operation.is_unsure() {
            return self.met(row);
        }
        if self.counts() {
            return self.conflict(true);
        }
        let base = operation.base.as_ref();
        // What was sent before the last change of content is noted as a whole.
        let earlier = operation.sent.iter().map(|content| (content, None));
        let members = operation.members.as_deref();
        let last = self.content.map(|content| (content, members));
        let standings: Vec<(&Record, Standing)> = earlier
            .chain(last)
            .map(|(content, only)| {
                let found = self.meaning().updated(base, content, only, row, self.drops);
                (content, found)
            })
            .collect();
        if let Some((content, _)) = standings
            .iter()
            .find(|(_, found)| *found == Standing::Taken)
        {
            return Ours::Accepted(Some((*content).clone()));
        }
        let untouched = standings
            .iter()
            .all(|(_, found)| *found == Standing::AtBase);
        self.conflict(!untouched)
    }

    /// A first attempt met a live row: only an equal one, to which no rule would add anything, is no conflict.
    fn met(&self, row: &Record) -> Ours {
        let adds_nothing = |ours: &Record| {
            let (ours, _) = self.meaning().aligned(ours, ours, row);
            let base = self.operation.base.as_ref();
            let merged = join(self.rules, self.defaults, false, base, &ours, row);
            merged.record.same_members(row)
        };
        match self.content {
            Some(ours) if self.took(ours, row, false) && adds_nothing(ours) => {
                Ours::Accepted(Some(ours.clone()))
            }
            _ => self.conflict(false),
        }
    }

    /// The record is deleted at the server.
    fn tombstone(&self, tombstone: &Record) -> Ours {
        let operation = self.operation;
        let remade = operation.kind == OperationKind::Insert && !operation.generated
            || operation.follows_delete
            || self.starts_from_tombstone();
        if operation.kind == OperationKind::Insert && operation.generated && operation.is_unsure() {
            return Ours::Removed;
        }
        if !remade || self.ask_before_undelete {
            return self.conflict(false);
        }
        if operation.is_unsure() {
            let same = |content: &Record| self.took(content, tombstone, false);
            let older = match (tombstone.updated_at(), operation.first_sent) {
                (Some(deleted), Some(sent)) => deleted <= sent,
                _ => false,
            };
            if self.contents().any(same) && !older {
                return self.conflict(true);
            }
        }
        Ours::Undelete
    }
}
