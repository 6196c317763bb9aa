//! Things that are under way.

use crate::threads::InABox;
use std::cmp::Ordering;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt;
use synctable_core::threads::BoxFuture;

use super::client::Seat;

/// Something that a client does, or a request that arrives late.
pub(crate) struct Task {
    /// Nobody's, where it is a late request.
    pub(crate) of: Option<Seat>,
    /// It waits for the answer of a person.
    asks: bool,
    work: BoxFuture<'static, Result<(), String>>,
}

impl Task {
    pub(crate) fn new(of: Seat, work: BoxFuture<'static, Result<(), String>>) -> Self {
        Self {
            of: Some(of),
            asks: false,
            work,
        }
    }

    /// A request that nobody waits for any more.
    pub(crate) fn late(request: BoxFuture<'static, ()>) -> Self {
        Self {
            of: None,
            asks: false,
            work: request.map(Ok).in_a_box(),
        }
    }

    pub(crate) fn is_of_client(&self, number: usize) -> bool {
        self.of.is_some_and(|seat| seat.client == number)
    }

    pub(crate) fn asks(&self) -> bool {
        self.asks
    }

    /// Notes how many questions of its client were open before its last turn and after.
    pub(crate) fn asked(&mut self, before: usize, after: usize) {
        self.asks = match before.cmp(&after) {
            Ordering::Less => true,
            Ordering::Equal => self.asks,
            Ordering::Greater => false,
        };
    }

    /// Goes one turn further; a panic is a finding.
    pub(crate) fn poll(&mut self) -> Option<Result<(), String>> {
        let mut context = Context::from_waker(Waker::noop());
        let work = Pin::new(&mut self.work);
        match std::panic::catch_unwind(AssertUnwindSafe(|| work.poll(&mut context))) {
            Ok(Poll::Pending) => None,
            Ok(Poll::Ready(outcome)) => Some(outcome),
            Err(panic) => {
                let message = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied());
                Some(Err(format!("panicked: {}", message.unwrap_or("?"))))
            }
        }
    }
}
