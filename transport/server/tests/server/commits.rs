//! Pages by time end between commits: all records of one commit have one time, and a client goes on behind the last time that it has seen.

use std::sync::Arc;

use proptest::prelude::*;
use synctable_core::store::{LocalStore, WriteBatch};
use synctable_core::{Declaration, Record, Timestamp};
use synctable_memory::MemoryStore;
use synctable_server::Limits;

use crate::common::*;

/// The time of each record of a page, and whether the server said that more follow.
async fn page(
    server: &synctable_server::TableServer,
    query: &str,
) -> (Vec<(String, String)>, bool) {
    let answer = get(server, &format!("/tables/hard?{query}"))
        .await
        .expect(200);
    assert_eq!(answer.header("synctable-ordered"), Some("updatedAt,id"));
    let json = answer.json();
    let text = |item: &serde_json::Value, name: &str| item[name].as_str().unwrap().to_owned();
    let items = json["items"].as_array().unwrap().iter();
    let items = items.map(|item| (text(item, "updatedAt"), text(item, "id")));
    (items.collect(), answer.next_link().is_some())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the sizes of commits, records and pages: asked strictly behind the last time (or, where a page has one time only, walked on by
    /// id), nothing is missed and nothing comes twice.
    #[test]
    fn no_page_ends_within_a_commit(
        commits in proptest::collection::vec(proptest::collection::vec(0_usize..400, 1..40), 1..12),
        size in 1_u32..60,
        bytes in 500_usize..8_000,
        asked in 1_u64..60,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let store = Arc::new(MemoryStore::new());
            let mut limits = Limits::default();
            limits.page = bytes;
            let server = builder(Arc::<MemoryStore>::clone(&store), &TestClock::new())
                .limits(limits)
                .table(table("hard"), Declaration::new().with_page_size(size))
                .build()
                .await
                .unwrap();
            let mut all = Vec::new();
            for (n, commit) in commits.iter().enumerate() {
                let time = Timestamp::from_millis(1_000 + i64::try_from(n).unwrap());
                let mut batch = WriteBatch::new();
                for (m, length) in commit.iter().enumerate() {
                    let (id, x) = (format!("c{n:02}r{m:02}"), "x".repeat(*length));
                    let json = format!(r#"{{"id":"{id}","updatedAt":"{time}","x":"{x}"}}"#);
                    batch = batch.put(&table("hard"), Record::from_json(&json).unwrap());
                    all.push(id);
                }
                store.commit(batch).await.unwrap();
            }
            let order = format!("$orderby=updatedAt,id&$top={asked}");
            let (mut found, mut filter) = (Vec::new(), String::new());
            loop {
                let (items, more) = page(&server, &format!("{order}{filter}")).await;
                found.extend(items.iter().map(|(_, id)| id.clone()));
                let (Some((first, _)), Some((last, id))) = (items.first(), items.last()) else {
                    break;
                };
                // A page as long as the client asked for ends its request: whether more follows is not said.
                if !more && (items.len() as u64) < asked {
                    break;
                }
                filter = if first == last {
                    // What else has this time, and then what is behind it.
                    let mut after = id.clone();
                    loop {
                        let tie = format!("updatedAt eq datetimeoffset'{last}' and id gt '{after}'");
                        let tie = tie.replace(' ', "%20");
                        let (items, _) = page(&server, &format!("$orderby=id&$top={asked}&$filter={tie}")).await;
                        found.extend(items.iter().map(|(_, id)| id.clone()));
                        let Some((_, id)) = items.last() else { break };
                        after.clone_from(id);
                    }
                    format!("&$filter=updatedAt%20gt%20datetimeoffset'{last}'")
                } else {
                    format!("&$filter=updatedAt%20gt%20datetimeoffset'{last}'")
                };
            }
            assert_eq!(found, all);
        });
    }
}
