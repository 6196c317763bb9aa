//! What the policy of the context decides about a conflict by itself.

use crate::record::Record;
use crate::schema::Declaration;
use crate::sync::decide::conflict::{ConflictDecision, ConflictDetails, ConflictPolicy};
use crate::sync::decide::merge::join;
use crate::sync::inner::Inner;
use crate::sync::push::meaning::with_zeros;

impl Inner {
    /// The decision on a conflict that a push met, and words about it. `last_round`: it was decided too often in this push.
    pub(crate) fn decide_conflict(
        &self,
        details: &ConflictDetails,
        last_round: bool,
    ) -> (ConflictDecision, String) {
        let parked = |message: String| (ConflictDecision::Park, message);
        if last_round {
            return parked("the server's record keeps changing".to_owned());
        }
        match &self.settings.conflicts {
            ConflictPolicy::ServerWins => (ConflictDecision::Server, String::new()),
            ConflictPolicy::ClientWins => (ConflictDecision::Client, String::new()),
            ConflictPolicy::Merge => {
                let declared = self.tables.get(&details.operation.table);
                merge_decision(&declared, details)
                    .map_or_else(parked, |decision| (decision, String::new()))
            }
            // The application decides later, or is asked once the push holds nothing any more.
            ConflictPolicy::Park | ConflictPolicy::Custom(_) => parked(String::new()),
        }
    }
}

/// What a decision may take values from that the schema does not know.
pub(crate) fn sides(conflict: &ConflictDetails) -> Vec<&Record> {
    [&conflict.local, &conflict.server, &conflict.base]
        .into_iter()
        .flatten()
        .collect()
}

/// The merged record as a decision, or why there is none.
pub(crate) fn merge_decision(
    table: &Declaration,
    conflict: &ConflictDetails,
) -> Result<ConflictDecision, String> {
    let (Some(local), Some(server)) = (
        &conflict.local,
        conflict
            .server
            .as_ref()
            .filter(|record| !record.is_deleted()),
    ) else {
        return Err("one side deleted the record".into());
    };
    let unsure = conflict.operation.unsure;
    let base = conflict.base.as_ref();
    let defaults = table.schema.defaults();
    let local = base.map_or_else(|| local.clone(), |base| with_zeros(base, local, &defaults));
    let merged = join(&table.device.merge, &defaults, unsure, base, &local, server);
    if !merged.clashes.is_empty() {
        let names = merged.clashes.join(", ");
        Err(if unsure {
            format!(
                "both sides changed {names}, and an answer was lost, so the change may be in already"
            )
        } else {
            format!("both sides changed {names}")
        })
    } else if merged.record.same_members(server) {
        Ok(ConflictDecision::Server)
    } else {
        Ok(ConflictDecision::With(merged.record))
    }
}
