//! Orders, selections and whole query strings.

use synctable_core::query::odata::{
    Spelling, parse_order_by, parse_select, percent_decode, percent_encode,
};
use synctable_core::query::{Direction, OrderBy, Query, RemoteQuery, field};

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
        assert_eq!(RemoteQuery::from_odata(text).unwrap(), expected, "{text}");
    }
    let text = "b=2&__includedeleted=TRUE&a=1%261&b&=x&$count=false&c=d=e+f";
    let query = RemoteQuery::from_odata(text).unwrap();
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
        !RemoteQuery::from_odata("__includeDeleted=false")
            .unwrap()
            .include_deleted
    );
    assert_eq!(RemoteQuery::from_odata("").unwrap(), Query::all().into());
    assert_eq!(
        RemoteQuery::from_odata("$top=0").unwrap(),
        Query::all().top(0).into()
    );
    let offset = "$filter=t ge datetimeoffset'2016-01-01T00:00:00.0000000%2B00:00'";
    let plus = RemoteQuery::from_odata(&offset.replace("%2B", "+")).unwrap();
    assert_eq!(plus, RemoteQuery::from_odata(offset).unwrap());
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
            RemoteQuery::from_odata(text).unwrap_err().to_string(),
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
        RemoteQuery::all().order_by("a b"),
        RemoteQuery::all().select(["a,b"]),
        RemoteQuery::all().select([""; 0]),
        RemoteQuery::all().filter(field(" ").eq(1)),
    ] {
        assert!(bad.to_query_string(Spelling::V4).is_err(), "{bad:?}");
    }
}

#[test]
fn a_store_is_asked_for_nothing_that_it_does_not_look_at() {
    let text = "?$filter=n gt 5&$orderby=n desc&$skip=1&$top=2";
    let query = Query::from_odata(text).unwrap();
    assert_eq!(RemoteQuery::from_odata(text).unwrap(), query.into());
    for text in ["$select=id", "$count=true", "a=1", "__includeDeleted=true"] {
        assert!(RemoteQuery::from_odata(text).is_ok());
        assert_eq!(
            Query::from_odata(text).unwrap_err().to_string(),
            "query, position 0: only $filter, $orderby, $skip and $top go to a store"
        );
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
