//! What a hostile server says: whole answers, or any bytes, with its own and a foreign address filled in.

use crate::server::{Reply, Request};

/// An answer before the addresses are known: `{own}` and `{foreign}` stand for two hosts
/// with ports, `{port}` for its own port.
#[derive(Clone)]
pub(crate) struct Answer {
    head: Option<(u16, Vec<(String, String)>)>,
    body: Vec<u8>,
    then: fn(Reply) -> Reply,
}

/// Any bytes, then the end of the connection.
pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Answer {
    Answer {
        head: None,
        body: bytes.into(),
        then: Reply::and_close,
    }
}

/// An answer with a JSON body.
pub(crate) fn json(status: u16, body: impl Into<String>) -> Answer {
    Answer {
        head: Some((status, Vec::new())),
        body: body.into().into_bytes(),
        then: |reply| reply,
    }
    .with("content-type", "application/json")
}

/// A page of these rows.
pub(crate) fn rows(rows: &str) -> Answer {
    json(200, format!(r#"{{"items":[{rows}]}}"#))
}

/// A page of one good row `x` with a next link.
pub(crate) fn linked(link: &str) -> Answer {
    let link = serde_json::Value::from(link);
    json(200, format!(r#"{{"items":[{X}],"nextLink":{link}}}"#))
}

/// A good row.
pub(crate) const X: &str =
    r#"{"id":"x","version":"x1","updatedAt":"2026-02-01T00:00:00.000Z","title":"X"}"#;

/// A good row with any id.
pub(crate) fn good(id: &str) -> String {
    X.replace(r#""id":"x""#, &format!(r#""id":"{id}""#))
}

impl Answer {
    /// With a header.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        let (_, headers) = self.head.as_mut().expect("an answer with a head");
        headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Says nothing more, and keeps the connection open.
    pub(crate) fn and_hang(mut self) -> Self {
        self.then = Reply::and_hang;
        self
    }

    /// Says the same for ever.
    pub(crate) fn for_ever(mut self) -> Self {
        self.then = Reply::for_ever;
        self
    }

    /// Says blanks for ever, slowly.
    pub(crate) fn and_drip(mut self) -> Self {
        self.then = Reply::and_drip;
        self
    }

    /// This row as the answer to a request.
    fn about(&self, request: &Request) -> Self {
        let row = std::str::from_utf8(&self.body).expect("JSON is UTF-8");
        let path = request.target.split('?').next().unwrap_or_default();
        let body = match (request.method.as_str(), path.rsplit('/').next()) {
            ("GET", Some("todo")) => {
                let (row, y, z) = (row.replace("{id}", "x"), good("y"), good("z"));
                format!(r#"{{"items":[{y},{row},{z}]}}"#)
            }
            ("POST", _) => row.replace("{id}", "new"),
            (_, id) => row.replace("{id}", id.unwrap_or_default()),
        };
        Self {
            body: body.into_bytes(),
            ..self.clone()
        }
    }

    fn reply(&self, own: &str, foreign: &str) -> Reply {
        let port = own.rsplit(':').next().unwrap_or_default();
        let fill = |text: &str| {
            let text = text.replace("{own}", own).replace("{port}", port);
            text.replace("{foreign}", foreign)
        };
        let reply = match &self.head {
            None => Reply::raw(self.body.clone()),
            Some((status, headers)) => {
                let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), fill(v))).collect();
                let headers: Vec<_> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
                let body = std::str::from_utf8(&self.body).expect("JSON is UTF-8");
                Reply::with(*status, &headers, &fill(body))
            }
        };
        (self.then)(reply)
    }
}

/// What a server says to the requests of one call.
#[derive(Clone)]
pub(crate) enum Script {
    /// The same to all.
    Always(Answer),
    /// One after the other; the last one for ever.
    Each(Vec<Answer>),
    /// What it makes of the request, and how many came before it.
    By(fn(usize, &Request) -> Answer),
    /// A row, with `{id}` for the id that was asked for: alone, or as `x` in a page between the good rows `y` and `z`.
    Row(Answer),
}

impl Script {
    pub(crate) fn reply(&self, number: usize, request: &Request, foreign: &str) -> Reply {
        let own = request.header("host").unwrap_or_default();
        let answer = match self {
            Self::Always(answer) => answer.clone(),
            Self::Each(answers) => answers[number.min(answers.len() - 1)].clone(),
            Self::By(script) => script(number, request),
            Self::Row(answer) => answer.about(request),
        };
        answer.reply(own, foreign)
    }
}
