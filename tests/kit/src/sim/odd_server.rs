//! A server with habits: it fails at some records, refuses others, and answers what other servers would not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde_json::json;
use synctable_core::query::RemoteQuery;
use synctable_core::transport::{
    BatchAnswer, Change, ChangeAnswer, ChangeFeed, ChangeKind, Outcome, PageCursor, Rejection,
    RemotePage, Transport, TransportCapabilities, TransportError, TransportErrorKind,
};
use synctable_core::{Record, RecordId, Sleep, TableName};

use super::dice::Dice;
use super::far::{FarSide, batches, members_alone};
use super::line::{Errand, Line};
use crate::engine::{Fault, TestServer};
use crate::fixture::table;
use crate::threads::InABox;

/// The table of odd records: see [`OddServer`].
pub(super) const ODD: &str = "odd";
/// One may insert and not read.
pub(super) const LETTERS: &str = "letters";
/// Every request is forbidden while the habits last.
pub(super) const CLOSED: &str = "closed";

/// How the server fails at cursed records.
const CURSES: [Fault; 5] = [
    Fault::Failure,
    Fault::Forbidden,
    Fault::Unauthorized,
    Fault::Status(502),
    Fault::LostRequest,
];

/// A [`TestServer`] with rules for single records, by their id and their member `n`:
///
/// * `x..` and `dx..` are cursed: the server fails at every change of them, always in the same way;
/// * `c..` is a child and refused while its `parent` is not there;
/// * 13 is refused, 14 breaks a unique key, 15 does so the first time; 16 is answered as a version that moved, once, and 17 five
///   times;
/// * 18 and 19 are done, but whoever comes again with the same operation is refused; where 19 is done somebody else sets another number at
///   once, once for each record;
/// * `r..` is kept under another id, each time a new one.
#[derive(Debug, Clone)]
pub(super) struct OddServer {
    pub(super) inner: TestServer,
    notes: Arc<Mutex<Notes>>,
    /// How it fails at cursed records.
    pub(super) curse: Fault,
}

/// What the server remembers of single records.
#[derive(Debug, Default)]
struct Notes {
    lifted: bool,
    /// The odd table is not there, as while a server is deployed.
    unmounted: bool,
    /// Answers that were given so often.
    answers: BTreeMap<(RecordId, i64), u32>,
    /// Operations that are refused when they come again.
    done: BTreeSet<Option<String>>,
    /// Records that somebody else has changed.
    touched: BTreeSet<RecordId>,
    /// Records that are kept under other ids, and how often.
    renamed: BTreeMap<RecordId, u32>,
    /// Of these, those about which nobody asked since.
    unasked: BTreeSet<RecordId>,
    violations: Vec<String>,
}

/// True for a record at which the server fails.
pub(super) fn is_cursed(id: &RecordId) -> bool {
    let id = id.as_str();
    id.starts_with('x') || id.starts_with("dx")
}

/// The member that decides what the server says to a record.
pub(super) fn n_of(record: Option<&Record>) -> i64 {
    let n = record.and_then(|record| record.member("n"));
    n.and_then(|n| n.as_i64()).unwrap_or_default()
}

impl OddServer {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let inner = if dice.permille(500) {
            TestServer::new()
        } else {
            TestServer::foreign()
        };
        let page = u32::try_from(2 + dice.below(9)).unwrap_or(2);
        let (shows_tombstones, operation_ids) = (dice.permille(700), dice.permille(400));
        let (typed, soft_delete) = (dice.below(3) == 0, dice.permille(750));
        inner.configure(|options| {
            options.page = page;
            options.shows_tombstones = shows_tombstones;
            options.operation_ids = operation_ids;
            options.typed |= typed;
            options.soft_delete = soft_delete;
        });
        members_alone(&inner, dice);
        batches(&inner, dice);
        // It passes a part of a batch on.
        inner.configure(|options| options.units = None);
        let curse = CURSES[dice.below(CURSES.len())];
        let status = [400, 409, 500][dice.below(3)];
        let server = Self {
            inner,
            notes: Arc::default(),
            curse,
        };
        server.rules(status);
        server
    }

    /// True where the server's failures at a cursed record count against it.
    pub(super) fn counts(&self) -> bool {
        let countable = [Fault::Failure, Fault::Forbidden, Fault::Unauthorized];
        countable.contains(&self.curse)
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rules(&self, status: u16) {
        let (server, curse) = (&self.inner, self.curse);
        server.hide_table(&table(LETTERS), Fault::Forbidden);
        server.hide_table(&table(CLOSED), Fault::Forbidden);
        let notes = self.clone();
        server.fail(move |table, change| {
            let closed = (table.as_str() == CLOSED).then_some(Fault::Forbidden);
            let cursed = is_cursed(&change.id).then_some(curse);
            closed.or(cursed).filter(|_| !notes.notes().lifted)
        });
        server.reject(|_, change| {
            let refusal = Rejection::new(Some(400), "13 is refused");
            (n_of(change.record.as_ref()) == 13).then_some(refusal)
        });
        let notes = self.clone();
        server.clash(move |_, change| {
            let refusal = Rejection::new(Some(409), "there is such a key");
            let clashes = match n_of(change.record.as_ref()) {
                14 => true,
                15 => notes.answers(&change.id, 15, 1),
                _ => false,
            };
            clashes.then_some(refusal)
        });
        let notes = self.clone();
        server.doubt(move |_, change| match n_of(change.record.as_ref()) {
            16 => notes.answers(&change.id, 16, 1),
            17 => notes.answers(&change.id, 17, 5),
            _ => false,
        });
        let notes = self.clone();
        server.demand_by(move |_, change| {
            let parent = change.record.as_ref()?.member("parent")?;
            let parent = RecordId::system(parent.as_str()?);
            (!notes.notes().lifted).then(|| (table(ODD), parent, status))
        });
        let notes = self.clone();
        server.rename(move |_, change| notes.renamed(&change.id));
    }

    /// True the first `most` times.
    fn answers(&self, id: &RecordId, n: i64, most: u32) -> bool {
        let mut notes = self.notes();
        let given = notes.answers.entry((id.clone(), n)).or_default();
        *given += 1;
        *given <= most
    }

    /// Does a change, unless its content is one of those that are not taken twice and it has been done.
    async fn apply(&self, table: &TableName, change: &Change) -> Result<Outcome, TransportError> {
        if let Some(outcome) = self.refused_again(change) {
            return Ok(outcome);
        }
        let outcome = self.inner.apply(table, change).await?;
        self.note(table, change, &outcome);
        Ok(outcome)
    }

    /// Several changes in one request; those for which `lacks` says so are of a table that is not there.
    async fn apply_all(
        &self,
        changes: &[(TableName, Change)],
        lacks: &[bool],
    ) -> Result<BatchAnswer, TransportError> {
        let own = |(change, lacks): (&(TableName, Change), &bool)| match lacks {
            true => Some(Outcome::Missing),
            false => self.refused_again(&change.1),
        };
        let own: Vec<_> = changes.iter().zip(lacks).map(own).collect();
        let passed = changes.iter().zip(&own).filter(|(_, own)| own.is_none());
        let passed: Vec<_> = passed.map(|(change, _)| change.clone()).collect();
        let each = match self.inner.apply_all(&passed).await? {
            BatchAnswer::Each(each) => each,
            refused => return Ok(refused),
        };
        for ((table, change), answer) in passed.iter().zip(&each) {
            if let ChangeAnswer::Alone(Ok(outcome)) | ChangeAnswer::Current(outcome) = answer {
                self.note(table, change, outcome);
            }
        }
        let mut each = each.into_iter();
        let all = own.into_iter().map(|own| match own {
            Some(outcome) => ChangeAnswer::Alone(Ok(outcome)),
            None => each.next().unwrap_or(ChangeAnswer::NotTried),
        });
        Ok(BatchAnswer::Each(all.collect()))
    }

    /// What is said to a change whose content is one of those that are not taken twice, where it has been done.
    fn refused_again(&self, change: &Change) -> Option<Outcome> {
        let once = matches!(n_of(change.record.as_ref()), 18 | 19);
        let again = once && self.notes().done.contains(&change.operation_id);
        let refusal = || Rejection::new(Some(400), "this operation was another request");
        again.then(|| Outcome::Rejected(refusal()))
    }

    /// Takes note of a change that is not taken twice.
    fn note(&self, table: &TableName, change: &Change, outcome: &Outcome) {
        let n = n_of(change.record.as_ref());
        if !matches!((n, outcome), (18 | 19, Outcome::Applied(_))) {
            return;
        }
        let first = {
            let mut notes = self.notes();
            notes.done.insert(change.operation_id.clone());
            n == 19 && notes.touched.insert(change.id.clone())
        };
        if first {
            self.touch(table, &change.id);
        }
    }

    /// Somebody else sets another number.
    fn touch(&self, table: &TableName, id: &RecordId) {
        let row = self.inner.row(table, id.as_str());
        let v = row.and_then(|row| row.member("v"));
        let text = json!({"n": 20, "v": v}).to_string();
        if let Ok(record) = Record::new(id.clone(), &text) {
            self.inner.put(table, &record);
        }
    }

    /// True where somebody else has changed a record, so that its author may meet a conflict.
    pub(super) fn is_touched(&self, id: &RecordId) -> bool {
        self.notes().touched.contains(id)
    }

    /// The id under which a new record is kept instead.
    fn renamed(&self, id: &RecordId) -> Option<RecordId> {
        if !id.as_str().starts_with('r') {
            return None;
        }
        let mut notes = self.notes();
        let times = notes.renamed.entry(id.clone()).or_default();
        *times += 1;
        let other = RecordId::system(&format!("{id}~{times}"));
        if !notes.unasked.insert(id.clone()) {
            let wrong = format!("doubled: {id} was sent again, and nobody had asked for it");
            notes.violations.push(wrong);
        }
        Some(other)
    }

    /// The odd table is not there for a while, or is there again. A push sees it as it was at its beginning: nobody can tell a table
    /// that goes away in between from a record that does.
    pub(super) fn unmount(&self, unmounted: bool) {
        self.notes().unmounted = unmounted;
    }

    /// True where its habits have ended.
    pub(super) fn is_lifted(&self) -> bool {
        self.notes().lifted
    }
}

#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
impl FarSide for OddServer {
    fn connect(&self, line: Line) -> Arc<dyn Transport> {
        Arc::new(OddWay {
            server: self.clone(),
            line,
            unmounted: AtomicBool::new(false),
        })
    }

    async fn live(&self, table: &TableName) -> Vec<Record> {
        self.inner.live(table)
    }

    fn keeps_tombstones(&self) -> bool {
        self.inner.keeps_tombstones()
    }

    /// Cursed records, children without parents and the closed table are as others from now on.
    fn lift(&self) {
        self.notes().lifted = true;
        self.inner.show_table(&table(CLOSED));
    }

    fn violations(&self) -> Vec<String> {
        let mut violations = self.inner.violations();
        violations.extend(self.notes().violations.iter().cloned());
        violations
    }
}

/// A client's way to the server with habits.
#[derive(Debug)]
struct OddWay {
    server: OddServer,
    line: Line,
    /// The odd table is not there in this push.
    unmounted: AtomicBool,
}

impl OddWay {
    fn lacks(&self, table: &TableName) -> bool {
        table.as_str() == ODD && self.unmounted.load(Ordering::SeqCst)
    }
}

fn errand(change: &Change) -> Errand {
    match change.kind {
        // It would be there twice.
        ChangeKind::Insert if change.id.as_str().starts_with('r') => Errand::Read,
        ChangeKind::Insert => Errand::Change,
        _ => Errand::ChangeEvenLate,
    }
}

#[deny(clippy::missing_trait_methods)]
#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
impl Transport for OddWay {
    async fn apply(&self, table: &TableName, change: &Change) -> Result<Outcome, TransportError> {
        let lacks = self.lacks(table);
        let serve = || {
            let (server, table, change) = (self.server.clone(), table.clone(), change.clone());
            async move {
                if lacks {
                    return Ok(Outcome::Missing);
                }
                server.apply(&table, &change).await
            }
            .in_a_box()
        };
        self.line.carry(errand(change), serve).await
    }

    async fn apply_all(
        &self,
        changes: &[(TableName, Change)],
    ) -> Result<BatchAnswer, TransportError> {
        let errands = changes.iter().map(|(_, change)| errand(change));
        let lacks = changes.iter().map(|(table, _)| self.lacks(table));
        let lacks: Vec<bool> = lacks.collect();
        let serve = || {
            let (server, changes) = (self.server.clone(), changes.to_vec());
            let lacks = lacks.clone();
            async move { server.apply_all(&changes, &lacks).await }.in_a_box()
        };
        self.line.carry(Errand::of_all(errands), serve).await
    }

    async fn get(
        &self,
        table: &TableName,
        id: &RecordId,
    ) -> Result<Option<Record>, TransportError> {
        let lacks = self.lacks(table);
        let serve = || {
            let (server, table, id) = (self.server.clone(), table.clone(), id.clone());
            async move {
                if lacks {
                    return Ok(None);
                }
                server.notes().unasked.remove(&id);
                server.inner.get(&table, &id).await
            }
            .in_a_box()
        };
        self.line.carry(Errand::Read, serve).await
    }

    async fn page(
        &self,
        table: &TableName,
        query: &RemoteQuery,
        cursor: Option<&PageCursor>,
    ) -> Result<RemotePage, TransportError> {
        let lacks = self.lacks(table);
        let serve = || {
            let (server, table) = (self.server.inner.clone(), table.clone());
            let (query, cursor) = (query.clone(), cursor.cloned());
            async move {
                if lacks {
                    let error = TransportError::new(TransportErrorKind::UnknownTable, "no table");
                    return Err(error.with_status(404));
                }
                server.page(&table, &query, cursor.as_ref()).await
            }
            .in_a_box()
        };
        self.line.carry(Errand::Read, serve).await
    }

    fn feed(&self, _: &TableName) -> Option<&dyn ChangeFeed> {
        // The simulated servers are table servers.
        None
    }

    fn capabilities(&self) -> TransportCapabilities {
        self.server.inner.capabilities()
    }

    fn address(&self) -> Option<String> {
        self.server.inner.address()
    }

    fn for_account(&self, account: &str) -> Option<Arc<dyn Transport>> {
        Some(Arc::new(Self {
            server: OddServer {
                inner: self.server.inner.of_account(account),
                ..self.server.clone()
            },
            line: self.line.clone(),
            unmounted: AtomicBool::new(self.unmounted.load(Ordering::SeqCst)),
        }))
    }

    fn begin_push(&self) {
        self.server.inner.begin_push();
        let unmounted = self.server.notes().unmounted;
        self.unmounted.store(unmounted, Ordering::SeqCst);
    }

    async fn renew_credentials(&self) -> Result<bool, TransportError> {
        self.server.inner.renew_credentials().await
    }

    fn sleep(&self) -> Option<Arc<dyn Sleep>> {
        self.server.inner.sleep()
    }
}
