//! The network between a client and the server: requests and answers are lost, doubled, late and refused.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use synctable_core::query::Query;
use synctable_core::transport::{
    Change, ChangeKind, Outcome, PageCursor, RemotePage, Transport, TransportCapabilities,
    TransportError, TransportErrorKind,
};
use synctable_core::{Record, RecordId, TableName};
use tokio::task::yield_now;

use super::dice::Dice;

/// What may happen to requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It never arrives.
    LostRequest,
    /// Everything is done, but no answer arrives.
    LostAnswer,
    /// It arrives twice.
    Doubled,
    /// It arrives after the client has given it up.
    Late,
    /// Everything is done, but the answer is cut off.
    CutAnswer,
    /// The server asks to come back later.
    Unavailable,
    /// The credentials are refused.
    Unauthorized,
}

impl Trouble {
    pub(crate) const ALL: [Self; 7] = [
        Self::LostRequest,
        Self::LostAnswer,
        Self::Doubled,
        Self::Late,
        Self::CutAnswer,
        Self::Unavailable,
        Self::Unauthorized,
    ];
}

/// What all clients of a simulation share.
#[derive(Debug, Default)]
pub(crate) struct Weather {
    /// What goes wrong, and in how many of 1000 requests; nothing if it is empty.
    pub(crate) troubles: Vec<Trouble>,
    pub(crate) permille: u32,
    /// The most turns that a request or an answer takes.
    pub(crate) delay: usize,
    /// Requests that clients gave up and that have not arrived yet.
    pub(crate) late: Late,
}

/// Requests that are still under way.
#[derive(Default)]
pub(crate) struct Late(pub(crate) Vec<BoxFuture<'static, ()>>);

impl fmt::Debug for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests", self.0.len())
    }
}

/// A transport behind the weather.
#[derive(Debug, Clone)]
pub(crate) struct Net {
    server: Arc<dyn Transport>,
    weather: Arc<Mutex<Weather>>,
    dice: Arc<Mutex<Dice>>,
}

impl Net {
    pub(crate) fn new(
        server: Arc<dyn Transport>,
        weather: Arc<Mutex<Weather>>,
        dice: Arc<Mutex<Dice>>,
    ) -> Self {
        Self {
            server,
            weather,
            dice,
        }
    }

    fn weather(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dice(&self) -> MutexGuard<'_, Dice> {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn pass(&self) {
        let turns = {
            let most = self.weather().delay;
            self.dice().below(most + 1)
        };
        for _ in 0..turns {
            yield_now().await;
        }
    }

    fn trouble(&self) -> Option<Trouble> {
        let weather = self.weather();
        let mut dice = self.dice();
        // The dice are thrown in any case, so that a history with one trouble less goes the same way up to where it counts.
        let (hit, kind) = (
            dice.permille(weather.permille),
            dice.below(Trouble::ALL.len()),
        );
        let trouble = Trouble::ALL[kind];
        (hit && weather.troubles.contains(&trouble)).then_some(trouble)
    }

    async fn send<T, F>(&self, request: F, late: Option<F>) -> Result<T, TransportError>
    where
        F: Future<Output = Result<T, TransportError>> + Send,
    {
        self.pass().await;
        let trouble = self.trouble();
        let error = |kind, message| Err(TransportError::new(kind, message));
        match trouble {
            Some(Trouble::LostRequest) => {
                return error(TransportErrorKind::Unreachable, "the request is lost");
            }
            Some(Trouble::Unavailable) => {
                return error(TransportErrorKind::Unavailable, "the server is busy");
            }
            Some(Trouble::Unauthorized) => {
                return error(TransportErrorKind::Unauthorized, "the token has expired");
            }
            _ => {}
        }
        let answer = request.await;
        if let (Some(Trouble::Doubled), Some(again)) = (trouble, late) {
            // Whatever the server says to the second one, the client has its answer.
            let _ = again.await;
        }
        self.pass().await;
        match trouble {
            Some(Trouble::LostAnswer) => error(TransportErrorKind::Timeout, "the answer is lost"),
            Some(Trouble::CutAnswer) => {
                error(TransportErrorKind::Protocol, "the answer is cut off")
            }
            _ => answer,
        }
    }
}

#[async_trait]
impl Transport for Net {
    async fn apply(&self, table: &TableName, change: &Change) -> Result<Outcome, TransportError> {
        let late = {
            let peek = self.dice().permille(30);
            // A server that forgets deleted records cannot tell a late insert from a new one.
            peek && change.kind != ChangeKind::Insert
                && self.weather().troubles.contains(&Trouble::Late)
        };
        if late {
            let (server, table, change) = (Arc::clone(&self.server), table.clone(), change.clone());
            let request = async move {
                let _ = server.apply(&table, &change).await;
            };
            self.weather().late.0.push(request.boxed());
            return Err(TransportError::new(
                TransportErrorKind::Timeout,
                "no answer in time",
            ));
        }
        let server = &self.server;
        self.send(
            server.apply(table, change),
            Some(server.apply(table, change)),
        )
        .await
    }

    async fn get(
        &self,
        table: &TableName,
        id: &RecordId,
    ) -> Result<Option<Record>, TransportError> {
        self.send(self.server.get(table, id), None).await
    }

    async fn page(
        &self,
        table: &TableName,
        query: &Query,
        cursor: Option<&PageCursor>,
    ) -> Result<RemotePage, TransportError> {
        self.send(self.server.page(table, query, cursor), None)
            .await
    }

    fn capabilities(&self) -> TransportCapabilities {
        self.server.capabilities()
    }
}
