//! Stands in until the parser lands.
use synctable_core::TableSchema;
use synctable_core::query::Query;
#[derive(Debug)]
pub(crate) struct UnknownField;
impl std::fmt::Display for UnknownField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("unknown field")
    }
}
pub(crate) fn check_fields(query: &Query, schema: &TableSchema) -> Result<(), UnknownField> {
    let _ = (query, schema);
    Ok(())
}
