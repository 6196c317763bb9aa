//! What is demanded of the queue after each push: nobody is blamed for what is not their own.

use synctable_core::Record;
use synctable_core::sync::{OperationKind, OperationState, ParkedOperation, SyncContext};

use super::act::{PASSING, WILD};
use super::application::Users;

/// How the message of an operation begins whose failure was counted against it. Failures on the way may be.
pub(crate) const COUNTED: &str = "tried ";

/// What is wrong with what waits. A store that cannot be read says nothing.
pub(crate) async fn watch(sync: &SyncContext, users: &Users) -> Result<(), String> {
    let Users::Theirs(application) = users else {
        let Ok(parked) = sync.parked().await else {
            return Ok(());
        };
        for parked in &parked {
            // Others may have changed it while the list was made.
            let now = sync.operation(parked.operation.seq).await;
            if let (Some(wrong), Ok(now)) = (blamed(parked), now)
                && now == parked.operation
            {
                return Err(wrong);
            }
        }
        return Ok(());
    };
    application.wrong(sync).await
}

/// The modelled server refuses nothing, and a conflict has two authors.
fn blamed(parked: &ParkedOperation) -> Option<String> {
    let operation = &parked.operation;
    let (table, id) = (&operation.table, &operation.id);
    // A pull may have met the record again, or its deletion.
    let shadow = operation.shadow.as_ref();
    let gone = shadow.map_or(operation.gone, Record::is_deleted);
    match operation.state {
        // Others make and delete these records all the time: an insert may meet one twice, and find none both times that it looks.
        OperationState::Rejected
            if operation.kind == OperationKind::Insert
                && table.as_str() == WILD
                && parked.status == Some(409) =>
        {
            None
        }
        OperationState::Rejected if !parked.message.starts_with(COUNTED) => {
            Some(format!("refused: {table}/{id}: {}", parked.message))
        }
        OperationState::Conflict if table.as_str() == PASSING => {
            Some(format!("conflict: {table}/{id} has one author: {parked:?}"))
        }
        OperationState::Conflict if operation.kind == OperationKind::Delete && gone => {
            Some(format!("conflict: {table}/{id} is deleted on both sides"))
        }
        _ => None,
    }
}
