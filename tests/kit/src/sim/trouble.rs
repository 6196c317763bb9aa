//! What can go wrong in a history.

use std::fmt;
use std::str::FromStr;

/// A kind of trouble. Each history has a random choice of them, so that rare combinations are met more often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Trouble {
    /// A request never arrives.
    LostRequest,
    /// Everything is done, but no answer arrives in time.
    LostAnswer,
    /// Everything is done, but the connection is reset before the answer.
    Reset,
    /// A request arrives twice.
    Doubled,
    /// A request arrives after the client has given it up.
    Late,
    /// Everything is done, but the answer is cut off.
    CutAnswer,
    /// The server asks to come back later (408, 429, 5xx), and nothing is done.
    Unavailable,
    /// Everything is done, but something on the way answers with such a status.
    Gateway,
    /// The credentials are refused (401).
    Unauthorized,
    /// Calls of a client's store fail.
    Disk,
    /// Clients crash and start again.
    Crash,
    /// Clients give up calls, and disks do commits that were given up later, perhaps long after.
    LateCommit,
    /// Clocks jump.
    Clock,
    /// Others change rows at the server.
    Others,
    /// Programs open a second context over their store, and close one while the other goes on.
    Contexts,
    /// Clients ask a person about conflicts, who takes longer than any lease lasts.
    Handlers,
}

impl Trouble {
    /// All kinds.
    pub const ALL: [Self; 16] = [
        Self::LostRequest,
        Self::LostAnswer,
        Self::Reset,
        Self::Doubled,
        Self::Late,
        Self::CutAnswer,
        Self::Unavailable,
        Self::Gateway,
        Self::Unauthorized,
        Self::Disk,
        Self::Crash,
        Self::LateCommit,
        Self::Clock,
        Self::Others,
        Self::Contexts,
        Self::Handlers,
    ];

    /// Those that befall requests.
    pub(crate) const OF_REQUESTS: [Self; 9] = [
        Self::LostRequest,
        Self::LostAnswer,
        Self::Reset,
        Self::Doubled,
        Self::Late,
        Self::CutAnswer,
        Self::Unavailable,
        Self::Gateway,
        Self::Unauthorized,
    ];
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl FromStr for Trouble {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = |trouble: &Self| trouble.to_string() == text;
        let found = Self::ALL.into_iter().find(named);
        found.ok_or_else(|| format!("'{text}' is no kind of trouble"))
    }
}
