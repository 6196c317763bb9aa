//! The line between a client and the server: requests and answers are lost, doubled, late, cut off and refused.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use synctable_core::threads::{BoxFuture, MaybeSend, MaybeSync};
use synctable_core::transport::{TransportError, TransportErrorKind};
use tokio::task::yield_now;

use super::dice::Dice;
use super::trouble::Trouble;
use crate::engine::of_status;
use crate::threads::InABox;

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

/// The line of one client to the server: a [`FarSide`](super::FarSide) sends every request over it.
#[derive(Debug, Clone)]
pub struct Line {
    weather: Arc<Mutex<Weather>>,
    dice: Arc<Mutex<Dice>>,
}

/// How a line treats a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Errand {
    /// It changes nothing.
    Read,
    /// It changes something. It may arrive twice.
    Change,
    /// As [`Change`](Self::Change); it may also arrive long after the client has given it up.
    ChangeEvenLate,
}

impl Errand {
    /// How a request is treated that does all of this: as the most careful of them wants.
    pub fn of_all(errands: impl IntoIterator<Item = Self>) -> Self {
        errands.into_iter().min().unwrap_or(Self::Read)
    }
}

/// Why there is no answer of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoAnswer {
    /// The connection was not made: nothing was sent.
    Offline,
    /// The connection broke.
    Broken,
    /// Nothing came in time.
    Timeout,
    /// Something on the way answered with this HTTP status.
    Status(u16),
}

/// An answer that can go wrong on the way to the client.
pub trait Answer: MaybeSend + Sized {
    /// What the client gets in place of an answer.
    fn none(why: NoAnswer) -> Self;

    /// The answer without its end: about this many of 1000 bytes are left.
    #[must_use]
    fn cut(self, permille: usize) -> Self;
}

impl NoAnswer {
    /// The error that a transport makes of it.
    pub fn error(self) -> TransportError {
        use TransportErrorKind as Kind;
        match self {
            Self::Offline => TransportError::new(Kind::Unreachable, "there is no connection"),
            Self::Broken => TransportError::new(Kind::Broken, "the connection broke"),
            Self::Timeout => TransportError::new(Kind::Timeout, "no answer in time"),
            Self::Status(status) => {
                TransportError::new(of_status(status), "the server refuses").with_status(status)
            }
        }
    }
}

/// Whole answers, for servers that are transports themselves.
impl<T: MaybeSend> Answer for Result<T, TransportError> {
    fn none(why: NoAnswer) -> Self {
        Err(why.error())
    }

    fn cut(self, _permille: usize) -> Self {
        let message = "the answer is cut off";
        Err(TransportError::new(TransportErrorKind::Protocol, message))
    }
}

impl Line {
    pub(crate) fn new(weather: Arc<Mutex<Weather>>, dice: Arc<Mutex<Dice>>) -> Self {
        Self { weather, dice }
    }

    /// A line on which nothing goes wrong and nothing takes time.
    pub fn calm() -> Self {
        Self::new(Arc::default(), Arc::new(Mutex::new(Dice::new(0))))
    }

    fn weather(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dice(&self) -> MutexGuard<'_, Dice> {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings a request to the server and its answer back. `serve` is one arrival at the server: there may be none, one or two,
    /// now or later.
    pub async fn carry<A: Answer + 'static>(
        &self,
        errand: Errand,
        serve: impl Fn() -> BoxFuture<'static, A> + MaybeSend + MaybeSync,
    ) -> A {
        // The dice are thrown in any case, so that a history with one trouble less goes the same way up to where it counts.
        let late = self.dice().permille(30) && self.weather().troubles.contains(&Trouble::Late);
        if late && errand == Errand::ChangeEvenLate {
            let arrival = serve().map(drop).in_a_box();
            self.weather().late.0.push(arrival);
            return A::none(NoAnswer::Timeout);
        }
        self.pass().await;
        let trouble = self.trouble();
        let choice = self.dice().below(1000);
        match trouble {
            Some(Trouble::LostRequest) if choice.is_multiple_of(2) => {
                return A::none(NoAnswer::Offline);
            }
            Some(Trouble::LostRequest) => return A::none(NoAnswer::Broken),
            Some(Trouble::Unavailable) => return A::none(NoAnswer::Status(unavailable(choice))),
            Some(Trouble::Unauthorized) => return A::none(NoAnswer::Status(401)),
            _ => {}
        }
        let answer = serve().await;
        if trouble == Some(Trouble::Doubled) && errand != Errand::Read {
            // Whatever the server says to the second one, the client has its answer.
            serve().map(drop).await;
        }
        self.pass().await;
        match trouble {
            Some(Trouble::LostAnswer) => A::none(NoAnswer::Timeout),
            Some(Trouble::Reset) => A::none(NoAnswer::Broken),
            Some(Trouble::Gateway) => A::none(NoAnswer::Status(unavailable(choice))),
            Some(Trouble::CutAnswer) => answer.cut(choice),
            _ => answer,
        }
    }

    /// Takes some turns.
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
        let (hit, kind) = (
            dice.permille(weather.permille),
            dice.below(Trouble::OF_REQUESTS.len()),
        );
        let trouble = Trouble::OF_REQUESTS[kind];
        (hit && weather.troubles.contains(&trouble)).then_some(trouble)
    }
}

/// One of the statuses that ask to come back later.
fn unavailable(choice: usize) -> u16 {
    [503, 500, 502, 504, 429, 408][choice % 6]
}
