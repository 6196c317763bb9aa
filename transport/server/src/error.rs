//! Requests that are not done, and how the client learns why.

use http::StatusCode;
use synctable_core::TableName;
use synctable_core::store::{StoreError, StoreErrorKind};

use crate::access::Refusal;

/// A request that is answered with an error: a status and one line of text.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    /// The methods that would do, for 405.
    pub(crate) allow: Option<&'static str>,
    /// The members that are not as declared.
    pub(crate) faults: Vec<Fault>,
}

/// What is wrong with a member.
#[derive(Debug)]
pub(crate) struct Fault {
    /// Its name; empty where it is about the whole record.
    pub(crate) member: String,
    pub(crate) message: String,
    /// The value is none of the declared type.
    pub(crate) mistyped: bool,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            allow: None,
            faults: Vec::new(),
        }
    }

    /// For a record whose members are not as declared.
    pub(crate) fn invalid(faults: Vec<Fault>) -> Self {
        let lines: Vec<String> = faults
            .iter()
            .map(
                |Fault {
                     member, message, ..
                 }| match member.as_str() {
                    "" => message.clone(),
                    member => format!("{member}: {message}"),
                },
            )
            .collect();
        Self {
            faults,
            ..Self::bad_request(lines.join("; "))
        }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(crate) fn unsupported_media(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    }

    pub(crate) fn no_json() -> Self {
        Self::unsupported_media("the body must be sent as 'content-type: application/json'")
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is larger than {limit} bytes; send a smaller record"),
        )
    }

    /// For what was surely not done.
    pub(crate) fn busy(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// For an answer that there is no memory for, as others were not read yet.
    pub(crate) fn crowded() -> Self {
        Self::busy("too many answers wait to be read; try again, or ask for fewer records")
    }

    /// For what may be done: whoever asks has to look before it asks again.
    pub(crate) fn unsure() -> Self {
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "it is not known whether the request was done; look before sending it again",
        )
    }

    pub(crate) fn refused(refusal: Refusal, table: &TableName) -> Self {
        match refusal {
            Refusal::Unauthenticated => Self::new(
                StatusCode::UNAUTHORIZED,
                "it is not known who asks; send a valid token",
            ),
            Refusal::Forbidden => Self::forbidden(),
            Refusal::Hidden => Self::no_table(table),
            Refusal::Unavailable => Self::busy("it cannot be told now who may do this; try later"),
        }
    }

    pub(crate) fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "this may not be done by who asks")
    }

    pub(crate) fn no_record() -> Self {
        Self::not_found("there is no such record")
    }

    pub(crate) fn no_table(table: &TableName) -> Self {
        Self::not_found(format!("there is no table {table}"))
    }

    /// A fault of the server. What it was goes to the log, not to the client.
    pub(crate) fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the server could not do the request; its log says why",
        )
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error.kind() {
            StoreErrorKind::Full => {
                tracing::error!(%error, "store is full");
                Self::new(
                    StatusCode::INSUFFICIENT_STORAGE,
                    "the server has no room for this; try later",
                )
            }
            StoreErrorKind::Unknown | StoreErrorKind::InDoubt => {
                tracing::error!(error = %Chain(&error), "it is not known what is stored");
                Self::unsure()
            }
            StoreErrorKind::OverBudget => Self::bad_request(error.to_string()),
            StoreErrorKind::Gone => {
                tracing::error!(%error, "the store's file is gone");
                Self::busy(
                    "the server's store is gone; nothing was written, whoever runs the server has to look",
                )
            }
            StoreErrorKind::Closed | StoreErrorKind::Locked => {
                tracing::warn!(%error, "store is not available");
                Self::busy("the server's store is not available; try later")
            }
            _ => Self::internal(&Chain(&error)),
        }
    }
}

/// An error with everything that caused it.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let causes = std::iter::successors(self.0.source(), |cause| cause.source());
        for cause in causes {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}
