//! How deep and how large a query may be.

use synctable_core::query::odata::{
    Limits, ODataError, Spelling, parse_filter, parse_filter_with, parse_order_by, parse_select,
};
use synctable_core::query::{BinaryOp, Expr, RemoteQuery, field};

use super::rewritten;

/// With room for long text, so that the other limits show.
fn roomy() -> Limits {
    let mut limits = Limits::default();
    limits.length = usize::MAX;
    limits
}

fn message(result: Result<Expr, ODataError>) -> String {
    result.unwrap_err().to_string()
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
        // Each operator of its own level: the deepest recursion there is.
        ("1 or 1 and 1 eq 1 add 1 mul (", ")", 20),
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
    let error = RemoteQuery::from_odata(&format!("a={}", "b".repeat(65_535))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "query, position 0: longer than 65536 bytes"
    );

    let mut small = Limits::default();
    (small.depth, small.nodes, small.terms) = (1, 3, 3);
    assert!(parse_filter_with("(a eq b)", &small).is_ok());
    assert!(parse_filter_with("((a))", &small).is_err());
    assert!(parse_filter_with("a or b or c", &small).is_err());
    assert!(RemoteQuery::from_odata_with("$orderby=a,b,c", &small).is_ok());
    assert!(RemoteQuery::from_odata_with("$orderby=a,b,c,d", &small).is_err());
    assert!(RemoteQuery::from_odata_with("$filter=((a))", &small).is_err());
}

#[test]
fn an_order_has_few_terms() {
    let terms = |count: usize| vec!["a desc"; count].join(",");
    assert_eq!(parse_order_by(&terms(32)).unwrap().len(), 32);
    let error = parse_order_by(&terms(33)).unwrap_err().to_string();
    assert_eq!(error, "$orderby, position 224: more than 32 terms");
    assert!(RemoteQuery::from_odata(&format!("$orderby={}", terms(33))).is_err());
}

/// The older spelling repeats the operand of a list for each of its items: lists within lists would fill the memory.
#[test]
fn lists_in_lists_are_not_written_out_without_end() {
    let text = format!("n{}", " in (1,2,3)".repeat(40));
    let filter = parse_filter(&text).unwrap();
    assert!(filter.to_odata(Spelling::V4).is_ok());
    let error = filter.to_odata(Spelling::V2).unwrap_err();
    assert!(error.to_string().contains("longer than"), "{error}");
}
