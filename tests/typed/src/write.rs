//! Writes: what is checked, in the order in which the servers check it, and what is stored.

use http::header::IF_MATCH;
use synctable_core::query::odata::percent_encode;
use synctable_core::{Record, RecordId};
use synctable_testkit::typed::{Flavour, Taken};

use crate::answer::{self, Answer};
use crate::call::Call;
use crate::rows::{Source, Table};

/// A new record.
pub(crate) fn insert(call: &Call<'_>, table: &mut Table, source: &mut Source) -> Answer {
    let flavour = call.flavour;
    let taken = match table.model.take(flavour, &call.body(), None) {
        Ok(taken) => taken,
        Err(refusal) => return answer::refusal(flavour, &refusal),
    };
    let id = taken.id.clone().filter(|id| !id.is_empty());
    let id = RecordId::system(&id.unwrap_or_else(|| source.id(flavour)));
    if let Some(row) = table.rows.get(&id) {
        return answer::item(409, flavour, row);
    }
    let row = store(table, source, &id, taken);
    let name = id.as_str();
    let place = match flavour {
        // The record is stored by now, but this server cannot write such a header.
        Flavour::Toolkit if !name.is_ascii() => return answer::bare(500),
        Flavour::Toolkit => name.to_owned(),
        Flavour::Zumo3 => percent_encode(name),
    };
    let place = format!(
        "http://{}{}/{place}",
        call.host(),
        call.request.uri().path()
    );
    answer::located(answer::item(201, flavour, &row), &place)
}

/// What a write puts in the place of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Update {
    /// The whole record.
    Replace,
    /// The members that are named.
    Merge,
}

/// A record anew, or a part of it; also brings a tombstone back.
pub(crate) fn update(
    call: &Call<'_>,
    table: &mut Table,
    source: &mut Source,
    id: &RecordId,
    update: Update,
) -> Answer {
    let flavour = call.flavour;
    let row = table.rows.get(id).cloned();
    let onto = row.as_ref().filter(|_| update == Update::Merge);
    let taken = table
        .model
        .take(flavour, &call.body(), onto.map(Record::body));
    let mut taken = match taken {
        Ok(taken) => taken,
        Err(refusal) => return answer::refusal(flavour, &refusal),
    };
    let same = taken.id.as_deref() == Some(id.as_str());
    if !same && (update == Update::Replace || taken.id.is_some()) {
        return answer::status(flavour, 400);
    }
    let Some(row) = row else {
        return answer::status(flavour, 404);
    };
    if row.is_deleted() && !call.include_deleted() {
        return answer::status(flavour, 410);
    }
    if !call.condition_holds(&IF_MATCH, &row) {
        return answer::item(412, flavour, &row);
    }
    if update == Update::Merge && taken.deleted.is_none() {
        taken.deleted = Some(row.is_deleted());
    }
    let row = store(table, source, id, taken);
    answer::item(200, flavour, &row)
}

/// No more record.
pub(crate) fn delete(
    call: &Call<'_>,
    table: &mut Table,
    source: &mut Source,
    id: &RecordId,
) -> Answer {
    let flavour = call.flavour;
    let Some(row) = table.rows.get(id) else {
        return answer::status(flavour, 404);
    };
    if row.is_deleted() {
        return answer::status(flavour, 410);
    }
    if !call.condition_holds(&IF_MATCH, row) {
        return answer::item(412, flavour, row);
    }
    table.delete(id, source);
    table.count(id);
    answer::bare(204)
}

fn store(table: &mut Table, source: &mut Source, id: &RecordId, taken: Taken) -> Record {
    let deleted = taken.deleted.unwrap_or_default();
    let row = Record::from_stored(id.clone(), source.stamp(deleted), taken.body);
    table.store(row.clone());
    table.count(id);
    row
}
