//! What the application asks of a push.

use crate::name::TableName;
use crate::sync::cancel::CancelToken;

/// What a push is told to do.
#[derive(Debug)]
pub(crate) struct Orders {
    /// Operations that may be at the server at once.
    pub(crate) parallel: usize,
    pub(crate) cancel: CancelToken,
    /// Only these; `None`: all.
    pub(crate) tables: Option<Vec<TableName>>,
}

impl Default for Orders {
    fn default() -> Self {
        Self {
            parallel: 1,
            cancel: CancelToken::new(),
            tables: None,
        }
    }
}
