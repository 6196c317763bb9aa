//! How many operations travel in one request: a pure rule.

/// The first batch of a link.
const FIRST: usize = 64;
/// No more, whatever the server takes: a group is marked and settled in one commit each, and a local write waits for those.
pub(crate) const MOST: usize = 512;
/// So long a batch shall take: on a slow line the way there and back is a small part of that, and what is lost on the way, and sent again as a
/// whole, is not much.
const AIM_MILLIS: u64 = 4_000;
/// A batch is at most so many times as large as the one before, whatever that took.
const GROWTH: usize = 4;
/// So many lost ones in a row are no accident: something on the way fails at them, and one by one gets on.
const LOST_IN_A_ROW: u32 = 6;

/// What is known of the line and of the server's patience.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// So many go next.
    next: usize,
    /// More were refused as a whole.
    most: usize,
    /// So many were lost since one was answered, in this push.
    lost: u32,
}

/// How a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Its answer came after so many milliseconds.
    Answered(u64),
    /// It is not known what became of it.
    Lost,
    /// It was refused as a whole.
    Refused,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            next: FIRST,
            most: MOST,
            lost: 0,
        }
    }
}

impl Pace {
    /// How many operations may travel together, where the server takes so many; `None`: they go one by one.
    pub(crate) fn size(self, taken: usize) -> Option<usize> {
        let size = self.next.min(self.most).min(taken);
        (size >= 2 && self.lost < LOST_IN_A_ROW).then_some(size)
    }

    /// Another push begins: what was lost may come through now.
    #[must_use]
    pub(crate) fn anew(self) -> Self {
        Self { lost: 0, ..self }
    }

    /// What a batch of so many operations has shown.
    #[must_use]
    pub(crate) fn after(self, operations: usize, end: End) -> Self {
        let Self { next, most, lost } = self;
        let halved = |number: usize| (number / 2).max(2);
        match end {
            End::Answered(millis) => {
                // As many as would have taken the time that is aimed at, had each taken its share.
                let count = u64::try_from(operations).unwrap_or(u64::MAX);
                let aim = count.saturating_mul(AIM_MILLIS) / millis.max(1);
                let aim = usize::try_from(aim).unwrap_or(MOST);
                let aim = aim.min(operations.saturating_mul(GROWTH)).clamp(2, MOST);
                // One that was not full says nothing of a larger one.
                let full = operations >= next.min(most);
                Self {
                    next: if full || millis > AIM_MILLIS {
                        aim
                    } else {
                        next
                    },
                    most,
                    lost: 0,
                }
            }
            // One may be lost of whatever size; the next one in a row says that they are too large for the line, or that there is none.
            End::Lost => Self {
                next: if lost == 0 { next } else { halved(next) },
                most,
                lost: lost.saturating_add(1),
            },
            // What is too large today is too large tomorrow.
            End::Refused => Self {
                next: next.min(operations / 2),
                most: most.min(operations / 2),
                lost: 0,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_quick_line_makes_them_larger_and_a_slow_one_smaller() {
        let mut pace = Pace::default();
        for expected in [64, 256, 512, 512] {
            let size = pace.size(usize::MAX).unwrap();
            assert_eq!(size, expected);
            pace = pace.after(size, End::Answered(10));
        }
        assert_eq!(pace.size(100), Some(100));
        pace = pace.after(512, End::Answered(8_000));
        assert_eq!(pace.size(1000), Some(256));
        assert_eq!(pace.after(256, End::Answered(4_000)), pace);
        // One that was not full.
        assert_eq!(pace.after(3, End::Answered(1)), pace);
        assert_eq!(pace.after(100, End::Answered(8_000)).size(1000), Some(50));
        let lost = pace.after(256, End::Lost);
        assert_eq!(lost.size(1000), Some(256));
        assert_eq!(lost.after(256, End::Lost).size(1000), Some(128));
    }

    #[test]
    fn a_refused_one_is_halved_down_to_none() {
        let mut pace = Pace::default();
        let mut tried = Vec::new();
        while let Some(size) = pace.size(1000) {
            tried.push(size);
            pace = pace.after(size, End::Refused);
        }
        assert_eq!(tried, [64, 32, 16, 8, 4, 2]);
        assert_eq!(pace.after(1, End::Answered(1)).size(1000), None);
    }

    #[test]
    fn where_all_are_lost_operations_go_one_by_one_until_the_next_push() {
        let mut pace = Pace::default();
        for _ in 0..5 {
            pace = pace.after(2, End::Lost);
        }
        assert!(pace.size(1000).is_some());
        assert_eq!(pace.after(2, End::Answered(1)).after(2, End::Lost).lost, 1);
        pace = pace.after(2, End::Lost);
        assert_eq!(pace.size(1000), None);
        assert_eq!(pace.anew().size(1000), Some(2));
    }

    proptest! {
        /// Whatever the line, and whatever was lost before, the batches soon take the time that is aimed at, or as near to it as they may.
        #[test]
        fn sizes_follow_the_line(
            there_and_back in 0u64..2_000,
            millis_each in 1u64..1_000,
            losses in 0usize..8,
        ) {
            let mut pace = Pace::default();
            for _ in 0..losses {
                pace = pace.after(pace.next, End::Lost);
            }
            pace = pace.anew();
            let time = |size: usize| there_and_back + millis_each * size as u64;
            for _ in 0..12 {
                let size = pace.size(usize::MAX).unwrap();
                pace = pace.after(size, End::Answered(time(size)));
            }
            let size = pace.size(usize::MAX).unwrap();
            let near = (AIM_MILLIS / 2..=AIM_MILLIS + millis_each).contains(&time(size));
            let bound = size == MOST && time(size) < AIM_MILLIS || size == 2;
            prop_assert!(near || bound, "{size} take {}", time(size));
        }

        #[test]
        fn sizes_stay_within_bounds_and_never_reach_what_was_refused(
            ends in proptest::collection::vec((0u64..3, 0u64..10_000), 0..60),
            taken in 0usize..2_000,
        ) {
            let (mut pace, mut refused) = (Pace::default(), usize::MAX);
            for (kind, millis) in ends {
                let Some(size) = pace.size(taken) else { break };
                prop_assert!((2..=MOST.min(taken)).contains(&size));
                prop_assert!(size < refused);
                let end = match kind {
                    0 => End::Answered(millis),
                    1 => End::Lost,
                    _ => End::Refused,
                };
                if end == End::Refused {
                    refused = size;
                }
                pace = pace.after(size, end);
            }
        }
    }
}
