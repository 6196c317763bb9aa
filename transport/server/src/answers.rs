//! What answers take of the memory, from the records that they are made of until the client has read them.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::respond::Response;

/// Answers up to this many bytes always find room: there are no more of them than connections.
const SMALL: usize = 64 * 1024;
/// Room is given in pieces of so many bytes.
const PIECE: usize = 1024;

/// The room that all answers share.
#[derive(Debug)]
pub(crate) struct Answers {
    free: Arc<Semaphore>,
    pieces: u32,
}

/// Room that is taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Room(Option<OwnedSemaphorePermit>);

/// There is no room.
#[derive(Debug)]
pub(crate) struct Full;

impl Answers {
    pub(crate) fn new(bytes: usize) -> Self {
        let most = Semaphore::MAX_PERMITS.min(u32::MAX as usize);
        let pieces = bytes.div_ceil(PIECE).clamp(1, most);
        Self {
            free: Arc::new(Semaphore::new(pieces)),
            pieces: u32::try_from(pieces).unwrap_or(u32::MAX),
        }
    }

    /// Takes room for so many bytes. What is larger than all of it may have all of it.
    pub(crate) fn take(&self, bytes: usize) -> Result<Room, Full> {
        if bytes <= SMALL {
            return Ok(Room(None));
        }
        let pieces = u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX);
        let free = Arc::clone(&self.free);
        let permit = free.try_acquire_many_owned(pieces.min(self.pieces));
        permit.map(|permit| Room(Some(permit))).map_err(|_| Full)
    }

    /// The same answer, which keeps room for its body as long as anybody holds that.
    pub(crate) fn hold(&self, response: Response) -> Result<Response, Full> {
        let room = self.take(response.body().len())?;
        Ok(response.map(|body| match room {
            Room(None) => body,
            room => Bytes::from_owner(Held { body, _room: room }),
        }))
    }
}

/// A body and its room.
struct Held {
    body: Bytes,
    _room: Room,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(bytes: usize) -> Response {
        Response::new(Bytes::from(vec![b'x'; bytes]))
    }

    #[test]
    fn answers_have_room_until_nobody_holds_them() {
        let answers = Answers::new(1_000_000);
        let first = answers.hold(answer(600_000)).unwrap().into_body();
        assert_eq!(first.len(), 600_000);
        assert!(answers.hold(answer(600_000)).is_err());
        let second = answers.hold(answer(350_000)).unwrap();
        assert!(answers.hold(answer(SMALL + 1)).is_err());
        for _ in 0..100 {
            assert!(answers.hold(answer(SMALL)).is_ok());
        }
        // A part of a body keeps the whole.
        let part = first.slice(..10);
        drop(first);
        assert!(answers.hold(answer(600_000)).is_err());
        drop(part);
        drop(answers.hold(answer(600_000)).unwrap());
        drop(second);
        let all = answers.hold(answer(5_000_000)).unwrap();
        assert!(answers.hold(answer(SMALL + 1)).is_err());
        drop(all);
        assert!(answers.hold(answer(SMALL + 1)).is_ok());
    }
}
