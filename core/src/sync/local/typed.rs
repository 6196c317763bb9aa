//! Records as the application's types.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::name::TableName;
use crate::record::Record;
use crate::words::json_error;

/// A marker for typed handles that is `Send` and `Sync` whatever the type is.
pub(crate) type Typed<T> = PhantomData<fn() -> T>;

/// Reads a record into the type of a handle.
pub(crate) fn typed<T: DeserializeOwned>(table: &TableName, record: &Record) -> Result<T, Error> {
    record.to().map_err(|source| Error::Typed {
        table: table.clone(),
        id: record.id().clone(),
        source: json_error(source),
    })
}
