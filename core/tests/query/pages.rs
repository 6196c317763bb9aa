//! Orders, windows and pages.

use std::cell::Cell;
use std::cmp::Ordering;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;
use synctable_core::query::{
    Cursor, CursorError, DEFAULT_PAGE, Direction, Evaluator, Query, SortKey, SortValue, field,
    page_of,
};
use synctable_core::store::{Page, StoreError, StoreErrorKind};
use synctable_core::{
    Date, FieldType, Record, RecordId, SystemProperties, TableSchema, TimeOfDay, Timestamp,
};

use crate::fixture::float_near;

fn schema() -> TableSchema {
    let words = ["low", "high"].map(str::to_owned).to_vec();
    TableSchema::new()
        .with_field("d", FieldType::Date)
        .with_field("t", FieldType::Time)
        .with_field("dt", FieldType::DateTime)
        .with_field("e", FieldType::Enum(words))
        .with_field("p", FieldType::GeoPoint)
}

fn records(bodies: &[&str]) -> Vec<Record> {
    let of = |(at, body): (usize, &&str)| {
        Record::new(RecordId::new(&format!("{at:03}")).unwrap(), body).unwrap()
    };
    bodies.iter().enumerate().map(of).collect()
}

fn numbered(count: usize) -> Vec<Record> {
    records(&vec!["{}"; count])
}

/// The page over the records from last to first: their order must not matter.
fn page(query: &Query, records: &[Record]) -> Result<Page, StoreError> {
    page_of(query, &schema(), records.iter().rev().cloned().map(Ok))
}

fn ids(page: &Page) -> Vec<&str> {
    page.records
        .iter()
        .map(|record| record.id().as_str())
        .collect()
}

/// All pages, each cursor having been text in between; `next` must be there exactly as long as records follow.
fn walk(query: &Query, records: &[Record]) -> Vec<Record> {
    let size = query.page.unwrap_or(DEFAULT_PAGE).max(1) as usize;
    let (mut query, mut all) = (query.clone(), Vec::new());
    loop {
        let page = page(&query, records).unwrap();
        assert!(page.records.len() <= size);
        assert!(page.next.is_none() || page.records.len() == size);
        let last = page.next.is_none();
        assert!(
            !page.records.is_empty() || last && all.is_empty(),
            "a page without records"
        );
        all.extend(page.records);
        assert!(all.len() <= records.len(), "a record comes twice");
        match page.next {
            Some(next) => query.after = Some(Cursor::from_text(next.as_str())),
            None => return all,
        }
    }
}

#[test]
fn kinds_sort_in_their_order() {
    // By `x`, `d`, `t`, `dt`, `e` and `p`, of which each record has one; each line is one place in the order.
    let in_order = [
        r#"{"x":null}"#,
        r"{}",
        r#"{"x":false}"#,
        r#"{"x":true}"#,
        r#"{"x":-1e300}"#,
        r#"{"x":-9223372036854775808}"#,
        r#"{"x":-2.5}"#,
        r#"{"x":9007199254740991}"#,
        r#"{"x":9007199254740992.0}"#,
        r#"{"x":9007199254740993}"#,
        r#"{"x":9223372036854775807}"#,
        r#"{"x":9223372036854775808}"#,
        r#"{"dt":"2024-02-29T00:00:00Z"}"#,
        r#"{"dt":"2024-02-29T00:00:00.0000001Z"}"#,
        r#"{"d":"0001-01-01"}"#,
        r#"{"d":"2024-02-29"}"#,
        r#"{"t":"00:00"}"#,
        r#"{"t":"00:00:00.0000001"}"#,
        r#"{"e":"low"}"#,
        r#"{"e":"high"}"#,
        r#"{"x":""}"#,
        r#"{"e":"LOW"}"#,
        r#"{"x":"a"}"#,
        r#"{"x":"ab"}"#,
        r#"{"x":"b"}"#,
        r#"{"x":"é"}"#,
        "{\"x\":\"\u{ffff}\"}",
        "{\"x\":\"\u{10000}\"}",
        r#"{"x":[2]}"#,
        r#"{"x":{}}"#,
        r#"{"p":{"type":"Point","coordinates":[1,2]}}"#,
        r#"{"x":[1]}"#,
    ];
    let records = records(&in_order);
    let schema = schema();
    let evaluator = Evaluator::new(&schema);
    let keys: Vec<SortKey> = records
        .iter()
        .map(|record| {
            let name = record
                .members()
                .first()
                .map_or("x".to_owned(), |m| m.0.to_string());
            evaluator.sort_key(&Query::all().order_by(name).order, record)
        })
        .collect();
    // Nulls are equal, and so is what comes behind the texts: there the id decides, in both directions.
    let tied = |at: usize| at < 2 || at >= in_order.len() - 4;
    let (up, down) = (
        Query::all().order_by("x").order,
        Query::all().order_by_desc("x").order,
    );
    for at in 1..keys.len() {
        let (left, right) = (&keys[at - 1], &keys[at]);
        let tie = tied(at) && tied(at - 1);
        let what = in_order[at];
        assert_eq!(
            left.values[0].compare(&right.values[0]).is_eq(),
            tie,
            "{what}"
        );
        assert!(left.compare(right, &up).is_lt(), "{what}");
        assert_eq!(left.compare(right, &down).is_lt(), tie, "{what}");
    }
}

#[test]
fn terms_decide_one_after_the_other_and_the_id_last() {
    let records = records(&[
        r#"{"a":1,"b":"x"}"#,
        r#"{"a":1,"b":"y"}"#,
        r#"{"a":2,"b":"x"}"#,
        r#"{"a":1.0,"b":"y"}"#,
        r#"{"b":"z"}"#,
    ]);
    let sorted = |query: Query| ids(&page(&query, &records).unwrap()).join(" ");
    assert_eq!(sorted(Query::all()), "000 001 002 003 004");
    assert_eq!(sorted(Query::all().order_by("a")), "004 000 001 003 002");
    assert_eq!(
        sorted(Query::all().order_by_desc("a")),
        "002 000 001 003 004"
    );
    assert_eq!(
        sorted(Query::all().order_by("a").order_by_desc("b")),
        "004 001 003 000 002"
    );
    assert_eq!(
        sorted(Query::all().order_by_desc("b").order_by("a")),
        "004 001 003 000 002"
    );
    assert_eq!(
        sorted(Query::all().order_by_desc("id")),
        "004 003 002 001 000"
    );
    assert_eq!(
        sorted(Query::all().order_by("nowhere")),
        "000 001 002 003 004"
    );
}

#[test]
fn window_and_page_cut_the_result() {
    let records = numbered(10);
    // Skip, top, page: first page, whether more follow.
    let cases = [
        (0, None, None, 0..10, false),
        (0, None, Some(10), 0..10, false),
        (0, None, Some(9), 0..9, true),
        (0, None, Some(0), 0..1, true),
        (0, Some(0), Some(3), 0..0, false),
        (0, Some(3), Some(3), 0..3, false),
        (0, Some(4), Some(3), 0..3, true),
        (0, Some(3), Some(4), 0..3, false),
        (0, Some(10), Some(9), 0..9, true),
        (0, Some(u64::MAX), Some(u32::MAX), 0..10, false),
        (2, None, Some(3), 2..5, true),
        (7, None, Some(3), 7..10, false),
        (7, Some(2), Some(3), 7..9, false),
        (9, Some(5), Some(3), 9..10, false),
        (10, None, None, 0..0, false),
        (u64::MAX, Some(u64::MAX), Some(u32::MAX), 0..0, false),
    ];
    for (skip, top, size, expected, more) in cases {
        let mut query = Query::all().skip(skip);
        (query.top, query.page) = (top, size);
        let found = page(&query, &records).unwrap();
        assert_eq!(found.records, records[expected], "{query:?}");
        assert_eq!(found.next.is_some(), more, "{query:?}");
    }
    let many = numbered(101);
    let found = page(&Query::all(), &many).unwrap();
    assert_eq!((found.records.len(), found.next.is_some()), (100, true));
}

#[test]
fn cursor_carries_what_is_left_of_top_and_ends_skipping() {
    let records = numbered(10);
    let query = Query::all().skip(1).top(5).page(2);
    let first = page(&query, &records).unwrap();
    assert_eq!(ids(&first), ["001", "002"]);
    assert_eq!(
        first.next.as_ref().unwrap().position(&[]).unwrap().left,
        Some(3)
    );
    let second = page(&query.clone().after(first.next), &records).unwrap();
    assert_eq!(ids(&second), ["003", "004"]);
    let third = page(&query.after(second.next.clone()), &records).unwrap();
    assert_eq!((ids(&third), third.next.is_some()), (vec!["005"], false));
    // The cursor knows it without the query's own `top`, and a smaller `top` holds too.
    let bare = Query::all().after(second.next.clone());
    assert_eq!(ids(&page(&bare, &records).unwrap()), ["005"]);
    let (open, none) = (Query::all().page(2), Query::all().top(0).after(second.next));
    let open = open
        .clone()
        .after(page(&open, &records).unwrap().next)
        .top(1);
    assert_eq!(ids(&page(&open, &records).unwrap()), ["002"]);
    assert_eq!(page(&none, &records).unwrap(), Page::default());
}

#[test]
fn cursor_is_a_place_not_a_record() {
    let all = records(&[
        r#"{"n":4}"#,
        r#"{"n":3}"#,
        r#"{"n":2}"#,
        r#"{"n":1}"#,
        r#"{"n":0}"#,
    ]);
    let query = Query::all().order_by("n").page(2);
    let next = page(&query, &all).unwrap().next;
    // The record at the cursor is gone.
    let fewer: Vec<Record> = all
        .iter()
        .filter(|r| r.id().as_str() != "003")
        .cloned()
        .collect();
    let second = page(&query.clone().after(next.clone()), &fewer).unwrap();
    assert_eq!(ids(&second), ["002", "001"]);
    let filtered = query.filter(field("n").ge(3)).after(next);
    assert_eq!(ids(&page(&filtered, &fewer).unwrap()), ["001", "000"]);
}

#[test]
fn cursor_of_another_order_is_refused() {
    let records = numbered(3);
    let by_n = Query::all().order_by("n").page(1);
    let next = page(&by_n, &records).unwrap().next;
    let others = [
        Query::all().after(next.clone()),
        by_n.clone().order_by("m").after(next),
        by_n.after(Some(Cursor::from_text("junk"))),
    ];
    for query in others {
        let error = page(&query, &records).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Other);
        let source = std::error::Error::source(&error).unwrap();
        assert!(source.is::<CursorError>(), "{source}");
    }
}

#[test]
fn record_that_cannot_be_read_fails_the_page() {
    let records = [Ok(numbered(1).remove(0)), Err(StoreError::corrupt("torn"))];
    let error = page_of(&Query::all().page(1), &schema(), records).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
}

/// Judging a record is one step; what is above that is the order's.
#[test]
fn an_order_takes_steps_for_each_record_that_is_placed_in_it() {
    let records = numbered(100);
    let mut few = Query::all().page(10);
    few.budget.steps = 500;
    assert!(page(&few, &records).is_ok());
    let mut query = (0..20).fold(few, |query, n| query.order_by(format!("none{n}")));
    let error = page(&query, &records).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::OverBudget);
    // Each record is placed, and compared with some of the ten best ones.
    query.budget.steps = 100 * 20 + 500;
    let error = page(&query, &records).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::OverBudget);
    query.budget.steps = 100 * 20 * 20;
    assert_eq!(ids(&page(&query, &records).unwrap()).len(), 10);
}

#[test]
fn what_looking_at_values_takes_depends_on_their_length_and_number() {
    let long = format!(
        r#"{{"t":"{}","o":{{"t":"{}"}}}}"#,
        "x".repeat(10_000),
        "x".repeat(10_000)
    );
    let members: Vec<String> = (0..2_000).map(|n| format!("\"m{n}\":{n}")).collect();
    let many = format!("{{{}}}", members.join(","));
    for (body, path) in [
        (&*long, "t"),
        (&*long, "o/t"),
        (&*many, "m1"),
        (&*many, "none"),
    ] {
        let asked = || field(path).eq("y");
        let filter = (0..19).fold(asked(), |filter, _| filter.or(asked()));
        let mut query = Query::all().filter(filter);
        query.budget.steps = 1_000;
        let error = page(&query, &records(&[body])).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::OverBudget, "{path}");
        let short = records(&[r#"{"t":"x","o":{"t":"x"},"m1":1}"#]);
        assert!(page(&query, &short).is_ok(), "{path}");
    }
}

#[test]
fn page_holds_no_more_records_than_it_must() {
    let body: Arc<str> = r#"{"n":1}"#.into();
    for query in [
        Query::all(),
        Query::all().order_by_desc("n").order_by_desc("id"),
    ] {
        // Each record comes before all earlier ones in one of the orders, and behind them in the other.
        let most = Cell::new(0);
        let rows = (0..1000).rev().chain(1000..2000).map(|number| {
            most.set(most.get().max(Arc::strong_count(&body)));
            let id = RecordId::new(&format!("{number:04}")).unwrap();
            Ok(Record::from_stored(
                id,
                SystemProperties::default(),
                Arc::clone(&body),
            ))
        });
        let page = page_of(&query.skip(3).page(5), &schema(), rows).unwrap();
        assert_eq!(page.records.len(), 5);
        // The page, what it skips, one that tells whether more follow, and `body` itself.
        assert_eq!(most.get(), 5 + 3 + 1 + 1);
    }
}

/// JSON values with many ties, of all kinds.
fn member() -> impl Strategy<Value = &'static str> {
    select(vec![
        "null",
        "false",
        "true",
        "0",
        "-0.0",
        "1",
        "1.0",
        "9007199254740993",
        "9007199254740992.0",
        r#""""#,
        r#""a""#,
        r#""low""#,
        r#""high""#,
        r#""2024-02-29""#,
        r#""2024-02-29T00:00:00Z""#,
        r#""12:00""#,
        "[]",
        "{}",
        r#"{"type":"Point","coordinates":[1,2]}"#,
    ])
}

const NAMES: [&str; 6] = ["a", "d", "t", "dt", "e", "p"];

fn table() -> impl Strategy<Value = Vec<Record>> {
    let row = proptest::collection::vec(member(), NAMES.len());
    proptest::collection::vec(row, 0..14).prop_map(|rows| {
        let bodies: Vec<String> = rows
            .iter()
            .map(|row| {
                let members: Vec<String> = NAMES
                    .iter()
                    .zip(row)
                    .map(|(name, text)| format!("\"{name}\":{text}"))
                    .collect();
                format!("{{{}}}", members.join(","))
            })
            .collect();
        records(&bodies.iter().map(String::as_str).collect::<Vec<_>>())
    })
}

fn query() -> impl Strategy<Value = Query> {
    let term = (select(NAMES.to_vec()), any::<bool>());
    let window = (
        0..5_u64,
        proptest::option::of(0..9_u64),
        proptest::option::of(0..5_u32),
    );
    let filter = proptest::option::of(select(vec![
        field("a").eq("low").not(),
        field("d").is_not_null(),
        field("e").ge("low"),
    ]));
    (proptest::collection::vec(term, 0..3), window, filter).prop_map(
        |(terms, (skip, top, size), filter)| {
            let mut query = Query::all().skip(skip);
            (query.top, query.page, query.filter) = (top, size, filter);
            terms.into_iter().fold(query, |query, (name, ascending)| {
                if ascending {
                    query.order_by(name)
                } else {
                    query.order_by_desc(name)
                }
            })
        },
    )
}

pub(crate) fn sort_value() -> impl Strategy<Value = SortValue> {
    let near = prop_oneof![
        -3..3_i64,
        any::<i64>(),
        (1_i64 << 53) - 3..(1_i64 << 53) + 3
    ];
    prop_oneof![
        1 => Just(SortValue::Null),
        1 => any::<bool>().prop_map(SortValue::Bool),
        3 => near.clone().prop_map(SortValue::Int),
        3 => near.prop_map(|near| SortValue::Float(float_near(near))),
        1 => any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(SortValue::Float),
        1 => any::<i64>().prop_map(|ticks| SortValue::DateTime(Timestamp::from_ticks(ticks))),
        1 => any::<i32>().prop_map(|days| SortValue::Date(Date::from_days(days))),
        1 => any::<i64>().prop_map(|ticks| SortValue::Time(TimeOfDay::from_ticks(ticks))),
        1 => any::<u32>().prop_map(SortValue::Enum),
        2 => ".{0,3}".prop_map(SortValue::Text),
        1 => Just(SortValue::Other),
    ]
}

pub(crate) fn sort_key(terms: usize) -> impl Strategy<Value = SortKey> {
    let id = select(vec!["a", "b", "A", "é", "a|b"]).prop_map(RecordId::system);
    (proptest::collection::vec(sort_value(), terms), id)
        .prop_map(|(values, id)| SortKey { values, id })
}

proptest! {
    #[test]
    fn pages_follow_each_other_as_the_sorted_result(records in table(), query in query()) {
        let schema = schema();
        let evaluator = Evaluator::new(&schema);
        let key = |record: &Record| evaluator.sort_key(&query.order, record);
        let mut expected: Vec<Record> = records
            .iter()
            .filter(|record| query.filter.as_ref().is_none_or(|filter| evaluator.matches(filter, record)))
            .cloned()
            .collect();
        expected.sort_by(|a, b| key(a).compare(&key(b), &query.order));
        let expected: Vec<Record> = expected
            .into_iter()
            .skip(usize::try_from(query.skip).unwrap())
            .take(query.top.map_or(usize::MAX, |top| usize::try_from(top).unwrap()))
            .collect();
        prop_assert_eq!(walk(&query, &records), expected);
    }

    #[test]
    fn sort_values_have_a_total_order(a in sort_value(), b in sort_value(), c in sort_value()) {
        prop_assert_eq!(a.compare(&a), Ordering::Equal);
        prop_assert_eq!(a.compare(&b), b.compare(&a).reverse());
        let mut sorted = [a, b, c];
        sorted.sort_by(SortValue::compare);
        let [a, b, c] = sorted;
        prop_assert!(a.compare(&b).is_le() && b.compare(&c).is_le() && a.compare(&c).is_le());
        prop_assert_eq!(a.compare(&c).is_eq(), a.compare(&b).is_eq() && b.compare(&c).is_eq());
    }

    #[test]
    fn sort_keys_have_a_total_order_that_only_equal_ids_tie(
        (a, b, c) in (sort_key(2), sort_key(2), sort_key(2)),
        (first, second) in (any::<bool>(), any::<bool>()),
    ) {
        let mut order = Query::all().order_by("x").order_by("y").order;
        for (term, descending) in order.iter_mut().zip([first, second]) {
            term.direction = if descending { Direction::Descending } else { Direction::Ascending };
        }
        let compare = |a: &SortKey, b: &SortKey| a.compare(b, &order);
        prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
        prop_assert!(compare(&a, &b).is_ne() || a.id == b.id);
        let mut sorted = [a, b, c];
        sorted.sort_by(compare);
        let [a, b, c] = sorted;
        prop_assert!(compare(&a, &b).is_le() && compare(&b, &c).is_le() && compare(&a, &c).is_le());
    }
}
