//! What goes wrong on purpose, and what nobody recorded at the genuine servers.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;
use synctable_typed_server::{Flavour, Kind, Lost, Mishap, Model, TypedServer};

fn server(flavour: Flavour) -> TypedServer {
    let server = TypedServer::new(flavour);
    let memo = Model::new("Memo")
        .with("title", Kind::TEXT)
        .with("rating", Kind::Int32);
    server.declare("memos", memo);
    server
}

fn request(method: &str, path: &str, body: &str) -> Request<Bytes> {
    Request::builder()
        .method(method)
        .uri(format!("http://typed.test/tables/{path}"))
        .header("zumo-api-version", "3.0.0")
        .body(Bytes::from(body.to_owned()))
        .unwrap()
}

fn ask(server: &TypedServer, method: &str, path: &str, body: &str) -> Response<Bytes> {
    server.handle(&request(method, path, body))
}

fn json(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

#[test]
fn requests_and_answers_are_lost_or_replaced() {
    for flavour in Flavour::ALL {
        let server = server(flavour);
        for (number, (mishap, expected, done)) in [
            (Mishap::Offline, Err(Lost::Connection), false),
            (Mishap::LoseRequest, Err(Lost::Request), false),
            (Mishap::LoseAnswer, Err(Lost::Answer), true),
            (Mishap::Refuse(403), Ok(403), false),
            (Mishap::AnswerInstead(503), Ok(503), true),
        ]
        .into_iter()
        .enumerate()
        {
            let id = format!("r{number}");
            let post = request("POST", "memos", &format!(r#"{{"id":"{id}"}}"#));
            server.mishap_at(1, mishap);
            assert_eq!(server.send(&post).unwrap().status(), 201);
            server.delete("memos", &id);
            let put = format!("memos/{id}?__includedeleted=true");
            let put = request("PUT", &put, &format!(r#"{{"id":"{id}"}}"#));
            let answer = server.send(&put).map(|answer| answer.status().as_u16());
            assert_eq!(answer, expected, "{mishap:?}");
            let row = server.row("memos", &id).unwrap();
            assert_eq!(!row.is_deleted(), done, "{mishap:?}");
            assert_eq!(server.effects("memos", &id), 1 + u64::from(done));
        }
    }
}

#[test]
fn one_record_can_fail_every_time() {
    let server = server(Flavour::Toolkit);
    server.mishaps_of("bad", Mishap::Refuse(500));
    let post = |id: &str| {
        let post = request("POST", "memos", &format!(r#"{{"id":"{id}"}}"#));
        server.send(&post).unwrap().status().as_u16()
    };
    assert_eq!([post("bad"), post("good"), post("bad")], [500, 201, 500]);
    let delete = request("DELETE", "memos/bad", "");
    assert_eq!(server.send(&delete).unwrap().status(), 500);
    let get = request("GET", "memos/bad", "");
    assert_eq!(server.send(&get).unwrap().status(), 404);
    server.calm();
    assert_eq!(post("bad"), 201);
    assert_eq!(server.live("memos").len(), 2);
}

/// Each flavour's links, joined with the address as its own client does, lead through all records once.
#[test]
fn next_links_lead_to_the_end() {
    for flavour in Flavour::ALL {
        let server = server(flavour);
        server.set_page(3);
        for number in 0..10 {
            let id = format!("r{number}");
            server.put("memos", &id, r#"{"title":"a & 'é'"}"#).unwrap();
        }
        let filter = "$filter=title%20eq%20'a%20%26%20''%C3%A9'''";
        let mut place = format!("memos?{filter}&$top=8");
        let mut ids = Vec::new();
        loop {
            let page = json(&ask(&server, "GET", &place, ""));
            let items = page["items"].as_array().unwrap();
            ids.extend(items.iter().map(|item| item["id"].clone()));
            let Some(link) = page["nextLink"].as_str() else {
                break;
            };
            place = match flavour {
                Flavour::Toolkit => format!("memos?{link}"),
                Flavour::Zumo3 => {
                    assert!(link.contains("'a %26 ''é'''"), "{link}");
                    let path = link.strip_prefix("http://typed.test/tables/").unwrap();
                    path.replace(' ', "%20").replace('é', "%C3%A9")
                }
            };
        }
        let expected: Vec<String> = (0..8).map(|number| format!("r{number}")).collect();
        assert_eq!(ids, expected, "{flavour:?}");
    }
}

#[test]
fn tables_may_forget_what_is_deleted() {
    for flavour in Flavour::ALL {
        let server = server(flavour);
        server.forget_deleted("memos");
        ask(&server, "POST", "memos", r#"{"id":"a"}"#);
        assert_eq!(ask(&server, "DELETE", "memos/a", "").status(), 204);
        assert_eq!(ask(&server, "DELETE", "memos/a", "").status(), 404);
        assert_eq!(server.row("memos", "a"), None);
        assert_eq!(ask(&server, "POST", "memos", r#"{"id":"a"}"#).status(), 201);
    }
}

/// A part of a record keeps the rest, on a tombstone too; a whole one does not.
#[test]
fn a_merge_keeps_what_it_does_not_name() {
    let server = server(Flavour::Zumo3);
    ask(
        &server,
        "POST",
        "memos",
        r#"{"id":"a","title":"t","rating":3}"#,
    );
    let patched = ask(&server, "PATCH", "memos/a", r#"{"rating":4}"#);
    assert_eq!(json(&patched)["title"], "t");
    server.delete("memos", "a");
    let back = "memos/a?__includedeleted=true";
    let edited = ask(&server, "PATCH", back, r#"{"rating":5}"#);
    assert_eq!(json(&edited)["deleted"], true);
    let revived = ask(&server, "PATCH", back, r#"{"deleted":false}"#);
    assert_eq!(json(&revived)["deleted"], false);
    assert_eq!(json(&revived)["rating"], 5);
    let replaced = ask(&server, "PUT", "memos/a", r#"{"id":"a"}"#);
    assert_eq!(json(&replaced)["title"], Value::Null);
    assert_eq!(
        ask(&server, "PATCH", "memos/a", r#"{"id":"b"}"#).status(),
        400
    );
    assert_eq!(ask(&server, "PATCH", "memos/b", "{}").status(), 404);
}

#[test]
fn the_older_server_wants_the_version_of_its_protocol() {
    let server = server(Flavour::Zumo3);
    let with = |version: Option<&str>, path: &str| {
        let mut request = request("GET", path, "");
        request.headers_mut().remove("zumo-api-version");
        if let Some(version) = version {
            let version = version.parse().unwrap();
            request.headers_mut().insert("zumo-api-version", version);
        }
        server.handle(&request)
    };
    assert_eq!(with(Some("3.0.0"), "memos").status(), 200);
    assert_eq!(with(None, "memos?ZUMO-API-VERSION=3.0.0").status(), 200);
    assert_eq!(
        json(&with(None, "memos"))["title"],
        "Missing ZUMO-API-VERSION"
    );
    let other = with(Some("5.0.0"), "memos");
    assert_eq!(json(&other)["title"], "Invalid ZUMO-API-VERSION");
    assert_eq!(other.status(), 400);
}

#[test]
fn a_version_that_is_known_is_not_sent_again() {
    let server = server(Flavour::Toolkit);
    let made = ask(&server, "POST", "memos", r#"{"id":"a"}"#);
    let mut get = request("GET", "memos/a", "");
    let tag = made.headers().get("etag").unwrap().clone();
    get.headers_mut().insert("if-none-match", tag);
    let answer = server.handle(&get);
    assert_eq!((answer.status().as_u16(), answer.body().len()), (304, 0));
    server.put("memos", "a", "{}").unwrap();
    assert_eq!(server.handle(&get).status(), 200);
}
