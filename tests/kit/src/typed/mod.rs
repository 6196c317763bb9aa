//! Typed members: what a server of declared classes makes of the JSON that it is sent.
//!
//! A server that keeps records as they come hides a danger: clients may compare what they sent with what is there. The genuine
//! servers for .NET have classes with typed members. Members that are left out come back with a default, members that the
//! class does not have are gone, and times, GUIDs and numbers come back in a spelling of the server's own. A [`Model`] does the
//! same to any record, in the spelling of either [`Flavour`].
//!
//! ```
//! use synctable_testkit::typed::{Flavour, Kind, Model};
//!
//! let model = Model::new("Memo").with("done", Kind::Bool).with("when", Kind::Instant);
//! let sent = r#"{"when":"2026-01-01T06:15:00.1234567+05:30","nosuch":1}"#;
//! let kept = model.take(Flavour::Toolkit, sent, None).unwrap();
//! assert_eq!(kept.body, r#"{"done":false,"when":"2026-01-01T00:45:00.123Z"}"#);
//! ```

mod convert;
mod members;
mod model;
mod query;
mod refusal;
mod spell;

pub use model::{Kind, Model, Taken};
pub use refusal::Refusal;

/// Which of the two genuine servers a fixture behaves like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// The server of the Datasync Toolkit (dialect `toolkit`).
    Toolkit,
    /// The last server of Azure Mobile Apps (dialect `zumo3`).
    Zumo3,
}

impl Flavour {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Toolkit, Self::Zumo3];

    /// A text as this server writes it in JSON, with its quotes: the Toolkit escapes all that is not ASCII or has a meaning in HTML.
    pub fn text(self, text: &str) -> String {
        spell::text(self, text)
    }

    /// A point in time as this server writes it, cut to milliseconds.
    pub fn instant(self, time: synctable_core::Timestamp) -> String {
        spell::instant(self, time)
    }
}
