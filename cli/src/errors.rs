//! How a command ends: exit codes, and one line about what went wrong.

use std::error::Error as StdError;
use std::io::{self, Write as _};
use std::process::ExitCode;

use synctable::kv::files::TOO_MANY_FILES;
use synctable::query::odata::ODataError;
use synctable::store::{StoreError, StoreErrorKind};
use synctable::transport::{TransportError, TransportErrorKind};
use synctable::{Error, ErrorKind, NameError, RecordError, SchemaError, brief};

use crate::plain::one_line;
use crate::rounds::PushLine;

/// A command that did what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// Nothing is left to do.
    All,
    /// Conflicts or rejected operations wait for a decision, or failed ones for a later push.
    WithLeftovers,
}

impl Done {
    /// Done, and whether something is left.
    pub(crate) fn leaving(leftovers: bool) -> Self {
        if leftovers {
            Self::WithLeftovers
        } else {
            Self::All
        }
    }
}

impl From<Done> for ExitCode {
    fn from(done: Done) -> Self {
        match done {
            Done::All => Self::SUCCESS,
            Done::WithLeftovers => Self::from(3),
        }
    }
}

/// What is said where the server's address is missing.
pub(crate) const NO_REMOTE: &str = "the store knows no server; give --remote URL once";

/// Why a command failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Failed,
    /// The store could not be written.
    NotWritten,
    BadInput,
    /// The server or the account is another one, and nobody has said what that means.
    Undecided,
    /// The remote cannot be reached, cannot answer now, or wants the user to sign in.
    NoRemote,
}

/// A command that failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nobody reads the output any more; there is nothing to say and no one to say it to.
    OutputClosed,
    Said {
        cause: Cause,
        message: String,
    },
}

impl Failure {
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Cause::Failed, message)
    }

    pub(crate) fn bad_input(message: impl Into<String>) -> Self {
        Self::new(Cause::BadInput, message)
    }

    pub(crate) fn new(cause: Cause, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::Said { cause, message }
    }

    /// True where a store could not be written, or perhaps not even be found.
    pub(crate) fn is_of_writing(&self) -> bool {
        matches!(
            self,
            Self::Said {
                cause: Cause::NotWritten,
                ..
            }
        )
    }

    /// True where what was given is at fault.
    pub(crate) fn is_of_input(&self) -> bool {
        matches!(
            self,
            Self::Said {
                cause: Cause::BadInput,
                ..
            }
        )
    }

    /// True where somebody has to say what another server or account means.
    pub(crate) fn is_undecided(&self) -> bool {
        matches!(
            self,
            Self::Said {
                cause: Cause::Undecided,
                ..
            }
        )
    }

    /// An error that does not end the command, as a line tells it.
    pub(crate) fn told(error: &dyn StdError) -> Self {
        Self::failed(with_sources(error))
    }

    /// The message.
    pub(crate) fn message(&self) -> &str {
        match self {
            Self::OutputClosed => "",
            Self::Said { message, .. } => message,
        }
    }

    /// Says it on standard error and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        match self {
            Self::OutputClosed => ExitCode::SUCCESS,
            Self::Said { cause, message } => {
                say(&format!("error: {message}"));
                ExitCode::from(match cause {
                    Cause::Failed | Cause::NotWritten => 1,
                    Cause::BadInput | Cause::Undecided => 2,
                    Cause::NoRemote => 4,
                })
            }
        }
    }

    /// With words in front of the message.
    pub(crate) fn within(self, place: &str) -> Self {
        match self {
            Self::Said { cause, message } => Self::new(cause, format!("{place}: {message}")),
            closed @ Self::OutputClosed => closed,
        }
    }

    /// With what else there is to say. The cause stays.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (
                Self::Said { cause, message },
                Self::Said {
                    message: further, ..
                },
            ) => Self::new(cause, format!("{message}; {further}")),
            _ => Self::OutputClosed,
        }
    }
}

/// The most characters of a line on standard error.
const LONGEST: usize = 1000;

/// Prints a line on standard error; where that is closed there is nobody to tell.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{}", one_line(&brief(line, LONGEST)));
}

/// The message of an error and of those behind it that say something new.
fn with_sources(error: &dyn StdError) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let text = error.to_string();
        if !message.contains(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        source = error.source();
    }
    message
}

fn cause(error: &Error) -> Cause {
    match error {
        Error::Store(error) => store_cause(error),
        Error::PushStopped { source, .. } => cause(source),
        error => match error.kind() {
            ErrorKind::Input => Cause::BadInput,
            ErrorKind::OtherServer | ErrorKind::OtherAccount => Cause::Undecided,
            ErrorKind::Offline | ErrorKind::SignIn | ErrorKind::Server => Cause::NoRemote,
            _ => Cause::Failed,
        },
    }
}

fn store_cause(error: &StoreError) -> Cause {
    match error.kind() {
        StoreErrorKind::Schema | StoreErrorKind::WeakPassphrase => Cause::BadInput,
        StoreErrorKind::Io if error.to_string().contains(TOO_MANY_FILES) => Cause::Failed,
        // Not every engine says whether permission or room was the reason.
        StoreErrorKind::Permission | StoreErrorKind::Full | StoreErrorKind::Io => Cause::NotWritten,
        _ => Cause::Failed,
    }
}

fn message(error: &Error) -> String {
    match error {
        Error::Cancelled => "cancelled; nothing is lost".into(),
        Error::Transport(error) if error.kind() == TransportErrorKind::Missing => NO_REMOTE.into(),
        Error::PushStopped { report, source } => {
            let counts = PushLine::from(&**report).counts();
            format!("{} ({counts})", message(source))
        }
        error if error.needs_sign_in() => {
            format!("a sign-in is needed: {}", with_sources(error))
        }
        Error::ServerChanged { was, now } => format!(
            "the server ({now}) is not the one that the store belongs to ({was}); give --same-server if it is the same one all the \
             same, or --new-server to remove what came from the one before and start anew"
        ),
        Error::AccountChanged { was, now } => {
            let name = |name: &Option<String>| match name {
                Some(name) => format!("the account '{name}'"),
                None => "no account".into(),
            };
            format!(
                "the store belongs to {}, not to {}; give --keep-data if it is the same user, or --switch-account to remove what \
                 belongs to the one before and start anew",
                name(was),
                name(now)
            )
        }
        Error::NotPushed { count } => format!(
            "{count} queued changes would be lost; push them to where they belong, or give --discard to drop them"
        ),
        Error::IsConflict { seq } => format!(
            "operation {seq} is in conflict; see synctable conflicts, then end it with synctable resolve {seq} \
             --server, --client, --merge or --with JSON"
        ),
        Error::OtherId { seq, id } => format!(
            "the server keeps the record of operation {seq} under another id, '{id}'; take it over with synctable resolve {seq} --server"
        ),
        error => with_sources(error),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(cause(&error), message(&error))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(store_cause(&error), with_sources(&error))
    }
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        Self::from(Error::from(error))
    }
}

/// An error of standard output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::failed(format!("the output cannot be written: {error}")),
        }
    }
}

macro_rules! bad_input {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::new(Cause::BadInput, with_sources(&error))
            }
        }
    )*};
}
bad_input!(NameError, RecordError, SchemaError, ODataError);
