//! OData text in both spellings: what is read, what is written, what is refused and where.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use synctable_core::query::odata::{
    Limits, ODataError, Spelling, parse_filter, parse_filter_with, parse_order_by, parse_select,
    percent_decode, percent_encode,
};
use synctable_core::query::{
    BinaryOp, Direction, Expr, FieldPath, Function, Literal, OrderBy, Query, field,
};

fn rewritten(text: &str, spelling: Spelling) -> String {
    parse_filter(text)
        .unwrap_or_else(|error| panic!("{text}: {error}"))
        .to_odata(spelling)
        .unwrap()
}

#[test]
fn both_spellings_are_read_and_written() {
    // Text, then what the newer and the older spelling make of it.
    let cases = [
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
    for (text, newer, older) in cases {
        for (spelling, expected) in [(Spelling::V4, newer), (Spelling::V2, older)] {
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
    let cases: [(Expr, Spelling, &str); 12] = [
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
fn errors_say_what_and_where() {
    let cases = [
        ("", 0, "expected a value, found the end"),
        ("   ", 3, "expected a value, found the end"),
        ("text eq", 7, "expected a value, found the end"),
        ("text eq )", 8, "expected a value, found ')'"),
        ("(a eq 1", 7, "expected an operator or ')', found the end"),
        ("a eq 1)", 6, "expected an operator, found ')'"),
        ("ä eq 'ö' ) ", 9, "expected an operator, found ')'"),
        ("a b", 2, "expected an operator, found 'b'"),
        ("a EQ 1", 2, "expected an operator, found 'EQ'"),
        ("nosuch(text) eq 1", 0, "unknown function 'nosuch'"),
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
            "the text that starts here has no closing quote; write a quote inside as '' and an & as %26",
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
            "cannot cast to 'Edm.Int32'; known are Edm.DateTimeOffset, Edm.Date, Edm.TimeOfDay and Edm.Guid",
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
    for (text, position, message) in cases {
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

#[test]
fn orders_are_ascending_unless_told() {
    let term = |path: &str, direction| OrderBy {
        path: path.into(),
        direction,
    };
    assert_eq!(
        parse_order_by("a desc, b/c asc ,desc,asc desc").unwrap(),
        [
            term("a", Direction::Descending),
            term("b/c", Direction::Ascending),
            term("desc", Direction::Ascending),
            term("asc", Direction::Descending),
        ]
    );
    let cases = [
        ("", 0, "expected a member, found the end"),
        ("a,", 2, "expected a member, found the end"),
        (
            "rank sideways",
            5,
            "expected asc, desc or ',', found 'sideways'",
        ),
        ("a desc desc", 7, "expected ',', found 'desc'"),
        ("a DESC", 2, "expected asc, desc or ',', found 'DESC'"),
        ("1", 0, "expected a member, found '1'"),
        ("length(a)", 6, "expected asc, desc or ',', found '('"),
    ];
    for (text, position, message) in cases {
        let error = parse_order_by(text).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("$orderby, position {position}: {message}"),
            "{text}"
        );
    }
}

#[test]
fn selections_name_members_once_and_without_blanks() {
    assert_eq!(parse_select("id,text,id").unwrap(), ["id", "text"]);
    for (text, position) in [("a, b", 2), ("", 0), ("ä,b,", 4), ("a/b", 0), ("a,*", 2)] {
        let error = parse_select(text).unwrap_err();
        assert_eq!(error.position(), position, "{text}: {error}");
        assert!(error.to_string().starts_with("$select, "), "{error}");
    }
}

#[test]
fn whole_queries_are_read() {
    let expected = Query::all()
        .filter(field("complete").eq(false))
        .order_by_desc("text")
        .skip(1)
        .top(1)
        .with_total()
        .select(["id", "text"]);
    for text in [
        "$filter=(complete eq false)&$orderby=text desc&$skip=1&$top=1&$inlinecount=allpages&$select=id,text",
        "%24filter=(complete%20eq%20false)&%24orderby=text%20desc&%24skip=1&%24top=1&%24count=true&%24select=id%2Ctext",
        "?$FILTER=complete eq false&$OrderBy=text desc&$Skip=1&$tOp=1&$InlineCount=AllPages&$select=id,text&",
    ] {
        assert_eq!(Query::from_odata(text).unwrap(), expected, "{text}");
    }
    let text = "b=2&__includedeleted=TRUE&a=1%261&b&=x&$count=false&c=d=e+f";
    let query = Query::from_odata(text).unwrap();
    let others = [
        ("b", "2"),
        ("a", "1&1"),
        ("b", ""),
        ("", "x"),
        ("c", "d=e+f"),
    ];
    let others = others.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(query.parameters, others);
    assert!(query.include_deleted && !query.total);
    assert!(
        !Query::from_odata("__includeDeleted=false")
            .unwrap()
            .include_deleted
    );
    assert_eq!(Query::from_odata("").unwrap(), Query::all());
    assert_eq!(Query::from_odata("$top=0").unwrap(), Query::all().top(0));
    let offset = "$filter=t ge datetimeoffset'2016-01-01T00:00:00.0000000%2B00:00'";
    let plus = Query::from_odata(&offset.replace("%2B", "+")).unwrap();
    assert_eq!(plus, Query::from_odata(offset).unwrap());
}

#[test]
fn bad_queries_say_where() {
    let whole = "position 0: expected a whole number that is not negative";
    let escape = "'%' needs two hexadecimal digits behind it; write the sign itself as %25";
    let cases = [
        ("$top=-1", format!("$top, {whole}, found '-1'")),
        ("$top=", format!("$top, {whole}, found ''")),
        ("$skip=%2B1", format!("$skip, {whole}, found '+1'")),
        (
            "$top=18446744073709551616",
            format!("$top, {whole}, found '18446744073709551616'"),
        ),
        (
            "$count=maybe",
            "$count, position 0: expected true or false, found 'maybe'".into(),
        ),
        (
            "$inlinecount=all",
            "$inlinecount, position 0: expected allpages or none, found 'all'".into(),
        ),
        (
            "a=ä&$top=1&%24TOP=1",
            "query, position 11: $top is given twice".into(),
        ),
        (
            "ä=1&$Expand=a",
            "query, position 4: unknown option '$Expand'".into(),
        ),
        (
            "ä=1&$filter=ä eq '100%'",
            format!("query, position 21: {escape}"),
        ),
        ("?ä%2=1", format!("query, position 2: {escape}")),
        (
            "a=1&b=%ff",
            "query, position 6: the percent-escapes are not UTF-8".into(),
        ),
        (
            "a=1&$filter=ä%20%C3%A4",
            "$filter, position 2: expected an operator, found 'ä'".into(),
        ),
    ];
    for (text, message) in cases {
        assert_eq!(
            Query::from_odata(text).unwrap_err().to_string(),
            message,
            "{text}"
        );
    }
}

#[test]
fn whole_queries_are_written() {
    let query = Query::all()
        .filter(field("text").eq("50% & ü"))
        .order_by("rank")
        .order_by_desc("a/b")
        .skip(2)
        .top(0)
        .select(["id", "text"])
        .with_total()
        .include_deleted()
        .page(7)
        .parameter("?x=y", "a b");
    assert_eq!(
        query.to_odata().unwrap(),
        "$filter=(text eq '50%25 %26 ü')&$orderby=rank,a/b desc&$skip=2&$top=0&$select=id,text&$count=true\
         &__includeDeleted=true&%3Fx%3Dy=a b"
    );
    assert_eq!(
        query.to_query_string(Spelling::V2).unwrap(),
        "$filter=%28text%20eq%20%2750%25%20%26%20%C3%BC%27%29&$orderby=rank%2Ca%2Fb%20desc&$skip=2&$top=0\
         &$select=id%2Ctext&$inlinecount=allpages&__includeDeleted=true&%3Fx%3Dy=a%20b"
    );
    assert_eq!(Query::all().to_odata().as_deref(), Ok(""));
    for bad in [
        Query::all().order_by("a b"),
        Query::all().select(["a,b"]),
        Query::all().select::<String>([]),
        Query::all().filter(field(" ").eq(1)),
    ] {
        assert!(bad.to_query_string(Spelling::V4).is_err(), "{bad:?}");
    }
}

#[test]
fn percent_escapes_cover_every_byte() {
    let all: String = (0..=0x2ff).filter_map(char::from_u32).collect();
    let encoded = percent_encode(&all);
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"%-._~".contains(&b);
    assert!(encoded.bytes().all(unreserved), "{encoded}");
    assert_eq!(percent_decode(&encoded).unwrap(), all);
    assert_eq!(percent_decode("%c3%A4+").unwrap(), "ä+");
    for (bad, position) in [
        ("a%", 1),
        ("ä%4", 1),
        ("%zz", 0),
        ("%%41", 0),
        ("%+1", 0),
        ("%é", 0),
    ] {
        assert_eq!(
            percent_decode(bad).unwrap_err().position(),
            position,
            "{bad}"
        );
    }
}

/// With room for long text, so that the other limits show.
fn roomy() -> Limits {
    let mut limits = Limits::default();
    limits.length = usize::MAX;
    limits
}

fn message(result: Result<Expr, ODataError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn nesting_is_limited() {
    let nested = |open: &str, levels: usize, close: &str| {
        format!("{}a{}", open.repeat(levels), close.repeat(levels))
    };
    // What opens a level, what closes it, and how many such levels are allowed.
    let cases = [
        ("(", ")", 100),
        ("not ", "", 100),
        ("not(", ")", 50),
        ("-", "", 50),
        ("tolower(", ")", 100),
        ("1 eq (", ")", 100),
        ("1 or (", ")", 100),
        ("1 in (", ")", 50),
    ];
    for (open, close, levels) in cases {
        let tree = parse_filter(&nested(open, levels, close)).unwrap();
        for spelling in [Spelling::V2, Spelling::V4] {
            let text = tree.to_odata(spelling).unwrap();
            assert_eq!(rewritten(&text, spelling), text, "{open}");
        }
        for levels in [levels + 1, 100_000, 1_000_000] {
            let error = message(parse_filter_with(&nested(open, levels, close), &roomy()));
            assert!(
                error.ends_with("nested deeper than 100 levels"),
                "{open} {levels}: {error}"
            );
        }
    }
    // Operators that lean left nest without parentheses.
    let sum = |terms: usize| vec!["1"; terms].join(" add ");
    assert!(parse_filter(&sum(101)).is_ok());
    assert!(message(parse_filter(&sum(102))).ends_with("nested deeper than 100 levels"));
    let error = parse_filter_with(&"(".repeat(1_000_000), &roomy()).unwrap_err();
    assert_eq!(error.position(), 100);
}

#[test]
fn a_tree_too_deep_to_be_read_is_not_written() {
    let right =
        |levels: usize| (0..levels).fold(field("a").eq(1), |tree, _| field("b").eq(1).or(tree));
    let text = right(99).to_odata(Spelling::V4).unwrap();
    assert_eq!(parse_filter(&text).unwrap(), right(99));
    assert!(right(101).to_odata(Spelling::V4).is_err());
    // Chains are built leaning left, and have no bound.
    let left = (0..1000).fold(field("a").eq(1), |tree, _| tree.or(field("b").eq(1)));
    let text = left.to_odata(Spelling::V4).unwrap();
    assert_eq!(leaves(&parse_filter(&text).unwrap()), leaves(&left));
}

fn height(expr: &Expr) -> usize {
    match expr {
        Expr::Binary(_, left, right) => 1 + height(left).max(height(right)),
        Expr::Not(operand) | Expr::Negate(operand) => 1 + height(operand),
        _ => 0,
    }
}

/// The terms of a chain, from left to right.
fn leaves(expr: &Expr) -> Vec<&Expr> {
    if let Expr::Binary(BinaryOp::And | BinaryOp::Or, left, right) = expr {
        [leaves(left), leaves(right)].concat()
    } else {
        vec![expr]
    }
}

#[test]
fn long_chains_make_low_trees_in_their_order() {
    for terms in [2, 31, 32, 33, 34, 100, 1000, 10_000] {
        let names: Vec<String> = (0..terms).map(|i| format!("f{i}")).collect();
        for operator in [" and ", " or "] {
            let tree = parse_filter_with(&names.join(operator), &roomy()).unwrap();
            assert!(height(&tree) <= 31, "{terms}: {}", height(&tree));
            let fields: Vec<Expr> = names
                .iter()
                .map(|name| field(name.as_str()).into())
                .collect();
            assert_eq!(leaves(&tree), fields.iter().collect::<Vec<_>>());
            let text = tree.to_odata(Spelling::V4).unwrap();
            assert_eq!(parse_filter_with(&text, &roomy()).unwrap(), tree, "{terms}");
        }
    }
}

#[test]
fn size_is_limited() {
    let chain = |terms: usize| vec!["a"; terms].join(" or ");
    assert!(parse_filter(&chain(10_000)).is_ok());
    let error = message(parse_filter(&chain(10_001)));
    assert!(
        error.ends_with("more than 20000 operands and operators"),
        "{error}"
    );
    let list = format!("a in ({}1)", "1,".repeat(20_000));
    assert!(message(parse_filter(&list)).contains("more than 20000"));

    let text = |length: usize| format!("'{}'", "x".repeat(length - 2));
    assert!(parse_filter(&text(65_536)).is_ok());
    let error = message(parse_filter(&text(65_537)));
    assert_eq!(error, "$filter, position 0: longer than 65536 bytes");
    assert!(parse_order_by(&"a".repeat(65_537)).is_err());
    assert!(parse_select(&"a".repeat(65_537)).is_err());
    let error = Query::from_odata(&format!("a={}", "b".repeat(65_535))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "query, position 0: longer than 65536 bytes"
    );

    let mut small = Limits::default();
    (small.depth, small.nodes) = (1, 3);
    assert!(parse_filter_with("(a eq b)", &small).is_ok());
    assert!(parse_filter_with("((a))", &small).is_err());
    assert!(parse_filter_with("a or b or c", &small).is_err());
    assert!(Query::from_odata_with("$orderby=a,b,c", &small).is_ok());
    assert!(Query::from_odata_with("$orderby=a,b,c,d", &small).is_err());
    assert!(Query::from_odata_with("$filter=((a))", &small).is_err());
}

#[test]
fn paths_keep_their_segments() {
    let path = FieldPath::nested(vec!["a".into(), "null".into(), "b-1".into()]).unwrap();
    assert_eq!(parse_filter("a/null/b-1").unwrap(), Expr::Field(path));
}
