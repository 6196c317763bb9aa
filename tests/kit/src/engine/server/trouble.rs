//! How a test makes the server misbehave.

use crate::threads::InABox;
use synctable_core::threads::MaybeSend;
use synctable_core::transport::{Change, InvalidRow, Rejection};
use synctable_core::{RecordId, TableName};

use super::batch::are_one;
use super::{Fault, TestServer};

impl TestServer {
    /// The next request fails.
    pub fn fault(&self, fault: Fault) {
        self.fault_at(0, fault);
    }

    /// The request after `ahead` others fails.
    pub fn fault_at(&self, ahead: usize, fault: Fault) {
        let mut state = self.state();
        let number = state.made + ahead;
        state.faults.insert(number, fault);
    }

    /// The request after `ahead` others fails, and those after it find no connection, until [`calm`](Self::calm) or
    /// [`reconnect`](Self::reconnect) is called.
    pub fn cut_at(&self, ahead: usize, fault: Fault) {
        self.fault_at(ahead, fault);
        self.fault_from(ahead + 1, Fault::Offline);
    }

    /// Every request fails after `ahead` others, until [`calm`](Self::calm) or [`reconnect`](Self::reconnect) is called.
    pub fn fault_from(&self, ahead: usize, fault: Fault) {
        let mut state = self.state();
        state.fails_from = Some((state.made + ahead, fault));
    }

    /// Ends what [`cut_at`](Self::cut_at) or [`fault_from`](Self::fault_from) began.
    pub fn reconnect(&self) {
        self.state().fails_from = None;
    }

    /// Every request fails, until [`calm`](Self::calm) is called.
    pub fn fault_always(&self, fault: Fault) {
        self.state().always = Some(fault);
    }

    /// From now on no request fails, nothing happens meanwhile, and nothing is refused.
    pub fn calm(&self) {
        let mut state = self.state();
        (state.always, state.fails_from) = (None, None);
        state.faults.clear();
        state.meanwhile.clear();
        state.rule = None;
        (state.fails, state.clashes, state.hides) = (None, None, None);
        state.unmounted.clear();
        state.batches.calm();
    }

    /// Runs `future` during the next request: its effect is done, or its page is read, but the answer is not out yet.
    pub fn meanwhile(&self, future: impl Future<Output = ()> + MaybeSend + 'static) {
        self.meanwhile_at(0, future);
    }

    /// As [`meanwhile`](Self::meanwhile), during the request after `ahead` others.
    pub fn meanwhile_at(
        &self,
        ahead: usize,
        future: impl Future<Output = ()> + MaybeSend + 'static,
    ) {
        let mut state = self.state();
        let number = state.made + ahead;
        state.meanwhile.insert(number, future.in_a_box());
    }

    /// Refuses the changes for which `rule` gives a reason.
    pub fn reject(
        &self,
        rule: impl Fn(&TableName, &Change) -> Option<Rejection> + MaybeSend + 'static,
    ) {
        self.state().rule = Some(Box::new(rule));
    }

    /// Something goes wrong with each change for which `rule` says so.
    pub fn fail(&self, rule: impl Fn(&TableName, &Change) -> Option<Fault> + MaybeSend + 'static) {
        self.state().fails = Some(Box::new(rule));
    }

    /// Answers the changes for which `rule` gives a reason with a conflict that is none of versions, as for a unique key.
    pub fn clash(
        &self,
        rule: impl Fn(&TableName, &Change) -> Option<Rejection> + MaybeSend + 'static,
    ) {
        self.state().clashes = Some(Box::new(rule));
    }

    /// Takes no record of `child` while there is no record `id` of `parent`: refuses it (400), answers with a conflict
    /// (409), or fails (500).
    pub fn demand(&self, child: &TableName, parent: &TableName, id: &str, status: u16) {
        let id = RecordId::system(id);
        let (child, parent) = (child.clone(), parent.clone());
        self.demand_by(move |table, _| {
            (*table == child).then(|| (parent.clone(), id.clone(), status))
        });
    }

    /// As [`demand`](Self::demand), for each change for which `rule` names a record and a status.
    pub fn demand_by(
        &self,
        rule: impl Fn(&TableName, &Change) -> Option<(TableName, RecordId, u16)> + MaybeSend + 'static,
    ) {
        self.state().demand = Some(Box::new(rule));
    }

    /// Answers each change of a record with a conflict, though it names the right version: as a replica that lags.
    pub fn doubt_versions(&self, doubts: bool) {
        self.doubt(move |_, _| doubts);
    }

    /// As [`doubt_versions`](Self::doubt_versions), for the changes of records for which `rule` says so.
    pub fn doubt(&self, rule: impl Fn(&TableName, &Change) -> bool + MaybeSend + 'static) {
        self.state().doubts = Some(Box::new(move |table, change| {
            rule(table, change).then_some(())
        }));
    }

    /// Keeps new records under another id than they were sent with.
    pub fn rename_inserts(&self, renames: bool) {
        self.rename(move |_, change| {
            let id = format!("{}-renamed", change.id);
            renames.then(|| RecordId::system(&id))
        });
    }

    /// Keeps the new records for which `rule` gives an id under that one.
    pub fn rename(
        &self,
        rule: impl Fn(&TableName, &Change) -> Option<RecordId> + MaybeSend + 'static,
    ) {
        self.state().renames = Some(Box::new(rule));
    }

    /// Answers changes with an empty version.
    pub fn blank_versions(&self, blanks: bool) {
        self.state().blanks = blanks;
    }

    /// Shows rows with neither a version nor times.
    pub fn bare_rows(&self, bare: bool) {
        self.state().bare = bare;
        self.configure(|options| options.checks_versions = !bare);
    }

    /// Lets clients write and not read: reads fail so.
    pub fn hide(&self, fault: Fault) {
        self.state().hides = Some(fault);
    }

    /// Lets clients write one table and not read it: reads fail so.
    pub fn hide_table(&self, table: &TableName, fault: Fault) {
        self.state().hidden.insert(table.clone(), fault);
    }

    /// Ends what [`hide_table`](Self::hide_table) began.
    pub fn show_table(&self, table: &TableName) {
        self.state().hidden.remove(table);
    }

    /// A table is not there, as while a server is deployed: its records are "not found" one by one, until
    /// [`calm`](Self::calm) is called.
    pub fn unmount(&self, table: &TableName) {
        self.state().unmounted.insert(table.clone());
    }

    /// Requests that were lost arrive after all.
    pub fn lost_requests_arrive(&self) {
        let mut state = self.state();
        let lost = std::mem::take(&mut state.lost);
        for unit in lost.chunk_by(are_one) {
            // Whatever it is answered, nobody listens.
            _ = state.apply_unit(unit, &vec![None; unit.len()]);
        }
    }

    /// What became of earlier changes is not known any more.
    pub fn forget_outcomes(&self) {
        self.state().outcomes.clear();
    }

    /// Refuses the positions in the feed of a table that are not the newest.
    pub fn expire_positions(&self, table: &TableName) {
        self.state().rows.log.expire(table);
    }

    /// Refuses to go on with the walks through its feed that are under way.
    pub fn end_walks(&self) {
        self.state().rows.log.end_walks();
    }

    /// Leaves so many of the next pages of its feed empty, though others follow.
    pub fn idle(&self, pages: u32) {
        self.state().rows.log.idle = pages;
    }

    /// Answers each request of its feed with an empty page that leads to itself.
    pub fn stall(&self, stalls: bool) {
        self.state().rows.log.stalls = stalls;
    }

    /// Adds a row to the next page that is no record.
    pub fn spoil(&self, row: InvalidRow) {
        self.state().invalid.push(row);
    }
}
