//! The revisions that a store of ours gives.

use uuid::Uuid;

/// The revisions that one open store gives: numbers from a start that is drawn anew at each opening.
///
/// A number in the record would start again once the record is deleted and made again, and a counter in the store once an older copy
/// of it is put back; then a check would hold for another content than the one that was read. 2^64 numbers make it next to
/// impossible that two openings give one record the same.
///
/// ```
/// use synctable_core::store::Revisions;
/// let mut revisions = Revisions::default();
/// assert_ne!(revisions.next_number(), revisions.next_number());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Revisions {
    last: Option<u64>,
}

impl Revisions {
    /// The next one. The first call draws the start.
    pub fn next_number(&mut self) -> u64 {
        let next = match self.last {
            Some(last) => last.wrapping_add(1),
            None => {
                let (high, low) = Uuid::new_v4().as_u64_pair();
                high ^ low
            }
        };
        self.last = Some(next);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_opening_gives_what_another_gave() {
        let mut all: Vec<u64> = (0..100)
            .flat_map(|_| {
                let mut revisions = Revisions::default();
                (0..100)
                    .map(|_| revisions.next_number())
                    .collect::<Vec<_>>()
            })
            .collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 10_000);
    }
}
