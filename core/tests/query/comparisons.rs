//! How values compare.

use proptest::prelude::*;
use synctable_core::query::{BinaryOp, Expr, Literal, field};

use crate::fixture::{all_hold, binary, equal, float_near, literal, matches, none_holds, operand};

#[test]
fn numbers_compare_exactly() {
    let int = |n| literal(Literal::Int(n));
    let float = |n| literal(Literal::Float(n));
    let two_53 = 9_007_199_254_740_992.0;
    // Smaller, larger.
    let pairs = [
        (float(two_53), int(9_007_199_254_740_993)),
        (int(9_007_199_254_740_991), float(two_53)),
        (int(i64::MAX), float(9_223_372_036_854_775_808.0)),
        (float(-9_223_372_036_854_775_809.0 * 2.0), int(i64::MIN)),
        (int(-3), float(-2.5)),
        (float(-2.5), int(-2)),
        (int(2), float(2.5)),
        (float(2.5), int(3)),
        (float(-1e300), int(i64::MIN)),
        (int(i64::MAX), float(1e300)),
        (int(0), float(5e-324)),
        (float(-5e-324), int(0)),
        (float(0.1), float(0.2)),
        (int(-1), int(0)),
    ];
    for (small, large) in pairs {
        for (op, forwards) in [
            (BinaryOp::Lt, true),
            (BinaryOp::Le, true),
            (BinaryOp::Gt, false),
            (BinaryOp::Ge, false),
            (BinaryOp::Eq, false),
            (BinaryOp::Ne, true),
        ] {
            let equality = matches!(op, BinaryOp::Eq | BinaryOp::Ne);
            assert_eq!(
                matches(&binary(op, &small, &large)),
                forwards,
                "{small:?} {op:?} {large:?}"
            );
            assert_eq!(
                matches(&binary(op, &large, &small)),
                forwards == equality,
                "{large:?} {op:?} {small:?}"
            );
        }
    }
    all_hold(&[
        "i ne 9007199254740992.0",
        "i gt 9007199254740992.0",
        "big eq 9223372036854775808.0",
        "big gt 9223372036854775807",
        "float eq 7",
        "minus eq 0",
        "minus eq -0.0",
        "huge eq 1e300",
        "whole ge 7.0 and whole le 7.0",
        "n gt 2 and n lt 3",
    ]);
    let lowest = float(-9_223_372_036_854_775_808.0);
    assert!(matches(&equal(int(i64::MIN), lowest)));
}

#[test]
fn booleans_and_texts_compare() {
    all_hold(&[
        "off lt true",
        "b gt false",
        "off le false and off ge false",
        "'Z' lt 'a'",
        "'a' lt 'ab'",
        "'' lt 'a'",
        "'z' lt 'é'",
        // By UTF-8, not by UTF-16, where the two are the other way round.
        "'\u{ffff}' lt '\u{10000}'",
        "'e\u{301}' ne 'é'",
        "s ne 'strasse'",
        "s ne 'straße'",
    ]);
}

#[test]
fn moments_compare_by_value_and_with_texts() {
    all_hold(&[
        "dt eq 2024-02-29T12:00:00+01:00",
        "dt gt 2024-02-29T10:59:59.9999999Z",
        "midnight eq 2024-02-29",
        "2024-02-29 eq midnight",
        "d eq midnight",
        "midnight eq d",
        "d lt dt",
        "dt gt d",
        "d lt 2024-03-01T00:00:00Z",
        "d gt 2024-02-28T23:59:59.9999999Z",
        // A text is read as what it is compared with.
        "dt eq '2024-02-29T11:00:00Z'",
        "'2024-02-29T11:00:00.000+00:00' eq dt",
        "midnight eq '2024-02-29'",
        "dt gt '2024-02-29'",
        "'2024-02-29' lt dt",
        "datetime eq 2024-02-29T11:00:00Z",
        "datetime eq dt",
        "date eq d",
        "date eq midnight",
        "date le 2024-02-29",
        "time eq t",
        "time ge 13:14",
        "t lt '13:15'",
        "t eq '13:14:15.5000'",
        "d eq '2024-02-29'",
        "d lt '2024-03-01'",
    ]);
    // What cannot be read, and other kinds, do not compare.
    for pair in [
        "dt soon",
        "d 2024-02-29T00:00:00Z",
        "d 2024-2-9",
        "t noon",
        "dt 13:14",
        "t 2024-02-29",
    ] {
        let (name, text) = pair.split_once(' ').unwrap();
        for op in ["eq", "lt", "le", "gt", "ge"] {
            none_holds(&[
                &format!("{name} {op} '{text}'"),
                &format!("'{text}' {op} {name}"),
            ]);
        }
        all_hold(&[&format!("{name} ne '{text}'")]);
    }
    none_holds(&[
        "t eq d",
        "t lt dt",
        "dt gt t",
        "d lt t",
        "bad_dt lt dt",
        "bad_d le d",
    ]);
}

#[test]
fn enums_compare_by_position() {
    all_hold(&[
        "low lt mid",
        "mid lt high",
        "high ge mid",
        "mid eq 'mid'",
        "'mid' eq mid",
        "mid gt 'low'",
        "'high' gt mid",
        "mid lt 'high'",
        "mid in ('low','mid')",
        // Not among the words.
        "mid ne 'MID'",
        "mid ne ''",
        // Other words: by their bytes.
        "low eq other",
        "high lt other",
        "other gt high",
        // The natural kind of a word that was not declared is text, which is then no word of the enum.
        "bad_e ne mid",
    ]);
    none_holds(&[
        "mid lt 'zzz'",
        "mid gt 'zzz'",
        "mid ge 'MID'",
        "'a' lt mid",
        "mid eq 1",
        "mid lt 1",
        "mid eq d",
        "bad_e lt high",
    ]);
}

#[test]
fn guids_compare_without_regard_to_case() {
    all_hold(&[
        "guid eq guid'6f9619ff-8B86-D011-B42D-00CF4FC964FF'",
        "6f9619ff-8b86-d011-b42d-00cf4fc964ff eq guid",
        "guid ne 6f9619ff-8b86-d011-b42d-00cf4fc964fe",
        "guid gt 6f9619ff-8b86-d011-b42d-00cf4fc964fe",
        "guid lt 6f9619ff-8b86-d011-b42d-00cf4fc964ff eq false",
        "guid in (6F9619FF-8B86-D011-B42D-00CF4FC964FF)",
        "guid ne '6f9619ff-8b86-d011-b42d-00cf4fc964ff'",
        "whole ne 6f9619ff-8b86-d011-b42d-00cf4fc964ff",
    ]);
}

#[test]
fn points_and_json_are_equal_by_value_and_have_no_order() {
    all_hold(&[
        "p eq q",
        "p eq geography'SRID=4326;POINT(13.4 52.5)'",
        "p ne geography'POINT(52.5 13.4)'",
        "list eq same",
        "list eq list",
        "j ne list",
        "place eq place",
        // One is a point, the other is JSON.
        "p ne place",
        "bad_p ne p",
        "list ne '[1]'",
    ]);
    none_holds(&[
        "p le q",
        "p ge q",
        "p lt q",
        "list le same",
        "list gt list",
        "p lt place",
    ]);
}

#[test]
fn kinds_that_do_not_compare_are_different_and_have_no_order() {
    let of_kinds = ["b", "whole", "n", "s", "dt", "d", "t", "mid", "p", "list"];
    for (at, left) in of_kinds.iter().enumerate() {
        for right in &of_kinds[at + 1..] {
            // A date and a date-time compare, and so do numbers.
            if matches!((*left, *right), ("whole", "n") | ("dt", "d")) {
                continue;
            }
            for (left, right) in [(left, right), (right, left)] {
                all_hold(&[&format!("{left} ne {right}")]);
                for op in ["eq", "lt", "le", "gt", "ge"] {
                    none_holds(&[&format!("{left} {op} {right}")]);
                }
            }
        }
    }
    all_hold(&["b ne 1", "whole ne '7'", "s ne true"]);
}

#[test]
fn null_equals_null_only_and_has_no_order() {
    all_hold(&["null eq null", "nil eq null", "not (nil ne null)"]);
    for value in [
        "b", "off", "whole", "s", "dt", "d", "t", "mid", "p", "list", "''", "0",
    ] {
        all_hold(&[&format!("{value} ne null"), &format!("null ne {value}")]);
        none_holds(&[&format!("{value} eq null"), &format!("null eq {value}")]);
    }
    for op in ["lt", "le", "gt", "ge"] {
        none_holds(&[
            &format!("nil {op} null"),
            &format!("nil {op} 1"),
            &format!("1 {op} nil"),
            &format!("'' {op} nil"),
            &format!("nil {op} false"),
        ]);
    }
}

#[test]
fn in_is_eq_with_one_of_the_list() {
    all_hold(&[
        "whole in (1, 7)",
        "whole in (7.0)",
        "nil in (1, null)",
        "whole in (nil, float)",
        "not (nil in (1, 2))",
        "dt in ('2024-02-29T11:00:00Z')",
        "list in (1, same)",
        "not (s in (1, true))",
    ]);
    assert!(!matches(&field("whole").is_in(Vec::<i64>::new())));
}

/// Any integer, many of them where floats begin to leave some out.
fn integer() -> impl Strategy<Value = i64> {
    let edge = 1_i64 << 53;
    prop_oneof![
        any::<i64>(),
        -10..10_i64,
        edge - 10..edge + 10,
        -edge - 10..-edge + 10
    ]
}

proptest! {
    #[test]
    fn comparisons_agree_with_each_other(a in operand(), b in operand()) {
        let of = |op| matches(&binary(op, &a, &b));
        let mirrored = |op| matches(&binary(op, &b, &a));
        prop_assert_eq!(of(BinaryOp::Ne), !of(BinaryOp::Eq));
        prop_assert_eq!(of(BinaryOp::Eq), mirrored(BinaryOp::Eq));
        prop_assert_eq!(of(BinaryOp::Lt), mirrored(BinaryOp::Gt));
        prop_assert_eq!(of(BinaryOp::Le), mirrored(BinaryOp::Ge));
        prop_assert!(!(of(BinaryOp::Lt) && of(BinaryOp::Gt)));
        prop_assert!(!(of(BinaryOp::Lt) && of(BinaryOp::Eq)));
        prop_assert_eq!(of(BinaryOp::Le) && !of(BinaryOp::Eq), of(BinaryOp::Lt));
        prop_assert_eq!(of(BinaryOp::Eq), matches(&Expr::In(Box::new(a.clone()), vec![b])));
        prop_assert!(matches(&equal(a.clone(), a)));
    }

    /// The exact order of an integer and a float, against one that compares whole and half numbers as integers.
    #[test]
    fn integers_and_floats_have_their_exact_order(int in integer(), steps in -4..4_i64, halves in any::<bool>()) {
        let near = float_near(int.saturating_add(steps));
        let float = if halves { near / 2.0 } else { near };
        #[expect(clippy::cast_possible_truncation, reason = "below 2^65, and doubling makes it whole")]
        let doubled = (float * 2.0) as i128;
        let expected = (i128::from(int) * 2).cmp(&doubled);
        let judge = |op| matches(&binary(op, &int.into(), &float.into()));
        prop_assert_eq!(judge(BinaryOp::Lt), expected.is_lt());
        prop_assert_eq!(judge(BinaryOp::Eq), expected.is_eq());
        prop_assert_eq!(judge(BinaryOp::Gt), expected.is_gt());
    }
}
