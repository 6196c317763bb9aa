//! Tests of [`slot`](super).

use super::*;

fn slot(record: Option<&str>) -> Slot {
    let record = record.map(|json| Record::from_json(json).unwrap());
    Slot::new(
        TableName::new("t").unwrap(),
        RecordId::new("a").unwrap(),
        record,
        Vec::new(),
    )
}

fn record(json: &str) -> Record {
    Record::from_json(json).unwrap()
}

fn seqs() -> impl FnMut() -> u64 {
    let mut last = 0;
    move || {
        last += 1;
        last
    }
}

#[test]
fn an_update_keeps_the_version_and_the_base() {
    let mut slot = slot(Some(r#"{"id":"a","version":"v1","n":1}"#));
    let mut next = seqs();
    slot.apply(
        &Intent::Update(Draft::from_json(r#"{"n":2}"#).unwrap()),
        &mut next,
    )
    .unwrap();
    slot.apply(
        &Intent::Update(Draft::from_json(r#"{"n":3}"#).unwrap()),
        &mut next,
    )
    .unwrap();
    let operation = slot.operations.first().unwrap();
    assert_eq!(slot.operations.len(), 1);
    assert_eq!(operation.base.as_ref().unwrap().body(), r#"{"n":1}"#);
    assert_eq!(
        slot.record.as_ref().unwrap().version().unwrap().as_str(),
        "v1"
    );
}

#[test]
fn an_edit_of_a_sent_record_freezes_what_was_sent() {
    let mut slot = slot(Some(r#"{"id":"a","version":"v1","n":1}"#));
    let mut next = seqs();
    slot.apply(
        &Intent::Update(Draft::from_json(r#"{"n":2}"#).unwrap()),
        &mut next,
    )
    .unwrap();
    slot.operations.last_mut().unwrap().state = OperationState::Attempted;
    slot.apply(
        &Intent::Update(Draft::from_json(r#"{"n":3}"#).unwrap()),
        &mut next,
    )
    .unwrap();
    let frozen = slot.operations.first().unwrap();
    assert_eq!(frozen.item.as_ref().unwrap().body(), r#"{"n":2}"#);
    assert_eq!(slot.operations.len(), 2);
    assert!(slot.condense(1));
    assert_eq!(slot.operations.len(), 1);
    assert_eq!(slot.operations.first().unwrap().item, None);
}

#[test]
fn an_edit_of_a_table_that_became_local_only_is_kept_from_what_is_queued() {
    let mut next = seqs();
    let mut synced = slot(None);
    let first = Intent::Insert(record(r#"{"id":"a","n":1}"#));
    synced.apply(&first, &mut next).unwrap();
    for change in [
        Intent::Update(Draft::from_json(r#"{"n":2}"#).unwrap()),
        Intent::Update(Draft::from_json(r#"{"n":3}"#).unwrap()),
        Intent::Delete,
    ] {
        let mut slot = synced.clone().local_only(true);
        slot.apply(&change, &mut next).unwrap();
        let queued = slot.operations.first().unwrap();
        assert_eq!(queued.kind, OperationKind::Insert, "{change:?}");
        assert_eq!(queued.item.as_ref().unwrap().body(), r#"{"n":1}"#);
        let here = slot.record.clone();
        let kept = slot.kept_apart(1).unwrap();
        assert_eq!(kept, KeptApart(here.clone()));
        slot.record = Some(record(r#"{"id":"a","version":"v1","n":1}"#));
        slot.operations.clear();
        slot.put_back(1, kept);
        let members = |record: &Option<Record>| record.as_ref().map(|it| it.body().to_owned());
        assert_eq!(members(&slot.record), members(&here), "{change:?}");
    }
}

#[test]
fn a_sent_insert_and_a_delete_leave_a_delete() {
    let mut slot = slot(None);
    let mut next = seqs();
    slot.apply(&Intent::Insert(record(r#"{"id":"a"}"#)), &mut next)
        .unwrap();
    slot.operations.last_mut().unwrap().state = OperationState::Attempted;
    slot.apply(&Intent::Delete, &mut next).unwrap();
    let kinds: Vec<_> = slot
        .operations
        .iter()
        .map(|operation| operation.kind)
        .collect();
    assert_eq!(kinds, [OperationKind::Insert, OperationKind::Delete]);
}

#[test]
fn delete_then_insert_replaces_on_the_version_of_the_delete() {
    let mut slot = slot(Some(r#"{"id":"a","version":"v1","n":1}"#));
    let mut next = seqs();
    slot.apply(&Intent::Delete, &mut next).unwrap();
    slot.apply(&Intent::Insert(record(r#"{"id":"a","n":9}"#)), &mut next)
        .unwrap();
    assert_eq!(slot.operations.len(), 1);
    assert_eq!(
        slot.operations.first().unwrap().kind,
        OperationKind::Replace
    );
    assert_eq!(
        slot.record.as_ref().unwrap().version().unwrap().as_str(),
        "v1"
    );
}

#[test]
fn impossible_changes_are_refused_before_anything_changes() {
    let mut empty = slot(None);
    let mut next = seqs();
    assert!(matches!(
        empty.apply(&Intent::Delete, &mut next),
        Err(Error::NotFound { .. })
    ));
    let mut full = slot(Some(r#"{"id":"a","version":"v"}"#));
    let again = full.apply(&Intent::Insert(record(r#"{"id":"a"}"#)), &mut next);
    assert!(matches!(again, Err(Error::AlreadyExists { .. })));
    assert!(full.operations.is_empty());
}

#[test]
fn a_batch_writes_record_and_operation_together() {
    let mut slot = slot(None);
    slot.apply(&Intent::Insert(record(r#"{"id":"a","n":1}"#)), &mut seqs())
        .unwrap();
    let mut batch = WriteBatch::new();
    slot.write_into(&mut batch).unwrap();
    assert_eq!((batch.checks().len(), batch.writes().len()), (2, 2));
}
