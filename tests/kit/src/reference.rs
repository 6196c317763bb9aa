//! The answers of a store beside those of the reference evaluation.

use synctable_core::query::{Judge, Query, page_of};
use synctable_core::store::{LocalStore, Page};
use synctable_core::{Record, TableName, TableSchema};

use crate::fixture::are_kept;

/// Follows `query` page by page in the store and in the reference evaluation over `records`, and compares the
/// pages and the count. `Err` says where they differ.
pub async fn compare_query(
    store: &dyn LocalStore,
    table: &TableName,
    schema: &TableSchema,
    records: &[Record],
    query: &Query,
) -> Result<(), String> {
    let (mut of_store, mut of_reference) = (query.clone(), query.clone());
    for number in 1.. {
        let expected = page_of(&of_reference, schema, records.iter().cloned().map(Ok))
            .map_err(|error| format!("the reference refuses the query: {error}"))?;
        let found = store
            .query(table, &of_store)
            .await
            .map_err(|error| format!("page {number} of {query:?}: the store fails: {error}"))?;
        let kept = are_kept(store.capabilities(), &found.records, &expected.records);
        if !kept || found.next.is_some() != expected.next.is_some() {
            return Err(format!(
                "page {number} of {query:?}:\n  store     {}\n  reference {}",
                shown(&found),
                shown(&expected)
            ));
        }
        if expected.next.is_none() {
            break;
        }
        of_store.after = found.next;
        of_reference.after = expected.next;
    }
    let judge = Judge::new(query, schema);
    let mut expected = 0;
    for record in records {
        let wanted = judge.wants(record);
        expected += u64::from(wanted.map_err(|error| format!("the count is refused: {error}"))?);
    }
    match store.count(table, query).await {
        Ok(found) if found == expected => Ok(()),
        found => Err(format!(
            "count of {query:?}: store {found:?}, reference {expected}"
        )),
    }
}

fn shown(page: &Page) -> String {
    let records: Vec<String> = page.records.iter().map(Record::to_json).collect();
    let end = if page.next.is_some() { "more" } else { "end" };
    format!("[{}], {end}", records.join(", "))
}
