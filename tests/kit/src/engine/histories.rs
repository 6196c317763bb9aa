//! Random histories of two devices and a server that end in agreement.
#![expect(
    clippy::future_not_send,
    reason = "random strategies stay on their thread; a behaviour is run by `block_on`"
)]

use std::future::IntoFuture;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;
use synctable_core::Error;
use synctable_core::query::Query;
use synctable_core::store::Durability;
use synctable_core::store::LocalStore;
use synctable_core::sync::{ConflictPolicy, Resolution};
use synctable_core::transport::Rejection;

use super::device::{Device, shown, todo};
use super::{Fault, TestServer};
use crate::cancel::polled;
use crate::fixture::are_kept;
use crate::{Place, for_all};

/// Rounds of push, resolve and pull within which everything has to be quiet.
const ROUNDS: usize = 8;

#[derive(Debug, Clone)]
struct History {
    server: ServerKind,
    policies: [Policy; 2],
    steps: Vec<Step>,
}

#[derive(Debug, Clone)]
struct ServerKind {
    foreign: bool,
    page: u32,
    shows_tombstones: bool,
    operation_ids: bool,
    ticks: i64,
}

#[derive(Debug, Clone, Copy)]
enum Policy {
    Park,
    Server,
    Client,
    Merge,
}

#[derive(Debug, Clone, Copy)]
enum Choice {
    Server,
    Client,
    Merge,
    With,
}

/// What happens next; records are `r0` to `r3`, and a device does what its record allows.
#[derive(Debug, Clone)]
enum Step {
    Device(usize, Action),
    ServerSets(u8),
    ServerDeletes(u8),
    Fault(usize, Fault),
    Refuse(bool),
}

#[derive(Debug, Clone)]
enum Action {
    Put(u8),
    Update(u8),
    Delete(u8),
    Push { parallel: usize },
    Pull { push: bool },
    FullPull,
    DropPush(usize),
    DropPull(usize),
    EditDuringPush(u8),
    EditDuringPull(u8),
    Cancel(usize),
    Retry(usize),
    Resolve(usize, Choice),
    Purge,
    Reopen,
}

fn history() -> impl Strategy<Value = History> {
    let server = (
        any::<bool>(),
        1..5_u32,
        any::<bool>(),
        any::<bool>(),
        prop_oneof![Just(0), Just(3_700)],
    );
    let server =
        server.prop_map(
            |(foreign, page, shows_tombstones, operation_ids, ticks)| ServerKind {
                foreign,
                page,
                shows_tombstones,
                operation_ids,
                ticks,
            },
        );
    let policy = || {
        prop_oneof![
            Just(Policy::Park),
            Just(Policy::Server),
            Just(Policy::Client),
            Just(Policy::Merge)
        ]
    };
    (server, [policy(), policy()], vec(step(), 1..40)).prop_map(|(server, policies, steps)| {
        History {
            server,
            policies,
            steps,
        }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let fault = prop_oneof![
        Just(Fault::LostRequest),
        Just(Fault::LostAnswer),
        Just(Fault::BadAnswer),
        Just(Fault::Unauthorized),
        Just(Fault::Unavailable)
    ];
    prop_oneof![
        16 => (0..2_usize, action()).prop_map(|(device, action)| Step::Device(device, action)),
        1 => (0..4_u8).prop_map(Step::ServerSets),
        1 => (0..4_u8).prop_map(Step::ServerDeletes),
        3 => (0..4_usize, fault).prop_map(|(ahead, fault)| Step::Fault(ahead, fault)),
        1 => any::<bool>().prop_map(Step::Refuse),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let choice = prop_oneof![
        Just(Choice::Server),
        Just(Choice::Client),
        Just(Choice::Merge),
        Just(Choice::With)
    ];
    prop_oneof![
        5 => (0..4_u8).prop_map(Action::Put),
        3 => (0..4_u8).prop_map(Action::Update),
        3 => (0..4_u8).prop_map(Action::Delete),
        5 => (1..4_usize).prop_map(|parallel| Action::Push { parallel }),
        4 => any::<bool>().prop_map(|push| Action::Pull { push }),
        1 => Just(Action::FullPull),
        3 => (0..40_usize).prop_map(Action::DropPush),
        2 => (0..20_usize).prop_map(Action::DropPull),
        2 => (0..4_u8).prop_map(Action::EditDuringPush),
        2 => (0..4_u8).prop_map(Action::EditDuringPull),
        1 => (0..4_usize).prop_map(Action::Cancel),
        1 => (0..4_usize).prop_map(Action::Retry),
        2 => ((0..4_usize), choice).prop_map(|(which, choice)| Action::Resolve(which, choice)),
        1 => Just(Action::Purge),
        1 => Just(Action::Reopen),
    ]
}

/// Two devices and others at the server do anything, in any order, while requests and answers are lost. When that stops, a few
/// rounds of push and pull leave nothing waiting and every record equal everywhere.
pub async fn random_histories_converge(harness: &dyn Place) {
    for_all(60, history(), async |history| {
        Box::pin(run(harness, history)).await
    })
    .await;
}

async fn run(harness: &dyn Place, history: History) -> Result<(), String> {
    let server = history.server.start();
    let places = [harness.another(), harness.another()];
    let mut devices = Vec::new();
    for (place, policy) in places.iter().zip(history.policies) {
        let conflicts = policy.of_context();
        let device = Device::built(&**place, &server, |builder| {
            builder
                .conflicts(conflicts)
                .local_durability(Durability::Eventual)
        });
        devices.push((device.await, policy));
    }
    // Every write has a number of its own.
    let mut n = 0;
    for (place, step) in history.steps.iter().enumerate() {
        n += 1;
        let outcome = match step {
            Step::Device(which, Action::Reopen) => {
                let (device, policy) = &mut devices[*which];
                let policy = policy.of_context();
                let (store, server) = (Arc::clone(&device.store), server.clone());
                *device = Device::over(store, &server, |b| b.conflicts(policy)).await;
                Ok(())
            }
            Step::Device(which, action) => act(&devices[*which].0, action, n).await,
            Step::ServerSets(id) => {
                server.set(&name(*id), n);
                Ok(())
            }
            Step::ServerDeletes(id) => {
                server.drop_row(&name(*id));
                Ok(())
            }
            Step::Fault(ahead, fault) => {
                server.fault_at(*ahead, *fault);
                Ok(())
            }
            Step::Refuse(yes) => {
                let yes = *yes;
                server.reject(move |_, change| {
                    let refused = yes && change.id.as_str() == "r3";
                    refused.then(|| Rejection::new(Some(400), "not r3"))
                });
                Ok(())
            }
        };
        outcome.map_err(|error| format!("step {place} {step:?}: {error}"))?;
        if matches!(
            step,
            Step::Device(_, Action::EditDuringPush(_) | Action::EditDuringPull(_))
        ) {
            server.calm();
        }
        for (device, _) in &devices {
            let findings = device
                .sync
                .verify()
                .await
                .map_err(|error| error.to_string())?;
            if !findings.is_empty() {
                return Err(format!("after step {place} {step:?}: {findings:?}"));
            }
        }
    }
    server.calm();
    agree(&server, &devices).await
}

fn name(id: u8) -> String {
    format!("r{id}")
}

impl ServerKind {
    fn start(&self) -> TestServer {
        let server = if self.foreign {
            TestServer::foreign()
        } else {
            TestServer::new()
        };
        server.configure(|options| {
            options.page = self.page;
            options.shows_tombstones = self.shows_tombstones;
            options.operation_ids = self.operation_ids;
            if self.foreign {
                options.ticks_per_write = self.ticks;
            }
        });
        server
    }
}

impl Policy {
    fn of_context(self) -> ConflictPolicy {
        match self {
            Self::Park => ConflictPolicy::Park,
            Self::Server => ConflictPolicy::ServerWins,
            Self::Client => ConflictPolicy::ClientWins,
            Self::Merge => ConflictPolicy::Merge,
        }
    }
}

/// Does one action. Errors that such an action may meet are none.
async fn act(device: &Device, action: &Action, n: i64) -> Result<(), String> {
    let sync = &device.sync;
    let seq = |which: usize| async move {
        let pending = sync.pending().await.expect("the queue is read");
        pending.get(which).map(|operation| operation.seq)
    };
    let outcome = match action {
        Action::Put(id) => {
            let record = json!({"id": name(*id), "n": n});
            device.todo.upsert(&record).await.map(|_| ())
        }
        Action::Update(id) => {
            let changes = json!({"n": n, format!("m{}", n % 3): n});
            device.todo.update(name(*id), &changes).await.map(|_| ())
        }
        Action::Delete(id) => device.todo.delete(name(*id)).await,
        Action::Push { parallel } => sync.push().parallel(*parallel).await.map(|_| ()),
        Action::Pull { push: true } => device.todo.pull(Query::all(), "all").await.map(|_| ()),
        Action::Pull { push: false } => {
            let pull = device.todo.pull(Query::all(), "all").without_push();
            pull.await.map(|_| ())
        }
        Action::FullPull => device.todo.pull_full(Query::all()).await.map(|_| ()),
        Action::DropPush(polls) => {
            let push = polled(sync.push().into_future(), *polls).await;
            push.map_or(Ok(()), |done| done.map(|_| ()))
        }
        Action::DropPull(polls) => {
            let pull = device.todo.pull(Query::all(), "all").into_future();
            polled(pull, *polls)
                .await
                .map_or(Ok(()), |done| done.map(|_| ()))
        }
        Action::EditDuringPush(id) => {
            edit_meanwhile(device, *id, n);
            sync.push().await.map(|_| ())
        }
        Action::EditDuringPull(id) => {
            edit_meanwhile(device, *id, n);
            let pull = device.todo.pull(Query::all(), "all").without_push();
            pull.await.map(|_| ())
        }
        Action::Cancel(which) => match seq(*which).await {
            Some(seq) => sync.cancel(seq).await.map(|_| ()),
            None => Ok(()),
        },
        Action::Retry(which) => match seq(*which).await {
            Some(seq) => sync.retry(seq).await.map(|_| ()),
            None => Ok(()),
        },
        Action::Resolve(which, choice) => match seq(*which).await {
            Some(seq) => sync.resolve(seq, choice.resolution(n)).await.map(|_| ()),
            None => Ok(()),
        },
        Action::Purge => device
            .todo
            .purge(synctable_core::sync::Purge::all())
            .await
            .map(|_| ()),
        Action::Reopen => Ok(()),
    };
    match outcome {
        Ok(())
        | Err(
            Error::NotFound { .. }
            | Error::PendingOperations { .. }
            | Error::PushStopped { .. }
            | Error::Transport(_)
            | Error::NotInConflict { .. }
            | Error::IsConflict { .. }
            | Error::CannotMerge { .. },
        ) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// Changes or deletes a record while the next request is answered.
fn edit_meanwhile(device: &Device, id: u8, n: i64) {
    let app = device.clone();
    device.server.meanwhile(async move {
        if n % 3 == 0 {
            // It may not be there.
            let _ = app.todo.delete(name(id)).await;
        } else {
            let record = json!({"id": name(id), "n": n});
            app.todo
                .upsert(&record)
                .await
                .expect("an upsert always fits");
        }
    });
}

impl Choice {
    fn resolution(self, n: i64) -> Resolution {
        match self {
            Self::Server => Resolution::Server,
            Self::Client => Resolution::Client,
            Self::Merge => Resolution::Merge,
            Self::With => {
                let draft = synctable_core::Draft::from_serialize(&json!({ "n": n }));
                Resolution::With(draft.expect("a draft"))
            }
        }
    }
}

/// Pushes, resolves, retries and pulls until nothing waits, and compares everything.
async fn agree(server: &TestServer, devices: &[(Device, Policy)]) -> Result<(), String> {
    let failed = |error: Error| error.to_string();
    for round in 0..ROUNDS {
        for (device, _) in devices {
            for parked in device.sync.parked().await.map_err(failed)? {
                let seq = parked.operation.seq;
                let choice = if round % 2 == 0 {
                    Choice::Client
                } else {
                    Choice::Server
                };
                match device.sync.resolve(seq, choice.resolution(0)).await {
                    Ok(_) => {}
                    Err(Error::NotInConflict { .. }) => {
                        device.sync.retry(seq).await.map_err(failed)?;
                    }
                    Err(error) => return Err(error.to_string()),
                }
            }
            // What had no answer again and again rests, unless somebody asks for it.
            for operation in device.sync.pending().await.map_err(failed)? {
                if operation.aside.is_some() {
                    device.sync.retry(operation.seq).await.map_err(failed)?;
                }
            }
            device.sync.push().await.map_err(failed)?;
            device
                .todo
                .pull(Query::all(), "all")
                .await
                .map_err(failed)?;
        }
        let mut waiting = 0;
        for (device, _) in devices {
            waiting += device
                .sync
                .pending_count()
                .await
                .expect("the queue is counted");
        }
        if waiting == 0 {
            break;
        }
    }
    let live = server.live(&todo());
    for (number, (device, _)) in devices.iter().enumerate() {
        device
            .todo
            .pull(Query::all(), "all")
            .await
            .map_err(failed)?;
        let queue = device.queue().await;
        if !queue.is_empty()
            || device
                .sync
                .pending_count()
                .await
                .expect("the queue is counted")
                != 0
        {
            return Err(format!("device {number} still waits with {queue:?}"));
        }
        let rows = device.rows().await;
        if !are_kept(device.store.capabilities(), &rows, &live) {
            let (rows, live) = (shown(&rows), shown(&live));
            return Err(format!("device {number} holds {rows}, the server {live}"));
        }
        let findings = device.sync.verify().await.map_err(failed)?;
        if !findings.is_empty() || !server.violations().is_empty() {
            return Err(format!("{findings:?} {:?}", server.violations()));
        }
    }
    Ok(())
}
