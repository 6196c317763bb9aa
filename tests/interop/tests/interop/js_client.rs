//! The genuine JavaScript client, each device with its own SQLite store, against this project's server.

use serde_json::json;

use crate::peers::{JsDevice as Device, OurServer as Server, packages};

#[tokio::test]
async fn the_genuine_javascript_client_syncs_with_this_server() {
    let Some(packages) = packages() else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start().await;
    let device = |name: &str| Device::start(&server.url, &packages, &folder.path().join(name));
    let (mut a, mut b, mut c) = (device("a.db"), device("b.db"), device("c.db"));

    offline_work(&server, &mut a, &mut b).await;
    conflicts(&server, &mut a, &mut b).await;
    taken_ids(&server, &mut c).await;
    pages(&server, [&mut a, &mut b, &mut c]).await;
    questions(&mut c).await;
}

/// Work without the server, then push and pull.
async fn offline_work(server: &Server, a: &mut Device, b: &mut Device) {
    for row in [
        json!({"id": "one", "text": "one", "complete": false}),
        json!({"id": "two", "text": "two", "complete": true}),
        json!({"text": "no id"}),
        json!({"id": "o'b q", "text": "ä \" '' \u{1F600}"}),
    ] {
        a.done(json!(["insert", row])).await;
    }
    assert_eq!(server.rows().await.len(), 0);
    a.push_all().await;
    b.done(json!(["pull", "all"])).await;
    assert_eq!(server.rows().await.len(), 4);
    assert_eq!(a.rows().await, server.rows().await);
    assert_eq!(b.rows().await, server.rows().await);
}

/// Edits and deletions meet those of another device.
async fn conflicts(server: &Server, a: &mut Device, b: &mut Device) {
    // An edit meets an edit: the server's row is told; then it is taken.
    b.done(json!(["update", {"id": "one", "text": "by b"}]))
        .await;
    b.done(json!(["delete", "two"])).await;
    b.push_all().await;
    a.done(json!(["update", {"id": "one", "text": "by a"}]))
        .await;
    let pushed = a.done(json!(["push", "report"])).await;
    assert_eq!(pushed["conflicts"][0]["status"], 412);
    assert_eq!(pushed["conflicts"][0]["theirs"]["text"], "by b");
    a.done(json!(["pull", "all"])).await;
    assert_eq!(
        a.rows().await["one"],
        "by a",
        "the pull leaves what is pending"
    );
    assert!(!a.rows().await.contains_key("two"), "the deletion arrived");
    a.done(json!(["push", "server"])).await;
    assert_eq!(a.rows().await, server.rows().await);

    // An edit is put over another one.
    b.done(json!(["update", {"id": "one", "text": "again by b"}]))
        .await;
    b.push_all().await;
    a.done(json!(["update", {"id": "one", "text": "again by a"}]))
        .await;
    let pushed = a.done(json!(["push", "client"])).await;
    assert_eq!(pushed["handled"][0]["theirs"]["text"], "again by b");
    assert_eq!(server.rows().await["one"], "again by a");

    // A deletion meets an edit, and is done again on the new version.
    b.done(json!(["delete", "one"])).await;
    let pushed = b.done(json!(["push", "report"])).await;
    assert_eq!(pushed["conflicts"][0]["status"], 412);
    b.done(json!(["push", "client"])).await;
    assert!(!server.rows().await.contains_key("one"));

    // An edit of a row that another device deleted stops this client, until it is dropped.
    a.done(json!(["update", {"id": "one", "text": "too late"}]))
        .await;
    a.done(json!(["insert", {"id": "behind", "text": "behind it"}]))
        .await;
    let stopped = a.ask(json!(["push", "report"])).await;
    assert_eq!(stopped["status"], 404, "{stopped}");
    a.done(json!(["push", "server"])).await;
    assert_eq!(server.rows().await["behind"], "behind it");
    a.done(json!(["pull", "all"])).await;
}

/// New rows with ids that are taken, by a row and by a deleted one.
async fn taken_ids(server: &Server, c: &mut Device) {
    c.done(json!(["insert", {"id": "behind", "text": "by c"}]))
        .await;
    c.done(json!(["insert", {"id": "two", "text": "by c"}]))
        .await;
    let pushed = c.done(json!(["push", "report"])).await;
    let statuses: Vec<_> = [0, 1]
        .map(|n| pushed["conflicts"][n]["status"].clone())
        .into();
    assert_eq!(statuses, [409, 409]);
    c.done(json!(["push", "client"])).await;
    assert_eq!(server.rows().await["behind"], "by c");
}

/// Pulls from the start, and from where the last one ended; all stores are equal then.
async fn pages(server: &Server, devices: [&mut Device; 3]) {
    for n in 0..230 {
        server
            .insert(json!({"id": format!("r{n}"), "text": format!("row {n}")}))
            .await;
    }
    let [a, b, c] = devices;
    for device in [&mut *a, &mut *b, &mut *c] {
        device.done(json!(["pull", "all"])).await;
        device.done(json!(["push", "report"])).await;
    }
    let all = server.rows().await;
    assert_eq!(all.len(), 233);
    c.done(json!(["purge"])).await;
    assert_eq!(c.rows().await.len(), 0);
    c.done(json!(["pull", "all"])).await;
    for device in [a, b, c] {
        assert_eq!(device.rows().await, all);
        assert_eq!(device.done(json!(["pending"])).await, json!([]));
    }
}

/// Questions straight to the server.
async fn questions(c: &mut Device) {
    for (query, count, first) in [
        ("$filter=substringof('ow 22',text)&$orderby=id", 11, "r22"),
        (
            "$filter=startswith(text,'row')&$orderby=text%20desc&$top=3",
            3,
            "r99",
        ),
        ("$filter=length(text)%20eq%205&$skip=2&$orderby=id", 9, "r1"),
        (
            "$filter=updatedAt%20ge%20datetime'2020-01-01T00:00:00.000Z'&$top=1000&$orderby=id%20desc",
            233,
            "r99",
        ),
        (
            "$filter=(deleted%20eq%20true)&__includeDeleted=true&$orderby=id",
            2,
            "one",
        ),
    ] {
        let rows = c.done(json!(["there.query", query])).await;
        assert_eq!(rows.as_array().unwrap().len(), count, "{query}");
        assert_eq!(rows[0]["id"], first, "{query}");
    }
    let counted = c
        .done(json!(["there.query", "$inlinecount=allpages&$top=2"]))
        .await;
    assert_eq!(counted["count"], 233);
    assert_eq!(counted["rows"].as_array().unwrap().len(), 2);
    let refused = c.ask(json!(["there.query", "$filter=text%20eq"])).await;
    assert_eq!(refused["status"], 400, "{refused}");
    let gone = c.ask(json!(["there.get", "one"])).await;
    assert_eq!(gone["status"], 404, "{gone}");
}
