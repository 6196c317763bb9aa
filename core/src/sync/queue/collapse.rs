//! The rule by which a new local change joins an operation that is already queued.

use crate::sync::queue::operation::{OperationKind, OperationState};

/// What becomes of the queue when a change joins an operation on the same record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collapse {
    /// The operation stays as it is and sends the new content.
    Keep,
    /// The operation keeps its place and base but becomes another kind.
    Become(OperationKind),
    /// Both vanish: the server never heard of the record.
    Drop,
    /// The change becomes an operation of its own at the end of the queue.
    Append,
    /// The change makes no sense after the operation: the record exists already, or no longer.
    Illegal,
}

/// The collapse rule: `existing` is the last operation on the record, `new` the change that follows.
///
/// | existing, new | insert | replace | delete |
/// |---|---|---|---|
/// | insert | illegal | keep | both vanish; kept as a delete while a server may hold the record |
/// | replace | illegal | keep | becomes delete |
/// | delete | becomes replace | illegal | illegal |
///
/// An operation that may have reached the server is frozen, so a legal change is appended instead.
pub fn collapse(existing: OperationKind, state: OperationState, new: OperationKind) -> Collapse {
    use OperationKind::{Delete, Insert, Replace};
    let joined = match (existing, new) {
        (Insert | Replace, Insert) | (Delete, Replace | Delete) => return Collapse::Illegal,
        (Insert | Replace, Replace) => Collapse::Keep,
        // A refused insert left nothing at the server; one in conflict met a record there.
        (Insert, Delete) if state == OperationState::Conflict => Collapse::Become(Delete),
        (Insert, Delete) => Collapse::Drop,
        (Replace, Delete) => Collapse::Become(Delete),
        (Delete, Insert) => Collapse::Become(Replace),
    };
    if state == OperationState::Attempted {
        Collapse::Append
    } else {
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::OperationKind::{Delete, Insert, Replace};
    use super::OperationState::{Attempted, Conflict, Pending, Rejected};
    use super::*;

    const KINDS: [OperationKind; 3] = [Insert, Replace, Delete];
    const STATES: [OperationState; 4] = [Pending, Attempted, Conflict, Rejected];

    #[test]
    fn a_frozen_operation_never_changes() {
        for existing in KINDS {
            for new in KINDS {
                let result = collapse(existing, Attempted, new);
                assert!(
                    matches!(result, Collapse::Append | Collapse::Illegal),
                    "{existing:?} {new:?} {result:?}"
                );
            }
        }
    }

    #[test]
    fn legality_depends_on_the_kinds_alone() {
        for existing in KINDS {
            for new in KINDS {
                let exists = existing != Delete;
                let wants_existing = new != Insert;
                for state in STATES {
                    let illegal = collapse(existing, state, new) == Collapse::Illegal;
                    assert_eq!(
                        illegal,
                        exists != wants_existing,
                        "{existing:?} {state:?} {new:?}"
                    );
                }
            }
        }
    }

    /// Runs every sequence of up to six changes through the rule and through a model that only knows
    /// whether the record exists here and at the server; the one operation that is left must turn the
    /// server's state into ours.
    #[test]
    fn all_sequences_up_to_six_leave_one_operation_with_the_same_effect() {
        let mut sequences = vec![Vec::new()];
        let mut checked = 0;
        for _ in 0..6 {
            let mut longer = Vec::new();
            for sequence in &sequences {
                for kind in KINDS {
                    let mut next: Vec<OperationKind> = sequence.clone();
                    next.push(kind);
                    for at_server in [false, true] {
                        checked += usize::from(check_sequence(&next, at_server));
                    }
                    longer.push(next);
                }
            }
            sequences = longer;
        }
        assert!(checked > 50, "only {checked} legal sequences");
    }

    fn check_sequence(sequence: &[OperationKind], at_server: bool) -> bool {
        let mut queued: Option<OperationKind> = None;
        let mut exists = at_server;
        for &kind in sequence {
            if exists == (kind == Insert) {
                return false; // the table itself refuses this
            }
            queued = match queued {
                None => Some(kind),
                Some(existing) => match collapse(existing, Pending, kind) {
                    Collapse::Keep => Some(existing),
                    Collapse::Become(other) => Some(other),
                    Collapse::Drop => None,
                    other => panic!("{sequence:?}: {other:?}"),
                },
            };
            exists = kind != Delete;
        }
        let effect = match queued {
            None => at_server,
            Some(Insert) => {
                assert!(!at_server, "{sequence:?}");
                true
            }
            Some(Replace) => {
                assert!(at_server, "{sequence:?}");
                true
            }
            Some(Delete) => {
                assert!(at_server, "{sequence:?}");
                false
            }
        };
        assert_eq!(effect, exists, "{sequence:?} at_server={at_server}");
        true
    }
}
