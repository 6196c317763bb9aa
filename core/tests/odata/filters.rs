//! Filters that are read and written.

use synctable_core::query::odata::{Spelling, parse_filter};
use synctable_core::query::{Expr, FieldPath, Function, Literal, field};

use super::rewritten;

/// Text, then what the newer and the older spelling make of it.
const SPELLINGS: &[(&str, &str, &str)] = &[
    ("done", "done", "done"),
    ("(done)", "done", "done"),
    ("not done", "not done", "not done"),
    (
        "not(done eq true)",
        "not (done eq true)",
        "not (done eq true)",
    ),
    ("not not done", "not not done", "not not done"),
    ("done eq false", "(done eq false)", "(done eq false)"),
    ("text eq 'it''s'", "(text eq 'it''s')", "(text eq 'it''s')"),
    ("text ne ''", "(text ne '')", "(text ne '')"),
    ("text eq null", "(text eq null)", "(text eq null)"),
    (
        "address/city eq 'Ulm'",
        "(address/city eq 'Ulm')",
        "(address/city eq 'Ulm')",
    ),
    (
        "substringof('3',text)",
        "contains(text,'3')",
        "substringof('3',text)",
    ),
    (
        "contains(text, '3')",
        "contains(text,'3')",
        "substringof('3',text)",
    ),
    (
        "startswith(text,'row') and length(text) eq 5 and substringof('3',text)",
        "(startswith(text,'row') and (length(text) eq 5) and contains(text,'3'))",
        "(startswith(text,'row') and (length(text) eq 5) and substringof('3',text))",
    ),
    (
        "(updatedAt ge datetimeoffset'1969-12-31T00:00:00.000Z')",
        "(updatedAt ge cast(1969-12-31T00:00:00.000Z,Edm.DateTimeOffset))",
        "(updatedAt ge datetimeoffset'1969-12-31T00:00:00.000Z')",
    ),
    (
        "updatedAt gt cast(2020-01-01T00:00:00.000Z,Edm.DateTimeOffset)",
        "(updatedAt gt cast(2020-01-01T00:00:00.000Z,Edm.DateTimeOffset))",
        "(updatedAt gt datetimeoffset'2020-01-01T00:00:00.000Z')",
    ),
    (
        "d eq cast( '2020-01-01' , Edm.Date )",
        "(d eq cast(2020-01-01,Edm.Date))",
        "(d eq datetimeoffset'2020-01-01T00:00:00.000Z')",
    ),
    (
        "d eq 2020-01-01",
        "(d eq cast(2020-01-01,Edm.Date))",
        "(d eq datetimeoffset'2020-01-01T00:00:00.000Z')",
    ),
    (
        "t eq 02:14:00",
        "(t eq cast(02:14:00.000,Edm.TimeOfDay))",
        "(t eq '02:14:00.000')",
    ),
    (
        "t eq cast(02:14:00,Edm.TimeOfDay)",
        "(t eq cast(02:14:00.000,Edm.TimeOfDay))",
        "(t eq '02:14:00.000')",
    ),
    (
        "g eq guid'6F9619ff-8b86-d011-b42d-00cf4fc964ff'",
        "(g eq cast(6F9619ff-8b86-d011-b42d-00cf4fc964ff,Edm.Guid))",
        "(g eq guid'6F9619ff-8b86-d011-b42d-00cf4fc964ff')",
    ),
    (
        "g eq cast(af9619ff-8b86-d011-b42d-00cf4fc964ff, Edm.Guid)",
        "(g eq cast(af9619ff-8b86-d011-b42d-00cf4fc964ff,Edm.Guid))",
        "(g eq guid'af9619ff-8b86-d011-b42d-00cf4fc964ff')",
    ),
    (
        "g eq af9619ff-8b86-d011-b42d-00cf4fc964ff",
        "(g eq cast(af9619ff-8b86-d011-b42d-00cf4fc964ff,Edm.Guid))",
        "(g eq guid'af9619ff-8b86-d011-b42d-00cf4fc964ff')",
    ),
    (
        "id in ('a', 'b')",
        "(id in ('a','b'))",
        "((id eq 'a') or (id eq 'b'))",
    ),
    ("id in ('a')", "(id in ('a'))", "(id eq 'a')"),
    (
        "in in (1) and eq eq mod mod add",
        "((in in (1)) and (eq eq (mod mod add)))",
        "((in eq 1) and (eq eq (mod mod add)))",
    ),
    (
        "replace(text,'a','b') eq 'c'",
        "(replace(text,'a','b') eq 'c')",
        "(replace(text,'a','b') eq 'c')",
    ),
    (
        "substring(text,1,2) eq substring(text,1)",
        "(substring(text,1,2) eq substring(text,1))",
        "(substring(text,1,2) eq substring(text,1))",
    ),
    (
        "year div 1000.5 eq 2",
        "((year div 1000.5) eq 2)",
        "((year div 1000.5) eq 2)",
    ),
    (
        "year(due) eq 2026",
        "(year(due) eq 2026)",
        "(year(due) eq 2026)",
    ),
    ("-x lt -(5)", "(-x lt -(5))", "(-x lt -(5))"),
    ("- -5 eq -(-x)", "(-(-5) eq -(-x))", "(-(-5) eq -(-x))"),
];

#[test]
fn both_spellings_are_read_and_written() {
    for (text, newer, older) in SPELLINGS {
        for (spelling, expected) in [(Spelling::V4, *newer), (Spelling::V2, *older)] {
            assert_eq!(rewritten(text, spelling), expected, "{text}");
            assert_eq!(rewritten(expected, spelling), expected, "{text} is stable");
        }
    }
}

#[test]
fn operators_bind_as_odata_says() {
    let cases = [
        ("a or b and c", "(a or (b and c))"),
        ("a and b or c", "((a and b) or c)"),
        ("a and b and c", "(a and b and c)"),
        ("a and (b and c)", "(a and (b and c))"),
        ("a eq b eq c", "((a eq b) eq c)"),
        ("a eq b in (1)", "(a eq (b in (1)))"),
        ("a add 1 in (1)", "((a add 1) in (1))"),
        ("a add b mul c sub d", "((a add (b mul c)) sub d)"),
        ("a div b mod c", "((a div b) mod c)"),
        ("not a eq b", "(not a eq b)"),
        ("not (a eq b)", "not (a eq b)"),
        ("-a mul b", "(-a mul b)"),
        ("a lt 1 or\tb\ngt 2", "((a lt 1) or (b gt 2))"),
        ("(a)and(b)", "(a and b)"),
    ];
    for (text, expected) in cases {
        assert_eq!(rewritten(text, Spelling::V4), expected, "{text}");
    }
    let built = Expr::from(field("a")).and(field("b")).and(field("c"));
    assert_eq!(parse_filter("a and b and c").unwrap(), built);
}

#[test]
fn constants_become_the_literals_they_say() {
    let point = |longitude, latitude| Literal::Point {
        longitude,
        latitude,
    };
    let instant = |text: &str| Literal::DateTime(text.parse().unwrap());
    let clock = |text: &str| Literal::Time(text.parse().unwrap());
    let cases = [
        ("42", Literal::Int(42)),
        ("-42", Literal::Int(-42)),
        ("- 42", Literal::Int(-42)),
        ("42L", Literal::Int(42)),
        ("42l", Literal::Int(42)),
        ("9223372036854775807", Literal::Int(i64::MAX)),
        ("-9223372036854775808", Literal::Int(i64::MIN)),
        (
            "9223372036854775808",
            Literal::Float(9_223_372_036_854_775_808.0),
        ),
        ("42.0", Literal::Float(42.0)),
        ("42.5f", Literal::Float(42.5)),
        ("42F", Literal::Float(42.0)),
        ("42.5M", Literal::Float(42.5)),
        ("42m", Literal::Float(42.0)),
        ("42d", Literal::Float(42.0)),
        ("42.25D", Literal::Float(42.25)),
        ("1f", Literal::Float(1.0)),
        ("1e5", Literal::Float(1e5)),
        ("1.5E+5", Literal::Float(1.5e5)),
        ("-1e-5", Literal::Float(-1e-5)),
        ("true", Literal::Bool(true)),
        ("false", Literal::Bool(false)),
        ("null", Literal::Null),
        ("'&+%'", Literal::String("&+%".into())),
        (
            "datetime'2016-01-01T00:00:00.000Z'",
            instant("2016-01-01T00:00:00Z"),
        ),
        (
            "datetime'2016-01-01T00:00:00'",
            instant("2016-01-01T00:00:00Z"),
        ),
        ("datetime'2016-01-01'", instant("2016-01-01T00:00:00Z")),
        (
            "datetimeoffset'2016-01-01T00:00:00Z'",
            instant("2016-01-01T00:00:00Z"),
        ),
        (
            "datetimeoffset'2016-01-01T00:00:00.1234567+01:00'",
            instant("2015-12-31T23:00:00.1234567Z"),
        ),
        (
            "datetimeoffset'2016-01-01T00:00:00.123456789-01:30'",
            instant("2016-01-01T01:30:00.1234567Z"),
        ),
        ("2016-01-01T00:00:00Z", instant("2016-01-01T00:00:00Z")),
        ("2016-01-01T00:00:00+01:00", instant("2015-12-31T23:00:00Z")),
        ("2016-01-01t00:00:00.5", instant("2016-01-01T00:00:00.5Z")),
        ("2016-01-31", Literal::Date("2016-01-31".parse().unwrap())),
        ("12:30", clock("12:30:00")),
        ("12:30:01.5", clock("12:30:01.5")),
        ("geography'POINT(-122.5 47.25)'", point(-122.5, 47.25)),
        (
            "geography'SRID=4326;Point ( 180 -90 )'",
            point(180.0, -90.0),
        ),
    ];
    for (text, literal) in cases {
        assert_eq!(
            parse_filter(text).unwrap(),
            Expr::Literal(literal),
            "{text}"
        );
    }
}

#[test]
fn written_constants_stay_what_they_are() {
    let written =
        |literal: &Literal, spelling| Expr::Literal(literal.clone()).to_odata(spelling).unwrap();
    let fine = Literal::DateTime("2022-01-01T00:00:00.0000001Z".parse().unwrap());
    let cases = [
        (Literal::Float(42.0), Spelling::V4, "42.0"),
        (Literal::Float(1e300), Spelling::V2, "1e300"),
        (Literal::Int(-42), Spelling::V4, "-42"),
        (
            fine.clone(),
            Spelling::V4,
            "cast(2022-01-01T00:00:00.0000001Z,Edm.DateTimeOffset)",
        ),
        (
            fine,
            Spelling::V2,
            "datetimeoffset'2022-01-01T00:00:00.0000001Z'",
        ),
        (
            Literal::Point {
                longitude: -122.5,
                latitude: 47.0,
            },
            Spelling::V4,
            "geography'POINT(-122.5 47)'",
        ),
    ];
    for (literal, spelling, expected) in cases {
        assert_eq!(written(&literal, spelling), expected);
        assert_eq!(
            parse_filter(expected).unwrap(),
            Expr::Literal(literal),
            "{expected}"
        );
    }
    let distance = "geo.distance(place,geography'POINT(1 2)') lt 5.5";
    assert_eq!(rewritten(distance, Spelling::V4), format!("({distance})"));
}

#[test]
fn the_writer_names_what_it_cannot_say() {
    let near = Literal::Point {
        longitude: 0.0,
        latitude: 0.0,
    };
    let far = Literal::Point {
        longitude: 181.0,
        latitude: 0.0,
    };
    let guid = "af9619ff-8b86-d011-b42d-00cf4fc964ff";
    let cases: [(Expr, Spelling, &str); 14] = [
        (
            parse_filter("geo.distance(a,b) lt 1").unwrap(),
            Spelling::V2,
            "geo.distance",
        ),
        (near.into(), Spelling::V2, "point"),
        (far.into(), Spelling::V4, "not on the globe"),
        (Literal::Float(f64::NAN).into(), Spelling::V4, "not finite"),
        (Literal::Guid("x'y".into()).into(), Spelling::V4, "GUID"),
        (field("a b").eq(1), Spelling::V4, "'a b'"),
        (field("").eq(1), Spelling::V4, "''"),
        (field("a/0").eq(1), Spelling::V4, "'0'"),
        (field("null").eq(1), Spelling::V2, "'null'"),
        (field("not").eq(1), Spelling::V2, "'not'"),
        (field("INF").eq(1), Spelling::V4, "'INF'"),
        (field("NaN").eq(1), Spelling::V4, "'NaN'"),
        (field(guid).eq(1), Spelling::V2, "'af9619ff"),
        (
            Expr::Call(Function::Replace, vec![1.into()]),
            Spelling::V4,
            "replace with 1",
        ),
    ];
    for (expr, spelling, part) in cases {
        let message = expr.to_odata(spelling).unwrap_err().to_string();
        assert!(message.contains(part), "{message}: {part}");
    }
    let nothing = Expr::In(Box::new(1.into()), vec![]);
    assert_eq!(nothing.to_odata(Spelling::V4).as_deref(), Ok("false"));
}

#[test]
fn paths_keep_their_segments() {
    let path = FieldPath::nested(vec!["a".into(), "null".into(), "b-1".into()]).unwrap();
    assert_eq!(parse_filter("a/null/b-1").unwrap(), Expr::Field(path));
}
