//! The settings of a context.

use std::sync::Arc;

use crate::clock::Sleep;
use crate::store::Durability;
use crate::sync::decide::conflict::ConflictPolicy;
use crate::sync::push::batch::MOST;
use crate::sync::push::patience::RetryPolicy;

/// What the application chose when it opened the context; each with the meaning of its method on
/// [`ContextBuilder`](crate::sync::ContextBuilder).
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) conflicts: ConflictPolicy,
    pub(crate) max_record_bytes: usize,
    pub(crate) overlap_millis: i64,
    pub(crate) pull_page: u32,
    pub(crate) queue_tail: u32,
    pub(crate) push_group: usize,
    pub(crate) local_durability: Durability,
    pub(crate) ask_before_undelete: bool,
    pub(crate) patience: RetryPolicy,
    pub(crate) sleep: Option<Arc<dyn Sleep>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            conflicts: ConflictPolicy::default(),
            max_record_bytes: 1 << 20,
            overlap_millis: 5_000,
            pull_page: 1_000,
            queue_tail: 512,
            push_group: MOST,
            local_durability: Durability::Immediate,
            ask_before_undelete: false,
            patience: RetryPolicy::default(),
            sleep: None,
        }
    }
}
