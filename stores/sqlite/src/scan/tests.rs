//! What SQLite does for a page, and what it does not look at.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::StatementStatus::{FullscanStep, Sort, VmStep};
use rusqlite::functions::FunctionFlags;
use synctable_core::query::odata::{parse_filter, parse_order_by};
use synctable_core::query::{Cursor, SortKey, SortValue, field};
use synctable_core::{FieldType, RecordId, TableName, TableSchema, Timestamp};

use super::*;
use crate::layout;
use crate::sql::functions;

/// A table in memory, with the index that a server gives each one.
fn table(schema: TableSchema) -> (Connection, TableLayout) {
    let schema = schema.with_index(["updatedAt", "id"]);
    let layout = TableLayout::new(TableName::new("t").unwrap(), schema);
    let conn = Connection::open_in_memory().unwrap();
    functions::register(&conn, &Arc::default()).unwrap();
    conn.execute_batch(&layout::create_table(&layout)).unwrap();
    conn.execute_batch(&layout::create_odd_index(&layout.name))
        .unwrap();
    for index in &layout.schema.indexes {
        conn.execute_batch(&layout::create_index(&layout, index))
            .unwrap();
    }
    (conn, layout)
}

/// What SQLite did for one page: rows that it looked at in a full scan, sorts, steps of its machine.
fn effort(conn: &Connection, layout: &TableLayout, query: &Query) -> (i32, i32, i32) {
    let gauge = Gauge::default();
    let scan = Scan::new(conn, &gauge, layout, query).unwrap();
    assert!(scan.is_whole());
    let order = Order::new(&scan.translator, query).unwrap();
    let parameters = scan.translator.parameters();
    let start = Window::of(query).unwrap().start;
    let parts = match &start {
        None => vec![Part::default()],
        Some(start) => order.behind(start, parameters.len() + 1).unwrap(),
    };
    let mut effort = (0, 0, 0);
    for part in parts {
        let mut sql = scan.sorted(&part.conditions, &order);
        let _ = write!(sql, " LIMIT 51");
        let mut statement = conn.prepare_cached(&sql).unwrap();
        for counter in [FullscanStep, Sort, VmStep] {
            // What an earlier page of this statement took.
            statement.reset_status(counter);
        }
        let mut rows = bound(&mut statement, parameters, &part.parameters).unwrap();
        while rows.next().unwrap().is_some() {}
        drop(rows);
        effort.0 += statement.get_status(FullscanStep);
        effort.1 += statement.get_status(Sort);
        effort.2 += statement.get_status(VmStep);
    }
    effort
}

#[test]
fn a_page_of_a_pull_takes_the_same_effort_in_a_table_of_any_size() {
    let (conn, layout) = table(TableSchema::new().with_field("owner", FieldType::String));
    let id = |n: u32| format!("r{:06}", (n * 7919) % 160_000);
    let time = |n: u32| Timestamp::from_ticks(i64::from(n / 3) * 10_000);
    let half = |size: u32| field("updatedAt").ge(time(size / 2));
    let pages = |size: u32| {
        let ordered = || Query::all().order_by("updatedAt").order_by("id");
        let key = SortKey {
            values: vec![
                SortValue::DateTime(time(size / 2)),
                SortValue::Text(id(size / 2)),
            ],
            id: RecordId::new(&id(size / 2)).unwrap(),
        };
        let within_one = half(size).and(field("updatedAt").lt(time(size / 2 + 3)));
        let live = || field("deleted").eq(false);
        let mine = || field("owner").eq("me");
        [
            ordered(),
            ordered().filter(live()),
            ordered().filter(half(size)),
            ordered().filter(half(size).and(live())),
            ordered().after(Some(Cursor::new(&key, None))),
            Query::all()
                .filter(within_one.and(field("id").gt("r")))
                .order_by("id"),
            Query::all()
                .filter(field("id").gt(id(size / 2)))
                .order_by("id"),
            ordered().filter(half(size)).within(mine()),
            ordered().within(mine()).within(live()),
        ]
    };
    let mut rows = 0;
    let mut seen: Vec<Vec<i32>> = Vec::new();
    for size in [10_000, 40_000, 160_000] {
        let insert = "INSERT INTO t (id, updatedAt, deleted, owner) VALUES (?1, ?2, 0, 'me')";
        conn.execute_batch("BEGIN").unwrap();
        let mut statement = conn.prepare(insert).unwrap();
        for n in rows..size {
            statement.execute((id(n), time(n).ticks())).unwrap();
        }
        conn.execute_batch("COMMIT").unwrap();
        rows = size;
        let mut steps = Vec::new();
        for query in pages(size) {
            let (scanned, sorts, machine) = effort(&conn, &layout, &query);
            // A tie is of one millisecond: what it sorts is the few rows of that. Without a bound SQLite counts the rows of the page, which
            // it takes from the start of the index, as rows of a full scan.
            let is_tie = query.order.len() == 1 && query.filter.is_some();
            let is_first = query.after.is_none() && !format!("{query:?}").contains("Ge");
            assert!(
                (scanned == 0 || is_first && scanned <= 51) && (sorts == 0 || is_tie),
                "{size}: {query:?}: {scanned} rows scanned, {sorts} sorts"
            );
            steps.push(machine);
        }
        seen.push(steps);
    }
    for steps in &seen {
        for (now, first) in steps.iter().zip(&seen[0]) {
            assert!((now - first).abs() * 5 <= *first, "{seen:?}");
        }
    }
}

#[test]
fn what_a_rule_hides_is_found_by_no_index_and_judged_by_nothing_but_the_rule() {
    let (conn, layout) = table(
        TableSchema::new()
            .with_field("owner", FieldType::String)
            .with_field("secret", FieldType::String)
            .with_index(["secret"])
            .with_index(["owner"]),
    );
    for n in 0..200 {
        let insert =
            "INSERT INTO t (id, updatedAt, deleted, owner, secret) VALUES (?1, ?2, 0, ?3, ?4)";
        let owner = if n < 10 { "me" } else { "you" };
        let row = (format!("{n:03}"), n, owner, format!("s{n}"));
        conn.execute(insert, row).unwrap();
    }
    let judged = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&judged);
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
    conn.create_scalar_function("synctable_startswith", 2, flags, move |_| {
        seen.fetch_add(1, Ordering::Relaxed);
        Ok(true)
    })
    .unwrap();
    let secret = |text: &str| parse_filter(text).unwrap();
    let orders = [
        Query::all(),
        Query::all().order_by("secret"),
        Query::all().order_by_desc("secret").order_by("updatedAt"),
        Query::all().order_by("updatedAt"),
    ];
    for (order, filter) in orders.iter().flat_map(|order| {
        [
            "secret eq 's5'",
            "secret gt 's5' and updatedAt ge 1970-01-01T00:00:00Z",
            "startswith(concat(secret,''),'s')",
            "startswith(concat(secret,''),'s') and id gt '0'",
        ]
        .map(|filter| (order, filter))
    }) {
        let query = order
            .clone()
            .filter(secret(filter))
            .within(field("owner").eq("me"));
        let gauge = Gauge::default();
        let scan = Scan::new(&conn, &gauge, &layout, &query).unwrap();
        assert!(scan.is_whole());
        let order = Order::new(&scan.translator, &query).unwrap();
        let mut parts = vec![Part::default()];
        if !query.order.is_empty() {
            let key = SortKey {
                values: query
                    .order
                    .iter()
                    .map(|term| match term.path.head() {
                        "secret" => SortValue::Text("s".into()),
                        _ => SortValue::DateTime(Timestamp::from_ticks(0)),
                    })
                    .collect(),
                id: RecordId::new("000").unwrap(),
            };
            let first = scan.translator.parameters().len() + 1;
            parts.extend(order.behind(&key, first).unwrap());
        }
        for part in parts {
            judged.store(0, Ordering::Relaxed);
            let sql = scan.sorted(&part.conditions, &order);
            let plan: Vec<String> = {
                let mut statement = conn
                    .prepare_cached(&format!("EXPLAIN QUERY PLAN {sql}"))
                    .unwrap();
                let rows = bound(
                    &mut statement,
                    scan.translator.parameters(),
                    &part.parameters,
                );
                rows.unwrap()
                    .mapped(|row| row.get("detail"))
                    .map(Result::unwrap)
                    .collect()
            };
            assert!(
                !plan.iter().any(|line| line.contains("secret")),
                "{filter}: {plan:?}"
            );
            let mut statement = conn.prepare_cached(&sql).unwrap();
            let mut rows = bound(
                &mut statement,
                scan.translator.parameters(),
                &part.parameters,
            )
            .unwrap();
            while let Some(row) = rows.next().unwrap() {
                let id: String = row.get("id").unwrap();
                assert!(id.as_str() < "010", "{filter}: {id}");
            }
            assert!(judged.load(Ordering::Relaxed) <= 10, "{filter}: {sql}");
        }
    }
}

/// How SQLite reads each part of a page.
fn plans(filter: &str, order: &str, start: &[SortValue]) -> Vec<String> {
    let words = ["PG", "G"].map(str::to_owned).to_vec();
    let schema = TableSchema::new()
        .with_field("title", FieldType::String)
        .with_field("year", FieldType::Integer)
        .with_field("done", FieldType::Boolean)
        .with_field("rating", FieldType::Enum(words))
        .with_index(["title"])
        .with_index(["year"])
        .with_index(["done"])
        .with_index(["rating", "title"]);
    let (conn, layout) = table(schema);
    let mut query = Query::all();
    if !filter.is_empty() {
        query = query.filter(parse_filter(filter).unwrap());
    }
    if !order.is_empty() {
        query.order = parse_order_by(order).unwrap();
    }
    let gauge = Gauge::default();
    let scan = Scan::new(&conn, &gauge, &layout, &query).unwrap();
    assert!(scan.is_whole());
    let order = Order::new(&scan.translator, &query).unwrap();
    let bound = scan.translator.parameters().len();
    let mut parts = vec![Part::default()];
    if !start.is_empty() {
        let key = SortKey {
            values: start.to_vec(),
            id: RecordId::new("x").unwrap(),
        };
        parts = order.behind(&key, bound + 1).unwrap();
    }
    let explain = |part: Part| {
        let sql = format!(
            "EXPLAIN QUERY PLAN {}",
            scan.sorted(&part.conditions, &order)
        );
        let mut statement = conn.prepare(&sql).unwrap();
        let count = statement.parameter_count();
        assert_eq!(count, bound + part.parameters.len());
        for at in 1..=count {
            statement.raw_bind_parameter(at, 1).unwrap();
        }
        let mut rows = statement.raw_query();
        let mut steps = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            steps.push(row.get::<_, String>(3).unwrap());
        }
        steps.join("; ")
    };
    parts.into_iter().map(explain).collect()
}

#[test]
fn declared_indexes_serve_filters_orders_and_pages() {
    const SORTED: &str = "; USE TEMP B-TREE FOR ORDER BY";
    const TIES: &str = "; USE TEMP B-TREE FOR LAST TERM OF ORDER BY";
    let search = |what: &str| format!("SEARCH t USING INDEX ix_t/{what}");
    for (filter, order, start, expected) in [
        (
            "title eq 'a'",
            "",
            vec![],
            vec![search("title (title=?)") + SORTED],
        ),
        (
            "title eq null",
            "",
            vec![],
            vec![search("title (title=?)") + SORTED],
        ),
        // The id is part of an index whose values are few.
        ("done", "", vec![], vec![search("done (done=?)")]),
        (
            "year gt 5 and year le 9",
            "year",
            vec![],
            vec![search("year (year>? AND year<?)") + TIES],
        ),
        (
            "startswith(title,'a')",
            "title",
            vec![],
            vec![search("title (title>? AND title<?)") + TIES],
        ),
        (
            "rating eq 'G'",
            "title",
            vec![],
            vec![search("rating/title (rating=?)") + TIES],
        ),
        (
            "id eq 'a'",
            "",
            vec![],
            vec!["SEARCH t USING INDEX sqlite_autoindex_t_1 (id=?)".into()],
        ),
        (
            "",
            "",
            vec![],
            vec!["SCAN t USING INDEX sqlite_autoindex_t_1".into()],
        ),
        (
            "",
            "year desc",
            vec![SortValue::Int(5)],
            vec![
                search("year (year=?)") + TIES,
                search("year (year<?)") + TIES,
                search("year (year=?)") + TIES,
            ],
        ),
        (
            "",
            "rating,title",
            vec![SortValue::Enum(1), SortValue::Null],
            vec![
                search("rating/title (rating=? AND title=?)") + TIES,
                search("rating/title (rating=? AND title>?)") + TIES,
                search("rating/title (rating>?)") + TIES,
            ],
        ),
    ] {
        assert_eq!(plans(filter, order, &start), expected, "{filter} {order}");
    }
}
