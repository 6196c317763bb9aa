//! What each verb does.

pub(crate) mod admin;
pub(crate) mod backup;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod import_export;
pub(crate) mod keys;
pub(crate) mod queue;
pub(crate) mod records;
pub(crate) mod serve;
pub(crate) mod sync;
pub(crate) mod verify;
