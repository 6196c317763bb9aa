//! Arithmetic and functions.

use synctable_core::query::odata::parse_filter;
use synctable_core::query::{Expr, Function, Literal, field};

use crate::fixture::{all_hold, equal, matches};

#[test]
fn arithmetic_is_exact_or_null() {
    all_hold(&[
        "whole add 1 eq 8",
        "whole sub 10 eq -3",
        "whole mul 6 eq 42",
        "7 div 2 eq 3",
        "-7 div 2 eq -3",
        "7 div -2 eq -3",
        "-7 mod 3 eq -1",
        "7 mod -3 eq 1",
        "i add 1 eq 9007199254740994",
        "7.0 div 2 eq 3.5",
        "7 div 2.0 eq 3.5",
        "-7.5 mod 2 eq -1.5",
        "n add 0.5 eq 3",
        "-whole eq -7",
        "-(n) eq -2.5",
        // Overflow and division by zero.
        "9223372036854775807 add 1 eq null",
        "-9223372036854775808 sub 1 eq null",
        "9223372036854775807 mul 2 eq null",
        "-9223372036854775808 div -1 eq null",
        "-(-9223372036854775808) eq null",
        "1 div 0 eq null",
        "1 mod 0 eq null",
        "1 div 0.0 gt 1.7e308 and -1 div 0.0 lt -1.7e308",
        "1 div 0.0 eq INF and -1 div 0.0 eq -INF and INF gt 1.7e308 and -INF lt 0 and not (INF lt INF)",
        "whole lt INF and n gt -INF and -INF ne INF and -(INF) eq -INF and INF sub 1 eq INF and INF ne null",
        "1 div 0.0 in (1,INF) and cast(-INF,Edm.String) eq '-INF' and not (nil lt INF)",
        "1 div 0.0 eq 2.5 div 0.0 and 1 div 0.0 sub 1 gt 1e308",
        "0 div 0.0 eq null and 1 mod 0.0 eq null and 1.0 div 0 eq null",
        "1e308 mul 10 eq null",
        "1 div (n sub n) gt 1e308",
        "0.0 div 0 eq null",
        "1.0 mod 0 eq null",
        "huge mul huge eq null",
        "9223372036854775807 add 1.0 eq 9223372036854775808.0",
        // Null and other kinds.
        "nil add 1 eq null",
        "1 sub nil eq null",
        "s add 1 eq null",
        "b mul 1 eq null",
        "d add 1 eq null",
        "bad_i add 1 eq null",
        "-nil eq null",
        "-s eq null",
        "1 add 2 mul 3 sub 4 eq 3",
    ]);
}

#[test]
fn text_functions() {
    all_hold(&[
        "tolower(s) eq 'straße'",
        "toupper(s) eq 'STRASSE'",
        "tolower('ÀÉ') eq 'àé'",
        "trim('\u{a0}\t a b \n') eq 'a b'",
        "length(s) eq 6",
        "length('😀e\u{301}') eq 3",
        "length('') eq 0",
        "concat('a',concat(mid,'b')) eq 'amidb'",
        "indexof(s,'ß') eq 4",
        "indexof('éab','b') eq 2",
        "indexof(s,'x') eq -1",
        "indexof(s,'') eq 0",
        "indexof('aXbX','X') eq 1",
        "substring('éabc',1) eq 'abc'",
        "substring('éabc',1,2) eq 'ab'",
        "substring('abc',-5) eq 'abc'",
        "substring('abc',-5,2) eq 'ab'",
        "substring('abc',1,-1) eq ''",
        "substring('abc',3) eq ''",
        "substring('abc',9,9) eq ''",
        "substring('abc',1,9223372036854775807) eq 'bc'",
        "substring('abc',9223372036854775807) eq ''",
        "substring('abc',0,0) eq ''",
        "substring('aaa',1,1) eq 'a'",
        "replace('aaa','a','bb') eq 'bbbbbb'",
        "replace('aaa','aa','b') eq 'ba'",
        "replace('abc','','x') eq 'abc'",
        "replace('abc','b','') eq 'ac'",
        "contains(s,'raß')",
        "contains(s,'')",
        "startswith(s,'Str')",
        "endswith(s,'ße')",
        "contains(s,'RAß') eq false",
        "startswith(s,'str') eq false",
        "endswith(s,'E') eq false",
        // The word of an enum is a text here.
        "toupper(mid) eq 'MID'",
        "length(high) eq 4",
        "contains(high,'ig')",
        "startswith('highest',high)",
    ]);
}

#[test]
fn functions_of_null_or_of_the_wrong_kind_are_null() {
    for call in [
        "tolower(nil)",
        "toupper(whole)",
        "trim(b)",
        "length(list)",
        "length(dt)",
        "length(d)",
        "concat(s,nil)",
        "concat(nil,s)",
        "concat(s,1)",
        "indexof(s,1)",
        "indexof(nil,'')",
        "substring(s,'1')",
        "substring(s,1.0)",
        "substring(s,nil)",
        "substring(s,1,nil)",
        "substring(s,1,1.5)",
        "substring(nil,1)",
        "replace(nil,'a','b')",
        "replace(s,nil,'b')",
        "replace(s,'a',1)",
        "contains(s,nil)",
        "contains(nil,'')",
        "startswith(list,'')",
        "endswith(1,'1')",
        "year(nil)",
        "year(1)",
        "year(list)",
        "year('soon')",
        "year(t)",
        "month(time)",
        "day(t)",
        "hour(d)",
        "minute(date)",
        "second(d)",
        "floor(nil)",
        "floor('1')",
        "ceiling(b)",
        "round(d)",
        "geo.distance(p,nil)",
        "geo.distance(p,list)",
        "geo.distance('x',p)",
    ] {
        all_hold(&[&format!("{call} eq null")]);
    }
    // The builder takes any number of arguments.
    for count in [0, 2, 3, 4] {
        let call = Expr::Call(Function::Year, vec![Expr::from("2024-01-01"); count]);
        assert!(matches(&equal(call, Literal::Null)), "{count}");
    }
}

#[test]
fn parts_of_moments() {
    all_hold(&[
        "year(dt) eq 2024 and month(dt) eq 2 and day(dt) eq 29",
        "hour(dt) eq 12 and minute(dt) eq 0 and second(dt) eq 0",
        "year(d) eq 2024 and month(d) eq 2 and day(d) eq 29",
        "hour(t) eq 13 and minute(t) eq 14 and second(t) eq 15",
        "year(datetime) eq 2024 and hour(datetime) eq 11",
        "year(date) eq 2024 and day(date) eq 29",
        "hour(time) eq 13 and second(time) eq 15",
        "hour('2024-02-29T00:30:00+01:00') eq 0",
        "day('2024-02-29T00:30:00+01:00') eq 29",
        "hour(2024-02-29T00:30:00+01:00) eq 0",
        "date(dt) eq 2024-02-29 and time(dt) eq 12:00:00",
        "date(d) eq d and time(t) eq t and date(t) eq null and time(d) eq null",
        "mindatetime() lt dt and dt lt maxdatetime() and now() eq null",
        "year('0001-01-01') eq 1",
        "second(updatedAt) eq 0",
        "hour('1969-12-31T23:59:59.9999999Z') eq 23",
    ]);
}

#[test]
fn anything_simple_is_cast_to_text() {
    all_hold(&[
        "cast(b,Edm.String) eq 'true' and cast(nil,Edm.String) eq null",
        "cast(5,Edm.String) eq '5' and cast(5.0,Edm.String) eq '5.0' and cast(-1e300,Edm.String) eq '-1e300'",
        "cast(1 div 0.0,Edm.String) eq 'INF'",
        "cast(d,Edm.String) eq '2024-02-29' and cast(dt,Edm.String) eq '2024-02-29T11:00:00.000Z'",
        "cast(s,Edm.String) eq s and cast(low,Edm.String) eq 'low' and cast('a',Edm.String) eq 'a'",
        "cast(j,Edm.String) eq null and cast(p,Edm.String) eq null",
        "cast(1 add 1,Edm.String) eq '2'",
    ]);
}

#[test]
fn rounding_and_distance() {
    all_hold(&[
        "floor(2.7) eq 2",
        "floor(-2.2) eq -3",
        "ceiling(2.2) eq 3",
        "ceiling(-2.7) eq -2",
        "round(0.5) eq 1",
        "round(-0.5) eq -1",
        "round(1.5) eq 2",
        "round(2.5) eq 3",
        "round(-2.5) eq -3",
        "round(2.500001) eq 3",
        "round(i) eq 9007199254740993",
        // A float stays a float: its quotient is not cut.
        "floor(7.9) div 2 eq 3.5",
        "floor(7) div 2 eq 3",
        "geo.distance(p,p) eq 0",
        "geo.distance(p,q) eq 0",
        "geo.distance(p,place) eq 0",
        // From pole to pole, half a circle of radius 6371.
        "geo.distance(geography'POINT(0 90)',geography'POINT(0 -90)') gt 20015.0867",
        "geo.distance(geography'POINT(0 90)',geography'POINT(0 -90)') lt 20015.0868",
        // Berlin to Paris.
        "geo.distance(p,geography'POINT(2.35 48.86)') gt 876",
        "geo.distance(p,geography'POINT(2.35 48.86)') lt 880",
        // Across the date line.
        "geo.distance(geography'POINT(179.5 0)',geography'POINT(-179.5 0)') lt 112",
    ]);
}

#[test]
fn the_builder_has_a_word_for_each_function() {
    let s = || field("s");
    let point = Literal::Point {
        longitude: 2.0,
        latitude: 48.0,
    };
    for (built, text) in [
        (s().index_of("b").ge(0), "indexof(s,'b') ge 0"),
        (s().concat("b").eq("ab"), "concat(s,'b') eq 'ab'"),
        (s().substring(1).eq("b"), "substring(s,1) eq 'b'"),
        (s().replace("a", "b").eq("b"), "replace(s,'a','b') eq 'b'"),
        (field("t").hour().lt(7), "hour(t) lt 7"),
        (field("t").minute().lt(7), "minute(t) lt 7"),
        (field("t").second().lt(7), "second(t) lt 7"),
        (field("n").floor().eq(7), "floor(n) eq 7"),
        (field("n").ceiling().eq(7), "ceiling(n) eq 7"),
        (field("n").round().eq(7), "round(n) eq 7"),
        (field("n").add(1).mul(2).gt(7), "(n add 1) mul 2 gt 7"),
        (field("n").sub(1).gt(7), "n sub 1 gt 7"),
        (field("n").div(2).gt(7), "n div 2 gt 7"),
        (field("n").rem(2).eq(1), "n mod 2 eq 1"),
        (
            field("p").distance(point).lt(5),
            "geo.distance(p,geography'POINT(2 48)') lt 5",
        ),
    ] {
        assert_eq!(built, parse_filter(text).unwrap(), "{text}");
    }
}
