//! What a push comes to.

/// What a push did, and what is left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushReport {
    /// Operations that took effect at the server, or turned out not to be needed any more.
    pub pushed: u64,
    /// Conflicts that are parked now, earlier ones included.
    pub conflicts: u64,
    /// Refused operations that are parked now, earlier ones included.
    pub rejected: u64,
    /// Operations in the queue now, parked ones included.
    pub pending: u64,
    /// Of these, operations that this push left aside: they failed in a way that may be their own or everybody's, or wait behind such a
    /// failure. A later push tries them again; [`Operation::aside`](crate::sync::Operation::aside) says why and when.
    pub aside: u64,
}
