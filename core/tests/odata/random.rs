//! Random filters, queries and text.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use synctable_core::query::odata::{
    Spelling, parse_filter, parse_order_by, parse_select, percent_decode, percent_encode,
};
use synctable_core::query::{
    BinaryOp, Direction, Expr, FieldPath, Function, Literal, OrderBy, RemoteQuery,
};
use synctable_core::{Date, TimeOfDay, Timestamp};

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[A-Za-z_@][A-Za-z0-9_@-]{0,6}",
        1 => "[äß→x][ä0-9-]{0,3}",
        // Words that mean something in another place.
        2 => prop::sample::select(vec!["in", "eq", "mod", "or", "year", "cast", "contains", "asc", "desc", "guid", "e5"])
            .prop_map(str::to_owned),
    ]
    .prop_filter("a keyword", |name| !["null", "true", "false", "not"].contains(&name.as_str()))
}

fn path() -> impl Strategy<Value = FieldPath> {
    prop::collection::vec(name(), 1..3).prop_map(|names| FieldPath::nested(names).unwrap())
}

fn literal() -> impl Strategy<Value = Literal> {
    use proptest::num::f64::{INFINITE, NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    let float = POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO | INFINITE;
    prop_oneof![
        Just(Literal::Null),
        any::<bool>().prop_map(Literal::Bool),
        any::<i64>().prop_map(Literal::Int),
        (-9i64..9).prop_map(Literal::Int),
        float.prop_map(Literal::Float),
        (-9i16..9).prop_map(|whole| Literal::Float(whole.into())),
        any::<String>().prop_map(Literal::String),
        "['a ]{0,5}".prop_map(Literal::String),
        any::<i64>().prop_map(|ticks| Literal::DateTime(Timestamp::from_ticks(ticks))),
        (Timestamp::MIN.millis()..=Timestamp::MAX.millis())
            .prop_map(|millis| Literal::DateTime(Timestamp::from_millis(millis))),
        any::<i32>().prop_map(|days| Literal::Date(Date::from_days(days % 4_000_000))),
        (0..864_000_000_000i64).prop_map(|ticks| Literal::Time(TimeOfDay::from_ticks(ticks))),
        "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}".prop_map(Literal::Guid),
        (-180.0..=180.0, -90.0..=90.0).prop_map(|(longitude, latitude)| Literal::Point {
            longitude,
            latitude
        }),
    ]
}

fn expr() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![
        path().prop_map(Expr::Field),
        literal().prop_map(Expr::Literal)
    ];
    leaf.prop_recursive(7, 60, 4, |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        let op = prop::sample::select(BinaryOp::ALL.to_vec());
        let function = prop::sample::select(Function::ALL.to_vec());
        let arguments = prop::collection::vec(inner.clone(), 3);
        prop_oneof![
            6 => (op, boxed(), boxed()).prop_map(|(op, left, right)| Expr::Binary(op, left, right)),
            2 => boxed().prop_map(Expr::Not),
            2 => boxed().prop_map(Expr::Negate),
            1 => (boxed(), prop::collection::vec(inner.clone(), 1..4))
                .prop_map(|(operand, items)| Expr::In(operand, items)),
            3 => (function, arguments, any::<bool>()).prop_map(|(function, mut arguments, most)| {
                let (fewest, more) = function.arity();
                arguments.truncate(if most { more } else { fewest });
                Expr::Call(function, arguments)
            }),
        ]
    })
}

fn query() -> impl Strategy<Value = RemoteQuery> {
    let direction = prop_oneof![Just(Direction::Ascending), Just(Direction::Descending)];
    let term = (path(), direction).prop_map(|(path, direction)| OrderBy { path, direction });
    let parameter = (any::<String>(), any::<String>()).prop_filter("an option", |(name, _)| {
        !name.starts_with('$') && !name.eq_ignore_ascii_case("__includeDeleted")
    });
    (
        prop::option::of(expr()),
        prop::collection::vec(term, 0..3),
        (any::<u64>(), prop::option::of(any::<u64>())),
        prop::option::of(prop::collection::btree_set(name(), 1..4)),
        (any::<bool>(), any::<bool>()),
        prop::collection::vec(parameter, 0..3),
    )
        .prop_map(
            |(filter, order, (skip, top), select, (total, deleted), parameters)| {
                let mut query = RemoteQuery::default();
                query.query.filter = filter;
                query.query.order = order;
                query.query.skip = skip;
                query.query.top = top;
                query.select = select.map(|names| names.into_iter().collect());
                query.total = total;
                query.include_deleted = deleted;
                query.parameters = parameters;
                query
            },
        )
}

proptest! {
    #[test]
    fn the_newer_spelling_says_every_filter(expr in expr()) {
        let text = expr.to_odata(Spelling::V4).unwrap();
        prop_assert_eq!(parse_filter(&text).unwrap(), expr, "{}", text);
    }

    #[test]
    fn the_older_spelling_says_all_but_what_is_new(expr in expr()) {
        use Function::{CastText, Date, GeoDistance, Now, Time};
        let new = expr.walk().any(|part| {
            matches!(
                part,
                Expr::Literal(Literal::Point { .. })
                    | Expr::Call(GeoDistance | Date | Time | CastText | Now, _)
            )
        });
        let text = expr.to_odata(Spelling::V2);
        prop_assert_eq!(text.is_err(), new);
        if let Ok(text) = text {
            let read = parse_filter(&text).unwrap();
            let rewritten = expr.walk().any(|part| {
                matches!(part, Expr::In(..) | Expr::Literal(Literal::Date(_) | Literal::Time(_)))
            });
            prop_assert!(rewritten || read == expr, "{}", text);
            let again = read.to_odata(Spelling::V2).unwrap();
            prop_assert_eq!(parse_filter(&again).unwrap(), read, "{}", text);
        }
    }

    #[test]
    fn whole_queries_come_back(query in query()) {
        let typed = query.to_odata().unwrap();
        prop_assert_eq!(RemoteQuery::from_odata(&typed).unwrap(), query.clone(), "{}", typed);
        let url = query.to_query_string(Spelling::V4).unwrap();
        prop_assert!(url.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%$&=_".contains(&b)), "{}", url);
        prop_assert_eq!(RemoteQuery::from_odata(&url).unwrap(), query, "{}", url);
    }

    #[test]
    fn whole_queries_come_back_in_the_older_spelling(query in query()) {
        if let Ok(url) = query.to_query_string(Spelling::V2) {
            let read = RemoteQuery::from_odata(&url).unwrap();
            let again = read.to_query_string(Spelling::V2).unwrap();
            prop_assert_eq!(RemoteQuery::from_odata(&again).unwrap(), read.clone(), "{}", url);
            // Only filters may say the same in other words.
            let mut expected = query;
            expected.query.filter.clone_from(&read.query.filter);
            prop_assert_eq!(read, expected, "{}", url);
        }
    }

    #[test]
    fn percent_escapes_come_back(text in any::<String>()) {
        prop_assert_eq!(percent_decode(&percent_encode(&text)).unwrap(), text);
    }
}

/// Text of any characters, or of pieces that a filter is made of.
fn text() -> impl Strategy<Value = String> {
    let pieces = vec![
        "(",
        ")",
        ",",
        "-",
        "'",
        "''",
        "'a'",
        " ",
        "/",
        "a",
        "b/c",
        "not",
        "null",
        "in",
        "in (1,2)",
        "and",
        "or",
        "eq",
        "add",
        "mul",
        "1",
        "2.5",
        "1e9",
        "9223372036854775808",
        "2020-01-01",
        "12:30",
        "T",
        "Z",
        "+01:00",
        "2020-01-01T00:00:00Z",
        "datetime'2020-01-01'",
        "guid'",
        "geography'POINT(1 2)'",
        "cast(",
        "Edm.Date",
        "cast(12:30,Edm.TimeOfDay)",
        "contains(",
        "substringof(",
        "contains(a,'b')",
        "tolower(",
        "substring(",
        "ä",
        "\u{0}",
        "$filter=",
        "$orderby=",
        "$top=",
        "&",
        "=",
        "%",
        "%20",
        "%C3",
        "desc",
        "asc",
        "?",
        "1L",
        "é\u{301}",
    ];
    let piece = prop::sample::select(pieces);
    prop_oneof![
        1 => any::<String>(),
        1 => "[ -~]{0,40}",
        3 => prop::collection::vec(piece.clone(), 0..24).prop_map(|pieces| pieces.join(" ")),
        2 => prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat()),
    ]
}

fn is_read_or_refused(text: &str) -> TestCaseResult {
    let one_line = |message: String| !message.chars().any(char::is_control);
    match parse_filter(text) {
        Ok(read) => {
            let written = read.to_odata(Spelling::V4).unwrap();
            prop_assert_eq!(parse_filter(&written).unwrap(), read);
        }
        Err(error) => {
            prop_assert!(error.position() <= text.chars().count(), "{}", error);
            prop_assert!(one_line(error.to_string()), "{:?}", error);
        }
    }
    let errors = [
        parse_order_by(text).err(),
        parse_select(text).err(),
        RemoteQuery::from_odata(text).err(),
        RemoteQuery::from_odata(&format!("$filter={text}")).err(),
    ];
    for error in errors.into_iter().flatten() {
        prop_assert!(one_line(error.to_string()), "{:?}", error);
    }
    Ok(())
}

fn texts_are_read_or_refused(cases: u32) {
    let config = Config {
        cases,
        ..Config::default()
    };
    let result = TestRunner::new(config).run(&text(), |text| is_read_or_refused(&text));
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn any_text_is_read_or_refused() {
    texts_are_read_or_refused(4000);
}

#[test]
#[ignore = "long"]
fn any_text_is_read_or_refused_a_million_times() {
    texts_are_read_or_refused(1_000_000);
}
