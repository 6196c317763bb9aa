//! Ten thousand rows in one millisecond, pages of fifty, and rows that change while they are read: nothing is skipped.
//!
//! Clients that page by offset over `updatedAt` lose rows here, and those that follow its milliseconds read one page for ever.

use std::sync::Arc;

use synctable::query::Query;
use synctable::sync::SyncContext;
use synctable::{MemoryStore, Record, TableName};
use synctable_testkit::engine::TestServer;

const ROWS: usize = 10_000;
const PAGE: u32 = 50;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let table = TableName::new("readings")?;
    // A server of another make: it shows milliseconds, promises no order, and its clock stands still.
    let server = TestServer::foreign();
    server.configure(|options| {
        options.ticks_per_write = 0;
        options.page = PAGE;
    });
    for n in 0..ROWS {
        server.put(&table, &Record::from_json(&row(n, 0))?);
    }

    let sync = SyncContext::builder(Arc::new(MemoryStore::new()))
        .transport(server.clone())
        .open()
        .await?;
    let readings = sync.table::<serde_json::Value>(table.as_str())?;

    // During every tenth request someone changes a row, sometimes one that was read already, sometimes one that was not.
    for request in (0..400).step_by(10) {
        let (server, table) = (server.clone(), table.clone());
        let change = Record::from_json(&row(request * 7919 % ROWS, request))?;
        let meanwhile = server.clone();
        server.meanwhile_at(request, async move { meanwhile.put(&table, &change) });
    }

    let mut pulls = 0;
    loop {
        let report = readings.pull(Query::all(), "all").page(PAGE).await?;
        pulls += 1;
        println!(
            "pull {pulls}: {} rows in {} requests, {} added, {} updated",
            report.fetched, report.requests, report.added, report.updated
        );
        if report.added + report.updated == 0 {
            break;
        }
    }

    let expected = server.live(&table);
    let mut here = Vec::new();
    let mut page = readings.query().order_by("id").page(1000).await?;
    loop {
        here.extend(page.records);
        let Some(next) = page.next else { break };
        page = readings
            .query()
            .order_by("id")
            .page(1000)
            .after(next)
            .await?;
    }
    let there: Vec<serde_json::Value> =
        expected.iter().map(Record::to).collect::<Result<_, _>>()?;
    assert_eq!(here, there, "every row is here, as it is at the server");
    println!("{} rows, all as at the server", here.len());
    Ok(())
}

fn row(n: usize, value: usize) -> String {
    format!(r#"{{"id":"{n:05}","value":{value}}}"#)
}
