//! Truth, and nests of any depth.

use proptest::prelude::*;
use synctable_core::query::{BinaryOp, Expr, field};

use crate::fixture::{all_hold, equal, matches, none_holds, operand};

#[test]
fn only_true_is_true() {
    all_hold(&[
        "b",
        "true",
        "not off",
        "not nil",
        "not nowhere",
        "not null",
        "not whole",
        "not 1",
        "not 'true'",
        "not s",
        "not not b",
        "b and true",
        "b or nil",
        "nil or b",
        "off or off or b",
        "not (b and nil)",
        "not (nil and b)",
        "not (nil or whole)",
        "b and not off and (off or b)",
        "off and off or b",
        "b or off and off",
        "not off and b",
        // A truth is a value.
        "(b and nil) eq false",
        "(whole eq 7) eq b",
        "(nil gt 1) eq false",
        "not nil eq true",
    ]);
    none_holds(&[
        "off", "nil", "nowhere", "1", "'true'", "p", "null", "b and 1", "nil or 1", "not b",
    ]);
}

#[test]
fn nests_of_any_depth_and_shape_are_judged() {
    const DEPTH: usize = 10_000;
    let truth = |value: bool| field("off").eq(!value);
    let mut left_and = truth(true);
    let mut left_or = truth(false);
    let mut right_and = truth(true);
    let mut right_or = truth(false);
    let mut not = truth(true);
    for _ in 0..DEPTH {
        left_and = left_and.and(truth(true));
        left_or = left_or.or(truth(false));
        right_and = truth(true).and(right_and);
        right_or = truth(false).or(right_or);
        not = not.not();
    }
    assert!(matches(&left_and));
    assert!(matches(&left_and.clone()), "stores clone queries");
    assert!(!matches(&left_or));
    assert!(matches(&right_and));
    assert!(!matches(&right_or));
    assert!(matches(&not));
    assert!(!matches(&left_and.and(truth(false))));
    assert!(matches(&left_or.or(truth(true))));
    assert!(!matches(&truth(true).and(not.not())));
    let sum = (0..DEPTH).fold(Expr::from(0), |sum, _| {
        Expr::Binary(BinaryOp::Add, Box::new(sum), Box::new(1.into()))
    });
    let total = Expr::from(i64::try_from(DEPTH).unwrap());
    assert!(matches(&equal(sum, total)));
}

/// A tree of `and`, `or` and `not` over constants, and its truth.
fn tree() -> impl Strategy<Value = (Expr, bool)> {
    let leaf = any::<bool>().prop_map(|truth| (Expr::from(truth), truth));
    leaf.prop_recursive(8, 40, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|(expr, truth)| (expr.not(), !truth)),
            (inner.clone(), inner.clone())
                .prop_map(|((left, a), (right, b))| (left.and(right), a && b)),
            (inner.clone(), inner).prop_map(|((left, a), (right, b))| (left.or(right), a || b)),
        ]
    })
}

proptest! {
    #[test]
    fn logic_is_two_valued(a in operand(), b in operand()) {
        let (left, right) = (matches(&a), matches(&b));
        prop_assert_eq!(matches(&a.clone().and(b.clone())), left && right);
        prop_assert_eq!(matches(&a.clone().or(b)), left || right);
        prop_assert_eq!(matches(&a.not()), !left);
    }

    #[test]
    fn trees_have_the_truth_of_their_parts((expr, truth) in tree()) {
        prop_assert_eq!(matches(&expr), truth);
        prop_assert_eq!(expr.clone(), expr);
    }
}
