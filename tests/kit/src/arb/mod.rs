//! Random schemas, records and queries as proptest strategies.
//!
//! They are made to meet: the same few texts and numbers, all of them awkward, occur in records and in the
//! constants of filters; declared fields hold fitting and misfit values; few ids make collisions.
//!
//! ```
//! use proptest::prelude::*;
//! use synctable_testkit::arb;
//! let cases = arb::schema().prop_flat_map(|schema| {
//!     (arb::records(&schema, 8), arb::query(&schema), Just(schema))
//! });
//! proptest!(|((records, query, schema) in cases)| {
//!     // Store the records, ask the store, and compare with `page_of(&query, &schema, records)`.
//!     # let _ = (records, query, schema);
//! });
//! ```

mod query;
mod record;
mod schema;
mod value;

pub use query::{expr, query};
pub use record::{id, record, records, system};
pub use schema::{field_type, schema};
pub use value::{fitting, json, literal};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use synctable_core::{Record, Schema, TableName};

    proptest! {
        #[test]
        fn schemas_can_be_declared(table in super::schema()) {
            let schema = Schema::new().with_table(TableName::new("t").unwrap(), table);
            prop_assert_eq!(schema.check(), Ok(()));
        }

        #[test]
        fn fitting_values_fit((ty, text) in super::field_type().prop_flat_map(|ty| (Just(ty.clone()), super::fitting(&ty)))) {
            prop_assert!(ty.fits(&text), "{} is not {}", text, ty);
            prop_assert_ne!(text, "null");
        }

        #[test]
        fn records_are_what_a_record_is_read_as(record in super::schema().prop_flat_map(|schema| super::record(&schema))) {
            let read = Record::new(record.id().clone(), record.body()).unwrap();
            prop_assert_eq!(read.with_system(record.system().clone()), record);
        }
    }
}
