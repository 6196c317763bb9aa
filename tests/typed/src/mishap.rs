//! What can go wrong with a request on its way.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use http::Request;

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mishap {
    /// No connection is made: nothing is sent.
    Offline,
    /// It is sent and never arrives.
    LoseRequest,
    /// Everything is done, but no answer arrives.
    LoseAnswer,
    /// Nothing is done, and something on the way answers with this status.
    Refuse(u16),
    /// Everything is done, but something on the way answers with this status.
    AnswerInstead(u16),
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// No connection was made.
    Connection,
    /// The request never arrived.
    Request,
    /// The request had its effect; the answer did not arrive.
    Answer,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection => "no connection is made",
            Self::Request => "the request is lost",
            Self::Answer => "the answer is lost",
        })
    }
}

impl std::error::Error for Lost {}

type Rule = Box<dyn Fn(&Request<Bytes>) -> Option<Mishap> + Send>;

/// What is going to go wrong.
#[derive(Default)]
pub(crate) struct Plan {
    /// Requests that were made, those that never arrived too.
    pub(crate) made: usize,
    pub(crate) by_number: BTreeMap<usize, Mishap>,
    pub(crate) rule: Option<Rule>,
}

impl Plan {
    /// What goes wrong with this request, the next one.
    pub(crate) fn next(&mut self, request: &Request<Bytes>) -> Option<Mishap> {
        let number = self.made;
        self.made += 1;
        let planned = self.by_number.remove(&number);
        planned.or_else(|| self.rule.as_ref().and_then(|rule| rule(request)))
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests, {:?}", self.made, self.by_number)
    }
}
