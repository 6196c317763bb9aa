//! Time and new ids, injected so that one seed replays one history.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use crate::name::RecordId;
use crate::threads::{MaybeSend, MaybeSync};
use crate::timestamp::Timestamp;

/// Tells the time.
pub trait Clock: Debug + MaybeSend + MaybeSync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// Makes ids for records that come without one.
pub trait IdSource: Debug + MaybeSend + MaybeSync + 'static {
    /// An id that was never given before.
    fn next_id(&self) -> RecordId;
}

/// Waits. Injected, so that the engine sets no timers of its own and tests need not wait.
#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
pub trait Sleep: Debug + MaybeSend + MaybeSync + 'static {
    /// Returns after `duration`. Dropping the future ends the wait.
    async fn sleep(&self, duration: Duration);
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_ticks(i64::try_from(since.as_nanos() / 100).unwrap_or(i64::MAX))
    }
}

/// Random ids that sort by the time of their making: UUID version 7, 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, Default)]
pub struct UuidV7;

impl IdSource for UuidV7 {
    fn next_id(&self) -> RecordId {
        RecordId::system(&uuid::Uuid::now_v7().simple().to_string())
    }
}
