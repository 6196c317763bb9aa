//! An attack: the bytes of one connection, and which answers it may get before the server ends it.

/// What a client does after its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// Waits for the end.
    Wait,
    /// Ends its own side, and reads on.
    HalfClose,
    /// Sends one more byte now and then.
    Drip,
    /// Sends the same bytes for ever, and reads on.
    Repeat,
    /// Sends the same bytes for ever, and reads nothing.
    Deaf,
}

#[derive(Debug, Clone)]
pub(crate) struct Attack {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) after: After,
    /// The statuses of the answers; then the server ends the connection. `None`: whatever they are.
    pub(crate) statuses: Option<Vec<u16>>,
}

impl Attack {
    pub(crate) fn new(name: &str, bytes: impl Into<Vec<u8>>, statuses: &[u16]) -> Self {
        Self {
            name: name.to_owned(),
            bytes: bytes.into(),
            after: After::Wait,
            statuses: Some(statuses.to_vec()),
        }
    }

    /// One whole request for a target, after which the connection ends.
    pub(crate) fn get(name: &str, target: &str, status: u16) -> Self {
        Self::request(name, "GET", target, "", "", status)
    }

    /// One whole request with lines of headers and a body.
    pub(crate) fn request(
        name: &str,
        method: &str,
        target: &str,
        headers: &str,
        body: &str,
        status: u16,
    ) -> Self {
        let length = body.len();
        let typed = "content-type: application/json";
        let bytes = format!(
            "{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{typed}\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        );
        Self::new(name, bytes, &[status])
    }

    pub(crate) fn then(mut self, after: After) -> Self {
        self.after = after;
        self
    }

    pub(crate) fn any_statuses(mut self) -> Self {
        self.statuses = None;
        self
    }
}
