//! What a table's declaration says about a record that a client sends.

use std::fmt;

use synctable_core::{Record, SchemaError};

use crate::error::{Failure, Fault};
use crate::handler::Call;
use crate::unique::Taken;

/// The record with what the access rule puts into it, as the client's own.
pub(crate) fn stamped(call: &Call<'_>, record: Record) -> Result<Record, Failure> {
    let stamped = call.grant.stamped(record);
    stamped.map_err(|error| Failure::bad_request(error.to_string()))
}

/// The same for a whole record: what it leaves out has its default.
pub(crate) fn whole(call: &Call<'_>, record: Record) -> Result<Record, Failure> {
    Ok(call.table.schema().filled(stamped(call, record)?))
}

/// The record as this client may store it in the place of `stored`. Only what differs from that is judged by the schema: what was there
/// before it was declared goes back as it came.
pub(crate) fn judged(
    call: &Call<'_>,
    record: Record,
    stored: Option<&Record>,
) -> Result<Record, Failure> {
    let table = &call.table;
    let known: Vec<&Record> = stored.into_iter().collect();
    let undeclared = table.declared.undeclared(&record, stored);
    // What the access rule puts into a record is not the client's.
    let undeclared = undeclared.iter().filter(|name| !call.grant.sets(name));
    let undeclared: Vec<Fault> = undeclared
        .map(|name| fault(name, format_args!("The {name} field is not declared.")))
        .collect();
    let record = match table.schema().judge_change(&table.name, record, &known) {
        Ok(record) if undeclared.is_empty() => record,
        Ok(_) => return Err(Failure::invalid(undeclared)),
        Err(errors) => {
            let faults = errors.iter().map(of_error).chain(undeclared);
            return Err(Failure::invalid(faults.collect()));
        }
    };
    if call.may_see(&record) {
        Ok(record)
    } else {
        Err(Failure::forbidden())
    }
}

/// Values that others have. Whose they are is not said: the client may not see that record.
pub(crate) fn taken(taken: &Taken) -> Failure {
    let faults = taken.0.iter().map(|(field, _)| {
        let words = format_args!("The value of the {field} field is taken by another record.");
        fault(field, words)
    });
    Failure::invalid(faults.collect())
}

fn fault(member: &str, words: fmt::Arguments<'_>) -> Fault {
    Fault {
        member: member.to_owned(),
        message: words.to_string(),
        mistyped: false,
    }
}

/// In the words of the genuine servers, where they have some.
fn of_error(error: &SchemaError) -> Fault {
    match error {
        SchemaError::Required { field, .. } => {
            fault(field, format_args!("The {field} field is required."))
        }
        SchemaError::TooLong { field, most, .. } => fault(
            field,
            format_args!("The field {field} must be a string with a maximum length of {most}."),
        ),
        SchemaError::Value {
            field, expected, ..
        } => Fault {
            mistyped: true,
            ..fault(field, format_args!("The field {field} must be {expected}."))
        },
        other => fault("", format_args!("{other}")),
    }
}
