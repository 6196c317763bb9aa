//! What is so in a dialect, whoever speaks it.

/// How a client is told where the next page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// A bare query string in the body.
    Query,
    /// Path and query in the body.
    Path,
    /// A whole URL in the body.
    Url,
    /// A whole URL in the header `Link`.
    Header,
}

/// What is so in a dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DialectFacts {
    /// What people call it.
    pub name: &'static str,
    /// The largest `$top` of a server that is not set otherwise, where its clients must keep to one.
    pub most_top: Option<u32>,
    /// The form of next links, where a client asks for no other.
    pub links: Links,
}

/// That of the Datasync Toolkit.
pub const TOOLKIT: DialectFacts = DialectFacts {
    name: "toolkit",
    most_top: None,
    links: Links::Query,
};

/// That of Azure Mobile Apps with protocol version 2.
pub const ZUMO2: DialectFacts = DialectFacts {
    name: "zumo2",
    most_top: Some(1000),
    links: Links::Header,
};

/// That of Azure Mobile Apps with protocol version 3.
pub const ZUMO3: DialectFacts = DialectFacts {
    name: "zumo3",
    most_top: None,
    links: Links::Url,
};
