//! What steps make of a declaration.

use super::{Change, Step, Steps};
use crate::name::TableName;
use crate::schema::{Declaration, DeviceRules, IndexSpec, MergeRules, TableSchema};

impl Steps {
    /// A declaration in the words of number `words`, in those of all steps.
    pub(crate) fn declared(
        &self,
        table: &TableName,
        words: u32,
        mut declared: Declaration,
    ) -> Declaration {
        for (_, step) in self.of(table, words) {
            step.on_schema(&mut declared.schema);
            step.on_rules(&mut declared.device);
        }
        declared
    }
}

impl Step {
    fn on_schema(&self, schema: &mut TableSchema) {
        match &self.change {
            Change::Rename { from, to } => {
                // A field of the new name was one that nobody could tell from a free member: it gives way.
                if schema.field(from).is_some() {
                    schema.fields.0.retain(|field| field.name != *to);
                }
                for field in &mut schema.fields.0 {
                    if field.name == *from {
                        field.name.clone_from(to);
                    }
                }
                for name in schema.indexes.iter_mut().flat_map(|spec| &mut spec.fields) {
                    if name == from {
                        name.clone_from(to);
                    }
                }
            }
            Change::Remove { field } => {
                schema.fields.0.retain(|other| other.name != *field);
                schema.indexes.retain(|spec| !spec.fields.contains(field));
            }
            Change::Retype { field, new, .. } => {
                for other in &mut schema.fields.0 {
                    if other.name == *field {
                        other.ty = new.clone();
                        // Options that the new type cannot have are none of it; the application declares those that it can.
                        if other.options.misfit(new).is_some() {
                            other.options = crate::schema::FieldOptions::new();
                        }
                    }
                }
            }
            Change::Index { fields } => {
                let spec = IndexSpec {
                    fields: fields.clone(),
                };
                let known = |name: &String| {
                    schema.field(name).is_some()
                        || crate::record::SYSTEM_PROPERTIES.contains(&name.as_str())
                };
                if !schema.indexes.contains(&spec) && spec.fields.iter().all(known) {
                    schema.indexes.push(spec);
                }
            }
        }
        let mut seen: Vec<IndexSpec> = Vec::new();
        schema.indexes.retain(|spec| {
            let new = !seen.contains(spec);
            seen.push(spec.clone());
            new
        });
    }

    fn on_rules(&self, rules: &mut DeviceRules) {
        let about = |path: &str, name: &str| {
            path.strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let moved = rules.merge.iter().filter_map(|(path, rule)| {
            let path = match &self.change {
                Change::Rename { from, to } if about(path, from) => {
                    format!(
                        "{to}{}",
                        path.strip_prefix(from.as_str()).unwrap_or_default()
                    )
                }
                // The application gives its rule for the new type.
                Change::Remove { field } | Change::Retype { field, .. } if about(path, field) => {
                    return None;
                }
                _ => path.to_owned(),
            };
            Some((path, rule))
        });
        let moved: Vec<_> = moved.collect();
        rules.merge = moved
            .into_iter()
            .fold(MergeRules::new(), |rules, (path, rule)| {
                rules.with(path, rule)
            });
    }
}
