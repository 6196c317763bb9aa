//! The course of one push through failures: whose fault they may be, table by table. No I/O: what it needs to know is told to it.

use std::collections::{BTreeSet, HashMap};

use crate::name::TableName;
use crate::transport::TransportErrorKind;

/// Failures in a row of one table, without an accepted write, after which the rest of it waits.
pub(crate) const IN_A_ROW: u32 = 3;

/// What a push knows by now.
#[derive(Debug, Default)]
pub(crate) struct Course {
    tables: HashMap<TableName, TableCourse>,
    /// Operations that are aside, in the order of the queue.
    aside: BTreeSet<u64>,
    /// Some write was accepted.
    accepted: bool,
    /// The operations aside are tried once more.
    pub(crate) last_turn: bool,
}

#[derive(Debug, Default)]
struct TableCourse {
    in_a_row: u32,
    silent_in_a_row: u32,
    accepted: bool,
    /// What reading the table has shown, if it was read.
    readable: Option<bool>,
    /// What is left of it waits.
    waits: bool,
}

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Go on.
    GoOn,
    /// Read a row of the table: is it the server?
    Control,
}

impl Course {
    fn table(&mut self, table: &TableName) -> &mut TableCourse {
        self.tables.entry(table.clone()).or_default()
    }

    /// False while what is left of the table waits.
    pub(crate) fn may_send(&self, table: &TableName) -> bool {
        self.tables.get(table).is_none_or(|table| !table.waits)
    }

    /// A write was accepted.
    pub(crate) fn accepted(&mut self, table: &TableName, seq: u64) {
        self.accepted = true;
        self.aside.remove(&seq);
        let table = self.table(table);
        table.accepted = true;
        (table.in_a_row, table.silent_in_a_row) = (0, 0);
    }

    /// An operation is not aside any more, though nothing was accepted: it was refused, or waits for a decision.
    pub(crate) fn decided(&mut self, seq: u64) {
        self.aside.remove(&seq);
    }

    /// An operation is aside. `silent`: there was no answer, which may take long each time.
    pub(crate) fn set_aside(&mut self, table: &TableName, seq: u64, silent: bool) -> Next {
        self.aside.insert(seq);
        let last_turn = self.last_turn;
        let table = self.table(table);
        table.in_a_row += 1;
        table.silent_in_a_row = if silent { table.silent_in_a_row + 1 } else { 0 };
        if last_turn {
            // All are tried once; but not for hours, and not without a look at the server now and then.
            table.waits |= table.silent_in_a_row >= IN_A_ROW;
            return if table.in_a_row.is_multiple_of(IN_A_ROW) {
                Next::Control
            } else {
                Next::GoOn
            };
        }
        if table.in_a_row >= IN_A_ROW && !table.waits {
            table.waits = true;
            return Next::Control;
        }
        Next::GoOn
    }

    /// Operations that wait behind the failures of their table.
    pub(crate) fn wait(&mut self, seqs: impl IntoIterator<Item = u64>) {
        self.aside.extend(seqs);
    }

    /// A row of the table was read, or not. True where the failure is not the table's own: the server or the way to it is at
    /// fault, and the push ends.
    pub(crate) fn controlled(
        &mut self,
        table: &TableName,
        failure: Option<TransportErrorKind>,
    ) -> bool {
        let readable = failure.is_none();
        let table = self.table(table);
        table.readable = Some(readable);
        if !readable {
            table.waits = true;
        }
        // A table that is not there, or may not be read, says nothing of the others.
        failure.is_some_and(|kind| {
            !matches!(
                kind,
                TransportErrorKind::Forbidden
                    | TransportErrorKind::UnknownTable
                    | TransportErrorKind::BadQuery
            )
        })
    }

    /// A read of the table was answered.
    pub(crate) fn was_read(&mut self, table: &TableName) {
        self.table(table).readable = Some(true);
    }

    /// What reading the table has shown, if it was read.
    pub(crate) fn readable(&self, table: &TableName) -> Option<bool> {
        self.tables.get(table).and_then(|table| table.readable)
    }

    /// True when an operation before this one is aside.
    pub(crate) fn is_behind_aside(&self, seq: u64) -> bool {
        self.aside.first().is_some_and(|first| *first < seq)
    }

    /// The tables that have operations aside are sent once more.
    pub(crate) fn begin_last_turn(&mut self) {
        self.last_turn = true;
        for table in self.tables.values_mut() {
            table.waits = table.readable == Some(false);
            (table.in_a_row, table.silent_in_a_row) = (0, 0);
        }
    }

    /// True where a failure of this kind counts against the operation: the server was seen to do others of its table (or, where the
    /// credentials were refused, of any).
    pub(crate) fn counts(&self, table: &TableName, kind: TransportErrorKind) -> bool {
        let own = self.tables.get(table);
        let readable = own.is_some_and(|table| table.readable == Some(true));
        let did = match kind {
            TransportErrorKind::Unauthorized | TransportErrorKind::Forbidden => self.accepted,
            _ => own.is_some_and(|table| table.accepted),
        };
        readable && did
    }

    /// The operations that are aside.
    pub(crate) fn aside(&self) -> &BTreeSet<u64> {
        &self.aside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> TableName {
        TableName::new(name).unwrap()
    }

    #[test]
    fn three_failures_of_a_table_ask_for_a_look() {
        let (mut course, a, b) = (Course::default(), table("a"), table("b"));
        assert_eq!(course.set_aside(&a, 1, false), Next::GoOn);
        assert_eq!(course.set_aside(&a, 2, false), Next::GoOn);
        assert_eq!(course.set_aside(&b, 3, false), Next::GoOn);
        assert_eq!(course.set_aside(&a, 4, false), Next::Control);
        assert!(!course.may_send(&a) && course.may_send(&b));
        assert!(course.is_behind_aside(2) && !course.is_behind_aside(1));
    }

    #[test]
    fn an_accepted_write_begins_the_row_anew() {
        let (mut course, a) = (Course::default(), table("a"));
        for seq in 0..10 {
            assert_eq!(course.set_aside(&a, 2 * seq, false), Next::GoOn);
            course.accepted(&a, 2 * seq + 1);
        }
    }

    #[test]
    fn a_look_tells_the_table_from_the_server() {
        use TransportErrorKind as Kind;
        let (mut course, a) = (Course::default(), table("a"));
        assert!(!course.controlled(&a, None));
        assert!(!course.controlled(&a, Some(Kind::Forbidden)));
        assert!(!course.controlled(&a, Some(Kind::UnknownTable)));
        for kind in [
            Kind::Unreachable,
            Kind::Busy,
            Kind::Failed,
            Kind::Timeout,
            Kind::Unauthorized,
            Kind::Portal,
        ] {
            assert!(course.controlled(&a, Some(kind)), "{kind:?}");
        }
    }

    #[test]
    fn a_failure_counts_where_the_server_does_others() {
        use TransportErrorKind as Kind;
        let (mut course, a, b) = (Course::default(), table("a"), table("b"));
        course.was_read(&a);
        course.accepted(&b, 9);
        assert!(!course.counts(&a, Kind::Failed) && course.counts(&a, Kind::Forbidden));
        assert!(!course.counts(&b, Kind::Failed));
        course.accepted(&a, 8);
        assert!(course.counts(&a, Kind::Failed));
        course.controlled(&a, Some(Kind::Failed));
        assert!(!course.counts(&a, Kind::Failed));
    }

    #[test]
    fn the_last_turn_tries_all_but_silence_ends_it() {
        let (mut course, a) = (Course::default(), table("a"));
        course.wait(0..9);
        course.begin_last_turn();
        for seq in 0..9 {
            let next = course.set_aside(&a, seq, false);
            assert_eq!(next == Next::Control, (seq + 1) % 3 == 0);
            assert!(course.may_send(&a));
        }
        for seq in 0..3 {
            course.set_aside(&a, seq, true);
        }
        assert!(!course.may_send(&a));
    }
}
