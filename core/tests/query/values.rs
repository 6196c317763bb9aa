//! The values of members and system properties.

use synctable_core::query::odata::parse_filter;
use synctable_core::query::{Evaluator, field};
use synctable_core::{Record, TableSchema};

use crate::fixture::{all_hold, equal, matches, path};

#[test]
fn system_properties_have_their_own_kinds() {
    all_hold(&[
        "id eq 'Rec-1'",
        "version eq 'v7'",
        "createdAt eq null",
        "updatedAt eq 2024-02-29T12:00:00.500Z",
        "updatedAt gt 2024-02-29",
        "deleted eq false",
        "not deleted",
        "id/x eq null",
        "updatedAt/x eq null",
        "deleted/x eq null",
    ]);
    let bare = Record::from_json(r#"{"id":"a","deleted":true}"#).unwrap();
    let filter = parse_filter("version eq null and updatedAt eq null and deleted").unwrap();
    assert!(Evaluator::new(&TableSchema::new()).matches(&filter, &bare));
}

#[test]
fn members_have_their_declared_or_natural_kind() {
    all_hold(&[
        // Declared: the kind of the type.
        "d eq 2024-02-29",
        "t eq 13:14:15.5",
        "dt eq 2024-02-29T11:00:00Z",
        "p eq geography'POINT(13.4 52.5)'",
        "low lt high",
        "s eq 'Straße'",
        "bytes eq 'AAEC'",
        "i eq 9007199254740993",
        "n eq 2.5",
        "b",
        // Undeclared: text stays text, so that it sorts and compares as text.
        "date eq '2024-02-29'",
        "date gt '2024-02'",
        "datetime ne '2024-02-29T11:00:00.000Z'",
        "place ne geography'POINT(13.4 52.5)'",
        "free eq concat(free,'')",
        "length(free) eq 5",
        "contains(free,'\"é\"')",
        "été eq 'summer'",
        "whole eq float",
        // A value that does not fit its type keeps its natural kind.
        "bad_d eq '2023-02-29'",
        "bad_t eq '25:00'",
        "bad_dt eq 'soon'",
        "bad_e eq 'MID'",
        "bad_i eq '7'",
        "bad_s eq 7",
        "bad_p eq bad_p",
        // Missing and null are one.
        "nil eq null",
        "nowhere eq null",
        "nil eq nowhere",
        // Names are exact.
        "S eq null",
    ]);
    assert!(matches(&equal(path(&[""]), "empty")));
    assert!(matches(&equal(path(&["a/b"]), "slash")));
    assert!(!matches(&equal(path(&["a", "b"]), "slash")));
}

#[test]
fn nested_paths_descend_objects_only() {
    all_hold(&[
        "j/city eq 'Ulm'",
        "j/deep/n eq 1",
        "j/zip eq null",
        "j/nowhere eq null",
        "j/city/length eq null",
        "list/a eq null",
        "nil/a eq null",
        "nowhere/a eq null",
        "n/a eq null",
        // Below the top level every value has its natural kind.
        "j/d eq '2024-02-29'",
        "p/type eq 'Point'",
        // Of a member that occurs twice the last counts.
        "j/x eq 2",
    ]);
}

#[test]
fn numbers_are_read_to_the_nearest_float() {
    // A common shortcut of JSON readers misses the nearest float of some of these by one.
    for text in [
        "0.1",
        "1e23",
        "5e-324",
        "8.533e+68",
        "7.2057594037927933e16",
        "123.4567890123456789",
    ] {
        let record = Record::from_json(&format!(r#"{{"id":"a","x":{text}}}"#)).unwrap();
        let filter = field("x").eq(text.parse::<f64>().unwrap());
        assert!(
            Evaluator::new(&TableSchema::new()).matches(&filter, &record),
            "{text}"
        );
    }
}
