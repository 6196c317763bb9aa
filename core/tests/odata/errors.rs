//! Filters that are refused.

use synctable_core::query::odata::parse_filter;

/// Text, then the position and the message.
const ERRORS: &[(&str, usize, &str)] = &[
    ("", 0, "expected a value, found the end"),
    ("   ", 3, "expected a value, found the end"),
    ("text eq", 7, "expected a value, found the end"),
    ("text eq )", 8, "expected a value, found ')'"),
    ("(a eq 1", 7, "expected an operator or ')', found the end"),
    ("a eq 1)", 6, "expected an operator, found ')'"),
    ("ä eq 'ö' ) ", 9, "expected an operator, found ')'"),
    ("a b", 2, "expected an operator, found 'b'"),
    ("a EQ 1", 2, "expected an operator, found 'EQ'"),
    (
        "a eq NaN",
        5,
        "there is no NaN here: what has no result is null, so write eq null",
    ),
    ("nosuch(text) eq 1", 0, "unknown function 'nosuch'"),
    ("due lt now(1)", 7, "now takes no arguments, found 1"),
    ("due lt mindatetime(1)", 19, "expected ')', found '1'"),
    (
        "cast(a,Edm.Int32) eq 1",
        5,
        "cannot cast to 'Edm.Int32'; known are Edm.String for anything, and Edm.DateTimeOffset, Edm.Date, Edm.TimeOfDay and Edm.Guid for constants",
    ),
    (
        "cast(a eq b,Edm.Date) eq 1",
        12,
        "expected Edm.String, found 'Edm.Date'",
    ),
    ("a and tolower(a,b)", 6, "tolower takes 1 argument, found 2"),
    (
        "substring(a)",
        0,
        "substring takes 2 or 3 arguments, found 1",
    ),
    (
        "substringof(a)",
        0,
        "substringof takes 2 arguments, found 1",
    ),
    ("tolower(,)", 8, "expected a value, found ','"),
    (
        "contains(a b)",
        11,
        "expected an operator, ',' or ')', found 'b'",
    ),
    ("contains(a,)", 11, "expected a value, found ')'"),
    (
        "contains(a",
        10,
        "expected an operator, ',' or ')', found the end",
    ),
    ("a in ()", 5, "the list behind in is empty"),
    ("a in 1", 5, "expected '(', found '1'"),
    (
        "year - 1900 eq 1",
        5,
        "expected an operator, found '-'; to subtract, write sub",
    ),
    (
        "year + 1",
        5,
        "expected an operator, found '+'; to add, write add",
    ),
    (
        "(year * 1)",
        6,
        "expected an operator or ')', found '*'; to multiply, write mul",
    ),
    (
        "year / 1",
        5,
        "expected an operator, found '/'; to divide, write div",
    ),
    (
        "year % 1",
        5,
        "expected an operator, found '%'; for the remainder, write mod",
    ),
    (
        "a = 1",
        2,
        "expected an operator, found '='; to compare, write eq, ne, gt, ge, lt or le",
    ),
    (
        "a && b",
        2,
        "expected an operator, found '&'; to combine, write and or or",
    ),
    (
        "5-3",
        0,
        "'5-3' is not a number; operators are words with blanks around them, as in '5 sub 3'",
    ),
    ("a eq 1e999", 5, "the number is too large"),
    (
        "a eq 'b",
        5,
        "the text that starts here has no closing quote; write a quote inside as '' (and, in the text of a URL, an & as %26)",
    ),
    (
        "a eq \"b\"",
        5,
        "expected a value, found '\"'; texts stand in single quotes",
    ),
    (
        "a eq date'2020-01-01'",
        5,
        "unknown kind of constant 'date'; known are datetime, datetimeoffset, guid and geography",
    ),
    (
        "a eq datetime'yesterday'",
        5,
        "not a valid date-time with offset, such as 2026-01-31T12:00:00.000Z",
    ),
    ("a eq 2023-02-29", 5, "not a valid date, such as 2026-01-31"),
    (
        "a eq 25:00",
        5,
        "not a valid time of day, such as 12:30:00.000",
    ),
    (
        "a eq guid'1'",
        5,
        "not a valid GUID, such as 6f9619ff-8b86-d011-b42d-00cf4fc964ff",
    ),
    (
        "a eq cast(1,Edm.Int32)",
        10,
        "cannot cast to 'Edm.Int32'; known are Edm.String for anything, and Edm.DateTimeOffset, Edm.Date, Edm.TimeOfDay and Edm.Guid for constants",
    ),
    (
        "a eq cast(1,Edm.Date)",
        10,
        "not a valid date, such as 2026-01-31",
    ),
    ("a.b eq 1", 0, "'a.b' is not the name of a member"),
    ("a eq \u{7}", 5, "expected a value, found '\\u{7}'"),
    ("a\u{0}b", 1, "expected an operator, found '\\0'"),
];

#[test]
fn errors_say_what_and_where() {
    for &(text, position, message) in ERRORS {
        let error = parse_filter(text).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("$filter, position {position}: {message}"),
            "{text}"
        );
        assert_eq!(error.position(), position);
    }
}

#[test]
fn nonsense_is_not_a_constant() {
    for bad in [
        "1.",
        ".5",
        "1.2.3",
        "1e",
        "2A",
        "0x10",
        "42.0L",
        "1_000",
        "-2020-01-01",
        "-'a'e",
        "+5",
        "1e5L",
        "e'1'",
        "--",
        "'a",
        "''a",
        "5 sub",
        "1970",
        "in",
    ] {
        let good = ["1970", "in"].contains(&bad);
        assert_eq!(parse_filter(bad).is_ok(), good, "{bad}");
    }
    for bad in [
        "POINT(1)",
        "POINT(1 2 3)",
        "POINT(181 0)",
        "POINT(0 91)",
        "POINT(a b)",
        "LINES(1 2)",
        "",
        "é",
    ] {
        assert!(parse_filter(&format!("geography'{bad}'")).is_err(), "{bad}");
    }
}
