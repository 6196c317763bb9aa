//! A change of one record: decided on what is stored, done if that is still there.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use synctable_core::store::{Expect, StoreError, StoreErrorKind, WriteBatch};
use synctable_core::{Record, RecordId, SystemProperties, Timestamp, Version};

use crate::error::Failure;
use crate::handler::Call;
use crate::judge;
use crate::operations::{Operation, Repeated, Sent};
use crate::unique::Claims;
use crate::unit::{Member, NotDone};

/// How often a change starts again because the record, or the end of the table's commits, was changed meanwhile.
/// Within one server the changes of a record take turns, so only other servers over the same store make it more
/// than a few.
const ATTEMPTS: usize = 32;

/// What a change makes of the stored record.
pub(crate) enum Step {
    /// A record with these members and this mark, and a new version and time.
    Put { record: Record, deleted: bool },
    /// No record.
    Remove(Record),
}

/// A record to be stored.
struct Put {
    record: Record,
    version: Version,
    deleted: bool,
    claims: Claims,
}

/// A record as a change left it, and what is known where an earlier request of the same operation did it.
pub(crate) struct Changed {
    pub(crate) record: Record,
    pub(crate) repeated: Option<Repeated>,
}

/// Why a change is not done.
pub(crate) enum Refused {
    Failure(Failure),
    /// It is answered with this status and the stored record.
    Conflict(StatusCode, Box<Record>),
    /// The same, where nothing was done under the operation's id, and would be known since this time.
    Unknown(StatusCode, Box<Record>, Timestamp),
}

/// A change of one record.
pub(crate) struct Change<'a> {
    pub(crate) call: &'a Call<'a>,
    pub(crate) id: RecordId,
    pub(crate) operation: Option<Operation>,
    pub(crate) sent: Sent,
}

impl From<NotDone> for Failure {
    fn from(not_done: NotDone) -> Self {
        match not_done {
            NotDone::Store(error) => error.into(),
            NotDone::Other => Self::new(
                StatusCode::FAILED_DEPENDENCY,
                "nothing of its unit is done, as another change of it was refused",
            ),
        }
    }
}

impl<E: Into<Failure>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self::Failure(error.into())
    }
}

impl Change<'_> {
    /// Reads the record, lets `decide` say what to do, and does it if the record is still the same; else all
    /// again. The change, its time and its outcome under the operation id are one batch.
    ///
    /// A new record is put without a look at what became of its operation: where that was done before, the record is there, or the batch
    /// fails its check. All others look first, as a batch that fails takes those down that share it.
    pub(crate) async fn run(
        &self,
        decide: impl Fn(Option<Record>) -> Result<Step, Refused> + Send + Sync,
    ) -> Result<Changed, Refused> {
        let core = self.call.core;
        let store = &*core.store;
        let table = &self.call.table.name;
        if self.operation.is_some() {
            core.pruner.prune(store, core.clock.now()).await;
        }
        let tombstones = &core.tombstones;
        tombstones
            .prune(store, &self.call.table, core.clock.now())
            .await;
        let unit = self.call.around.unit;
        // A unit has taken those of all its records.
        let _turn = match unit {
            None => Some(core.turns.take(table, &self.id).await),
            Some(_) => None,
        };
        let creates = self.operation.as_ref().is_some_and(Operation::creates);
        let looks_later = creates && unit.is_none();
        for attempt in 0..ATTEMPTS {
            let earlier = match unit {
                None => Claims::default(),
                Some(part) => part.turn().await?,
            };
            let looks_first = !looks_later || attempt > 0;
            if looks_first && let Some(done) = self.outcome().await? {
                return Ok(done);
            }
            let stored = self.call.stored(table, &self.id).await?;
            let planned = match self.plan(stored.as_ref(), earlier, &decide).await {
                Err(Refused::Conflict(status, stored)) => {
                    return self.conflict(status, stored).await;
                }
                planned => planned,
            };
            if planned.is_err()
                && !looks_first
                && let Some(done) = self.outcome().await?
            {
                return Ok(done);
            }
            let (step, claims) = planned?;
            let result = match step {
                Step::Put { record, deleted } => {
                    let version = new_version().map_err(|error| Failure::internal(&error))?;
                    let put = Put {
                        record,
                        version,
                        deleted,
                        claims,
                    };
                    self.put(stored, put).await
                }
                Step::Remove(record) => self.remove(record, claims).await,
            };
            match result {
                Ok(record) => {
                    return Ok(Changed {
                        record,
                        repeated: None,
                    });
                }
                Err(NotDone::Store(error)) if error.kind() == StoreErrorKind::CheckFailed => {
                    self.call.around.effect.had_none();
                    tracing::debug!(%table, "the record was changed meanwhile; trying again");
                }
                Err(not_done) => return Err(not_done.into()),
            }
        }
        Err(Failure::busy("the record is changed too often by others; try again").into())
    }

    /// What to do with the stored record, and with the rows of unique values, behind what was claimed `earlier`.
    async fn plan(
        &self,
        stored: Option<&Record>,
        earlier: Claims,
        decide: impl Fn(Option<Record>) -> Result<Step, Refused> + Send + Sync,
    ) -> Result<(Step, Claims), Refused> {
        let step = decide(stored.cloned())?;
        let after = match &step {
            Step::Put { record, deleted } if !deleted => {
                let system = SystemProperties::default();
                Some(record.clone().with_system(system))
            }
            Step::Put { .. } | Step::Remove(_) => None,
        };
        let call = self.call;
        let claims = earlier.and_change(&*call.core.store, &call.table, stored, after.as_ref());
        let claims = claims.await?.map_err(|taken| judge::taken(&taken))?;
        Ok((step, claims))
    }

    /// The record as this operation left it, if it was done before. That it was is known then, whatever fails after it.
    async fn outcome(&self) -> Result<Option<Changed>, Failure> {
        let Some(operation) = &self.operation else {
            return Ok(None);
        };
        let Some(done) = operation.find(self.call).await? else {
            return Ok(None);
        };
        self.call.around.effect.begins();
        let record = done.record(self.call, &self.sent).await;
        match record {
            Ok((record, repeated)) => Ok(Some(Changed {
                record,
                repeated: Some(repeated),
            })),
            Err(error) => {
                tracing::warn!(%error, "the record of a repeated operation was not read");
                Err(Failure::unsure())
            }
        }
    }

    /// A conflict with the stored record, unless this operation made that record. Its first request may have been given up and
    /// done all the same, by this server or another, since its outcome was looked for.
    async fn conflict(&self, status: StatusCode, stored: Box<Record>) -> Result<Changed, Refused> {
        let core = self.call.core;
        if let Some(done) = self.outcome().await? {
            return Ok(done);
        }
        let since = match &self.operation {
            Some(operation) if !operation.is_known_to_anybody(&*core.store).await? => {
                core.retention.since(&*core.store, core.clock.now()).await?
            }
            _ => None,
        };
        Err(match since {
            Some(since) => Refused::Unknown(status, stored, since),
            None => Refused::Conflict(status, stored),
        })
    }

    async fn put(&self, stored: Option<Record>, put: Put) -> Result<Record, NotDone> {
        let Put {
            record,
            version,
            deleted,
            claims,
        } = put;
        let created_at = stored.as_ref().map(|stored| stored.system().created_at);
        let expect = Expect::as_read(stored.as_ref());
        let stamped = {
            let record = record.clone();
            move |time: Timestamp| {
                record.clone().with_system(SystemProperties {
                    version: Some(version.clone()),
                    created_at: created_at.unwrap_or(Some(time)),
                    updated_at: Some(time),
                    deleted,
                })
            }
        };
        let table = self.call.table.name.clone();
        let id = self.id.clone();
        let remember = self.remember();
        let build = {
            let stamped = stamped.clone();
            move |time| {
                let record = stamped(time);
                let mut batch = WriteBatch::new();
                batch.check(&table, &id, expect.clone());
                remember(batch.put(&table, record.clone()), &record)
            }
        };
        let time = self.commit(record.body().len(), claims, build).await?;
        Ok(stamped(time))
    }

    /// A removal moves the table's times, too, though nothing of it is left to be pulled: so it can share a commit.
    async fn remove(&self, stored: Record, claims: Claims) -> Result<Record, NotDone> {
        let table = self.call.table.name.clone();
        let remember = self.remember();
        let build = {
            let stored = stored.clone();
            move |_| {
                let batch = WriteBatch::new()
                    .expect_as_read(&table, &stored)
                    .delete(&table, stored.id());
                remember(batch, &stored)
            }
        };
        self.commit(0, claims, build).await?;
        Ok(stored)
    }

    /// Commits in the order of the table, together with the rest of its unit. From when the batch is built on the change may be done.
    async fn commit(
        &self,
        bytes: usize,
        claims: Claims,
        build: impl Fn(Timestamp) -> Result<WriteBatch, StoreError> + Send + Sync + 'static,
    ) -> Result<Timestamp, NotDone> {
        let Call {
            core,
            table,
            around,
            ..
        } = self.call;
        let effect = around.effect.clone();
        let build = move |time| {
            effect.begins();
            build(time)
        };
        if let Some(part) = around.unit {
            let member = Member {
                table: Arc::clone(table),
                build: Box::new(build),
            };
            return part.commit(core, member, claims).await;
        }
        let build = move |time| Ok(claims.clone().add_to(build(time)?, time));
        let size = (bytes, !around.is_part());
        let time = table.sequence.commit(&core.store, &core.clock, size, build);
        Ok(time.await?)
    }

    /// Adds the outcome of the operation, if it is one, to the batch of the change.
    fn remember(
        &self,
    ) -> impl Fn(WriteBatch, &Record) -> Result<WriteBatch, StoreError> + Send + Sync + use<> {
        let operation = self.operation.clone();
        let members = matches!(self.sent, Sent::Members);
        let now = self.call.core.clock.now();
        move |batch, record| match &operation {
            Some(operation) => operation.remember(batch, record, members, now),
            None => Ok(batch),
        }
    }
}

/// Base64 of 16 random bytes.
fn new_version() -> Result<Version, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(Version::new(&STANDARD.encode(bytes)))
}
