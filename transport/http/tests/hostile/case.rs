//! A case: what a server says, and what each call must come to.

use synctable_core::transport::TransportErrorKind as Kind;

use crate::answer::{Answer, Script, json};
use crate::server::Request;

/// What is asked of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// A pull under a name, which asks for what has changed.
    Pull,
    /// A pull of a window, which follows the server's next links.
    Window,
    Insert,
    Update,
    Delete,
    Get,
}

impl Call {
    pub(crate) const ALL: [Self; 6] = [
        Self::Pull,
        Self::Window,
        Self::Insert,
        Self::Update,
        Self::Delete,
        Self::Get,
    ];

    pub(crate) fn is_pull(self) -> bool {
        matches!(self, Self::Pull | Self::Window)
    }
}

/// What a call comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Want {
    /// A read, or a push of one operation, that fails: nothing has changed here.
    Fails(Kind),
    /// A pull: the ids that are new here, how many rows were no records, and how it ends.
    Brings(String, usize, End),
    /// The operation is done.
    Done,
    /// The operation is parked as a conflict.
    Conflict,
    /// The operation is parked as refused.
    Rejected,
    /// The record was read.
    Found,
    /// The record is not there.
    Missing,
}

/// How a pull ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Whole,
    Fails(Kind),
    /// It is given up, as it would not end.
    Stuck,
    /// It cannot be done with these rows.
    Unfit,
}

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) script: Script,
    wants: [Want; 6],
    /// The most requests of one call.
    pub(crate) requests: usize,
    /// The server would not end a request: it may not take long.
    pub(crate) quick: bool,
    /// The most rows that the window asks for.
    pub(crate) top: Option<u64>,
    /// Where the pull under a name must stand at its end.
    pub(crate) position: Option<&'static str>,
    /// Records that were here before and may be changed.
    pub(crate) touches: &'static str,
}

impl Case {
    /// Everything fails as what no table server says, but for what is said otherwise.
    pub(crate) fn new(name: impl Into<String>, answer: Answer) -> Self {
        Self::scripted(name, Script::Always(answer))
    }

    pub(crate) fn each(name: impl Into<String>, answers: Vec<Answer>) -> Self {
        Self::scripted(name, Script::Each(answers))
    }

    pub(crate) fn by(name: impl Into<String>, script: fn(usize, &Request) -> Answer) -> Self {
        Self::scripted(name, Script::By(script))
    }

    /// A row that is as good as any.
    pub(crate) fn row(name: impl Into<String>, row: impl Into<String>) -> Self {
        Self::row_in(name, json(200, row))
    }

    pub(crate) fn row_in(name: impl Into<String>, answer: Answer) -> Self {
        Self::scripted(name, Script::Row(answer))
            .pulls("x y z", 0, End::Whole)
            .writes(Want::Done)
            .get(Want::Found)
    }

    /// The row is no record: left out of a page, and no answer to anything else.
    pub(crate) fn bad(self) -> Self {
        self.pulls("y z", 1, End::Whole)
            .writes(Want::Fails(Kind::Protocol))
            .get(Want::Fails(Kind::Protocol))
    }

    /// A row of another id: rows like any in a page, and no answer to anything but an insert, which it says is kept under that id.
    pub(crate) fn other(self) -> Self {
        self.bad().insert(Want::Rejected)
    }

    fn scripted(name: impl Into<String>, script: Script) -> Self {
        let nothing = Want::Brings(String::new(), 0, End::Fails(Kind::Protocol));
        let fails = Want::Fails(Kind::Protocol);
        Self {
            name: name.into(),
            script,
            wants: [
                nothing.clone(),
                nothing,
                fails.clone(),
                fails.clone(),
                fails.clone(),
                fails,
            ],
            requests: 4,
            quick: false,
            top: None,
            position: None,
            touches: "",
        }
    }

    pub(crate) fn want(&self, call: Call) -> &Want {
        &self.wants[call as usize]
    }

    fn set(mut self, calls: &[Call], want: &Want) -> Self {
        for call in calls {
            self.wants[*call as usize] = want.clone();
        }
        self
    }

    /// Every call fails with this kind.
    pub(crate) fn fails(self, kind: Kind) -> Self {
        self.pulls("", 0, End::Fails(kind))
            .writes(Want::Fails(kind))
            .get(Want::Fails(kind))
    }

    /// Both pulls bring the same.
    pub(crate) fn pulls(self, new: &str, invalid: usize, end: End) -> Self {
        self.pull(new, invalid, end).window(new, invalid, end)
    }

    pub(crate) fn pull(self, new: &str, invalid: usize, end: End) -> Self {
        self.set(&[Call::Pull], &Want::Brings(new.to_owned(), invalid, end))
    }

    pub(crate) fn window(self, new: &str, invalid: usize, end: End) -> Self {
        self.set(&[Call::Window], &Want::Brings(new.to_owned(), invalid, end))
    }

    #[expect(clippy::needless_pass_by_value, reason = "reads better in a table")]
    pub(crate) fn writes(self, want: Want) -> Self {
        self.set(&[Call::Insert, Call::Update, Call::Delete], &want)
    }

    #[expect(clippy::needless_pass_by_value, reason = "reads better in a table")]
    pub(crate) fn insert(self, want: Want) -> Self {
        self.set(&[Call::Insert], &want)
    }

    #[expect(clippy::needless_pass_by_value, reason = "reads better in a table")]
    pub(crate) fn delete(self, want: Want) -> Self {
        self.set(&[Call::Delete], &want)
    }

    #[expect(clippy::needless_pass_by_value, reason = "reads better in a table")]
    pub(crate) fn get(self, want: Want) -> Self {
        self.set(&[Call::Get], &want)
    }

    pub(crate) fn requests(mut self, most: usize) -> Self {
        self.requests = most;
        self
    }

    pub(crate) fn quick(mut self) -> Self {
        self.quick = true;
        self
    }

    pub(crate) fn top(mut self, rows: u64) -> Self {
        self.top = Some(rows);
        self
    }

    pub(crate) fn position(mut self, time: &'static str) -> Self {
        self.position = Some(time);
        self
    }

    pub(crate) fn touches(mut self, ids: &'static str) -> Self {
        self.touches = ids;
        self
    }
}
