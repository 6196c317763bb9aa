//! Next links that are nearly right, and any text at all.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, Uri};
use proptest::prelude::*;
use serde_json::json;
use synctable_core::TableName;
use synctable_core::query::{RemoteQuery, field};
use synctable_core::transport::{PageCursor, RemotePage, Transport as _, TransportError};
use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::page::fuzz::mutate::{mutated_text, try_many};
use crate::{Exchange, HttpTransport};

const LINKS: [&str; 7] = [
    "https://example.com:8443/api/tables/todo?$skip=5&$filter=id%20eq%20%27a%27",
    "http://internal/tables/todo?$filter=title ne '\u{20ac} %26 %2B%23'&$count=true&$skip=7&$top=1",
    "/api/tables/todo?$skiptoken=abc%2F",
    "?$skip=5",
    "$skip=5&$top=3",
    "//example.com:8443/api/tables/todo?$skip=5",
    "https://user@example.com:8443/api/tables/todo?$skip=5#x",
];

const WORDS: [&str; 26] = [
    "http://",
    "https://",
    "//",
    "/",
    "\\",
    "@",
    ":",
    ":80",
    "?",
    "#",
    "..",
    "%2e",
    "%2f",
    "%",
    "evil.example",
    ".",
    "[::1]",
    " ",
    "\r\n",
    "\0",
    "\u{e9}",
    "=",
    "&",
    "$top=0",
    "&$filter=1",
    "token=",
];

/// A server that gives this next link with every page, and what it was asked.
#[derive(Debug, Default)]
struct Linking {
    link: Mutex<String>,
    asked: Mutex<Vec<Uri>>,
}

#[async_trait]
impl Exchange for Linking {
    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push(request.uri().clone());
        let link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        let page = json!({"items": [{"id": "a"}], "nextLink": *link});
        Ok(Response::new(page.to_string().into()))
    }
}

/// The query without what says where a page starts.
fn standing(uri: &Uri) -> Vec<&str> {
    let parameters = uri.query().unwrap_or_default().split('&');
    let position = |text: &str| {
        let name = text.split('=').next().unwrap_or_default();
        name == "$skip" || name == "$top" || is_token(name)
    };
    parameters.filter(|text| !position(text)).collect()
}

/// Whatever the link: there is more, and it is asked for at the same place and with the same filter as before.
fn holds(
    runtime: &Runtime,
    server: &Linking,
    transport: &HttpTransport,
    link: &str,
) -> Result<(), TestCaseError> {
    link.clone_into(&mut server.link.lock().unwrap());
    server.asked.lock().unwrap().clear();
    let fail = |error: TransportError| TestCaseError::fail(error.to_string());
    let table = TableName::new("todo").unwrap();
    let query = RemoteQuery::all()
        .filter(field("title").ne("a & '\u{e9}'"))
        .order_by("title")
        .top(9)
        .include_deleted();
    let ask = |cursor: Option<&PageCursor>| -> Result<RemotePage, TestCaseError> {
        let asking = transport.page(&table, &query, cursor);
        runtime.block_on(asking).map_err(fail)
    };
    let page = ask(None)?;
    prop_assert_eq!(page.last, link.is_empty());
    if let Some(cursor) = &page.next {
        prop_assert!(!link.is_empty());
        prop_assert!(!ask(Some(cursor))?.last);
        let asked = server.asked.lock().unwrap();
        let (first, second) = (&asked[0], &asked[1]);
        prop_assert_eq!(first.scheme(), second.scheme());
        prop_assert_eq!(first.authority(), second.authority());
        prop_assert_eq!(first.path(), second.path());
        prop_assert_eq!(standing(first), standing(second));
        let query = second.query().unwrap_or_default();
        prop_assert!(query.bytes().all(|b| b.is_ascii_graphic() && b != b'#'));
        prop_assert_eq!(query.matches("$filter=").count(), 1);
        let again = Place::of(cursor.as_str()).map(|place| place.to_string());
        prop_assert_eq!(again.as_deref(), Some(cursor.as_str()));
    }
    Ok(())
}

fn linking() -> (Runtime, Arc<Linking>, HttpTransport) {
    let server = Arc::new(Linking::default());
    let transport = HttpTransport::builder("https://example.com:8443/api")
        .exchange(Arc::clone(&server) as Arc<dyn Exchange>)
        .build();
    let runtime = Builder::new_current_thread().build();
    (runtime.unwrap(), server, transport.unwrap())
}

#[test]
fn links_that_are_nearly_right() {
    let (runtime, server, transport) = linking();
    try_many(2_500, &mutated_text(&LINKS, &WORDS), |link| {
        holds(&runtime, &server, &transport, &link)
    });
}

#[test]
fn any_text_is_a_link() {
    let (runtime, server, transport) = linking();
    try_many(2_500, &any::<String>(), |link| {
        holds(&runtime, &server, &transport, &link)
    });
}
