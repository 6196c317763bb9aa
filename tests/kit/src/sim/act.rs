//! What clients do: the simulator's own users, and those of an application.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use synctable_core::query::Query;
use synctable_core::store::StoreErrorKind;
use synctable_core::sync::{
    AcceptServer, ConflictDetails, OperationState, ParkedOperation, Purge, Resolution,
    SwitchAccount, SyncContext,
};
use synctable_core::threads::BoxFuture;
use synctable_core::{Declaration, Declarations, Draft, Error, MergeRule, TableName};
use tokio::task::yield_now;

use super::application::Users;
use super::client::Seat;
use super::dice::Dice;
use super::ledger::{LOGS, Ledger, tags_in};
use super::signpost::Signpost;
use super::watch::watch;
use crate::fixture::table;
use crate::threads::InABox;

/// The table whose changes all have to count: its records are never deleted.
pub(crate) const KEPT: &str = "kept";
/// The table in which anything is deleted, dropped and overwritten.
pub(crate) const WILD: &str = "wild";

/// The table of records that a client makes and removes again; nobody else touches them.
pub(crate) const PASSING: &str = "passing";

/// What the program does next. The number picks a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    EditKept(u8),
    /// Makes a record, edits it and removes it, as far as it gets.
    Pass(u8),
    PutWild(u8),
    UpdateWild(u8),
    DeleteWild(u8),
    Push,
    PushParallel,
    /// The number picks a table.
    Pull(usize),
    PullInFull(usize),
    Audit(usize),
    Purge(usize),
    /// Takes the server for another one: all that was pulled goes.
    StartAnew,
    /// Says what a server or an account is that is not the store's; `true` drops what is queued for the one before.
    Answer(bool),
    Resolve,
    CancelWild,
    /// The application's users do something; the number makes their dice.
    Theirs(u64),
}

/// The tables of the simulator's own users.
pub(crate) fn own_schema() -> Declarations {
    let kept = Declaration::new()
        .with_merge("n", MergeRule::Counter)
        .with_merge("log", MergeRule::Set)
        .with_merge("more", MergeRule::Set);
    Declarations::new()
        .with_table(table(KEPT), kept)
        .with_table(table(WILD), Declaration::new())
        .with_table(table(PASSING), Declaration::new())
}

/// What the things that clients do have in common.
#[derive(Debug, Clone)]
pub(crate) struct Shareds {
    pub(crate) tables: Arc<[TableName]>,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    pub(crate) users: Users,
}

impl Shareds {
    /// True where clients may read the table.
    pub(crate) fn is_readable(&self, table: &TableName) -> bool {
        match &self.users {
            Users::Tagging => true,
            Users::Theirs(application) => application.is_readable(table),
        }
    }

    /// The tables that clients may read.
    pub(crate) fn readable(&self) -> impl Iterator<Item = &TableName> {
        let tables = self.tables.iter();
        tables.filter(|table| self.is_readable(table))
    }
}

/// Who does something.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    pub(crate) seat: Seat,
    /// Another context of the same program may be at the same store.
    pub(crate) has_rivals: bool,
    /// Its way, where there is more than one realm.
    pub(crate) signpost: Option<Signpost>,
    /// The step in which it began, where the story is told.
    pub(crate) told: Option<usize>,
}

/// Does one thing. An error is what the application would see; only what may not be is a finding.
pub(crate) fn act(
    sync: SyncContext,
    action: Action,
    shared: Shareds,
    actor: Actor,
) -> BoxFuture<'static, Result<(), String>> {
    async move {
        let outcome = run(&sync, action, &shared, &actor).await;
        if let Some(step) = actor.told {
            println!(
                "     {}: {action:?} of step {step}: {outcome:?}",
                actor.seat
            );
        }
        if let Err(error) = outcome {
            allowed(action, &actor, &error)?;
        }
        match action {
            Action::Push | Action::PushParallel => watch(&sync, &shared.users).await,
            _ => Ok(()),
        }
    }
    .in_a_box()
}

/// Errors that faults, conflicts and races explain.
fn allowed(action: Action, actor: &Actor, error: &Error) -> Result<(), String> {
    let explained = match error {
        Error::Store(error) => matches!(
            error.kind(),
            StoreErrorKind::Io
                | StoreErrorKind::Unknown
                | StoreErrorKind::InDoubt
                | StoreErrorKind::CheckFailed
        ),
        Error::PushStopped { source, .. } => return allowed(action, actor, source),
        Error::Transport(_)
        | Error::NotFound { .. }
        | Error::AlreadyExists { .. }
        | Error::PendingOperations { .. }
        | Error::NotPushed { .. }
        | Error::NoSuchOperation { .. }
        | Error::NotInConflict { .. }
        | Error::IsConflict { .. }
        | Error::OtherId { .. }
        | Error::ConflictChanged { .. }
        | Error::CannotMerge { .. } => true,
        Error::AnotherPusher => actor.has_rivals,
        Error::Contended => actor.has_rivals || actor.signpost.is_some(),
        Error::ServerChanged { .. } | Error::AccountChanged { .. } => actor.signpost.is_some(),
        _ => false,
    };
    if explained {
        Ok(())
    } else {
        Err(format!("{action:?} ended with {error:?}"))
    }
}

fn books(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn run(
    sync: &SyncContext,
    action: Action,
    shared: &Shareds,
    actor: &Actor,
) -> Result<(), Error> {
    let number = actor.seat.client;
    let ledger = &*shared.ledger;
    let table = |name: &str| sync.table::<Value>(name);
    let of = |number: usize| table(shared.tables[number].as_str());
    match action {
        Action::EditKept(which) => {
            let id = format!("k{which}");
            let tag = books(ledger).start(&id);
            let changes = {
                let tag = tag.clone();
                move |mut record: Value| tagged(&mut record, &tag)
            };
            let kept = table(KEPT)?;
            let edited = if which % 3 == 0 {
                let wild = json!({"id": format!("w{which}"), "n": which});
                let mut both = sync.transaction().as_one();
                both.modify(&kept, &id, changes)?;
                both.upsert(&table(WILD)?, &wild)?;
                both.commit().await.map(drop)
            } else {
                kept.modify(&id, changes).await.map(drop)
            };
            match edited {
                Err(Error::NotFound { .. }) => {
                    let new = json!({"id": id, "n": 1, "log": [tag], "more": []});
                    kept.insert(&new).await?;
                }
                done => done?,
            }
            books(ledger).acknowledge(&tag);
        }
        Action::Pass(turns) => {
            let passing = table(PASSING)?;
            let id = books(ledger).come();
            passing.insert(&json!({"id": id, "n": 0})).await?;
            books(ledger).came(&id);
            for n in 0..turns {
                passing.update(&id, &json!({ "n": n })).await?;
                // The others get a chance to push it meanwhile.
                for _ in 0..20 {
                    yield_now().await;
                }
            }
            books(ledger).go(&id);
            passing.delete(&id).await?;
            books(ledger).went(&id);
        }
        Action::PutWild(which) => {
            let new = json!({"id": format!("w{which}"), "n": which});
            table(WILD)?.upsert(&new).await?;
        }
        Action::UpdateWild(which) => {
            let id = format!("w{which}");
            let change = |record: Value| json!({"n": record["n"].as_i64().unwrap_or(0) + 1});
            let wild = table(WILD)?;
            if which % 3 == 0 {
                let mut both = sync.transaction().as_one();
                both.modify(&wild, &id, change)?;
                both.modify(&wild, format!("w{}", which + 1), change)?;
                both.commit().await?;
            } else {
                wild.modify(&id, change).await?;
            }
        }
        Action::DeleteWild(which) => table(WILD)?.delete(format!("w{which}")).await?,
        Action::Push => _ = sync.push().await?,
        Action::PushParallel => _ = sync.push().parallel(3).await?,
        Action::Pull(which) => _ = of(which)?.pull(Query::all(), "all").without_push().await?,
        Action::PullInFull(which) => _ = of(which)?.pull_full(Query::all()).await?,
        Action::Audit(which) => _ = of(which)?.audit(Query::all()).await?,
        Action::Purge(which) => _ = of(which)?.purge(Purge::all()).await?,
        Action::StartAnew => {
            let other = AcceptServer::Other { discard: false };
            sync.accept_server(other).await?;
        }
        Action::Answer(discard) => {
            if let Some(signpost) = &actor.signpost {
                if discard {
                    books(ledger).may_discard(number, true);
                }
                let answered = answer(sync, signpost, discard).await;
                if discard {
                    books(ledger).may_discard(number, false);
                }
                answered?;
            }
        }
        Action::Resolve => resolve(sync, &shared.users).await?,
        Action::CancelWild => {
            let pending = sync.pending().await?;
            let wild = pending
                .iter()
                .find(|operation| operation.table.as_str() == WILD);
            if let Some(operation) = wild {
                sync.cancel(operation.seq).await?;
            }
        }
        Action::Theirs(seed) => {
            if let Users::Theirs(application) = &shared.users {
                let dice = &mut Dice::new(seed);
                application.act_as(number, sync, dice).await?;
            }
        }
    }
    Ok(())
}

/// Asks whose server and account these are, and tells the truth where they are not the store's.
pub(crate) async fn answer(
    sync: &SyncContext,
    signpost: &Signpost,
    discard: bool,
) -> Result<(), Error> {
    let changed = sync.check_identity().await;
    // Of a window that was left open nobody knows what is meant.
    if !signpost.is_current() {
        return changed;
    }
    let home = signpost.realms().home_of(sync.store().as_ref()).await?;
    let is_same = home == Some(signpost.meant());
    match changed {
        Err(Error::ServerChanged { .. }) if is_same => sync.accept_server(AcceptServer::Same).await,
        Err(Error::ServerChanged { .. }) => {
            sync.accept_server(AcceptServer::Other { discard }).await
        }
        // Who had no account is the one who has one now.
        Err(Error::AccountChanged { was, .. }) if is_same || was.is_none() => {
            sync.switch_account(SwitchAccount::Keep).await
        }
        Err(Error::AccountChanged { .. }) => {
            let switch = SwitchAccount::Switch { discard };
            sync.switch_account(switch).await
        }
        other => other,
    }
}

/// The record's counter and logs with one more change. One log of the two is as it was, so that a part of the record tells less than
/// the whole.
pub(crate) fn tagged(record: &mut Value, tag: &str) -> Value {
    let n = record["n"].as_i64().unwrap_or_default() + 1;
    let mut logs = LOGS.map(|name| record[name].as_array().cloned().unwrap_or_default());
    let odd = tag.ends_with(['1', '3', '5', '7', '9']);
    logs[usize::from(odd)].push(tag.into());
    let [log, more] = logs;
    json!({"n": n, "log": log, "more": more})
}

/// Ends every parked conflict and queues again what was refused.
pub(crate) async fn resolve(sync: &SyncContext, users: &Users) -> Result<(), Error> {
    for parked in sync.parked().await? {
        let refused = parked.operation.state == OperationState::Rejected;
        match users {
            Users::Tagging if refused => _ = sync.retry(parked.operation.seq).await?,
            Users::Tagging => decide(sync, &parked).await?,
            Users::Theirs(application) if refused => application.refused(sync, &parked).await?,
            Users::Theirs(application) => application.resolve(sync, &parked).await?,
        }
    }
    Ok(())
}

/// Where rules do not decide, the server's side stays; but a change of a kept record that may be in already is looked up in
/// the log, as an application would.
async fn decide(sync: &SyncContext, parked: &ParkedOperation) -> Result<(), Error> {
    match sync.resolve_parked(parked, Resolution::Merge).await {
        Err(error @ Error::CannotMerge { .. }) => {
            let kept = parked.operation.table.as_str() == KEPT;
            if kept && !parked.operation.unsure {
                // Rules decide about it: this one stays, and is found in the end.
                return Err(error);
            }
            let resolution = if kept {
                Resolution::With(counted(&parked.conflict))
            } else {
                Resolution::Server
            };
            sync.resolve_parked(parked, resolution).await?;
        }
        done => _ = done?,
    }
    Ok(())
}

/// The logs of both sides together, and as many changes as they name.
pub(crate) fn counted(conflict: &ConflictDetails) -> Draft {
    let both = |name: &str| -> BTreeSet<String> {
        let sides = [&conflict.server, &conflict.local].into_iter().flatten();
        sides.flat_map(|side| tags_in(side, name)).collect()
    };
    let [log, more] = LOGS.map(both);
    let body = json!({"n": log.len() + more.len(), "log": log, "more": more});
    Draft::from_serialize(&body).expect("an object is a draft")
}
