//! Random choices that a seed decides.

/// A small generator of numbers (`SplitMix64`). Every choice of a simulation comes from one of these, in the order of its steps.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The choices of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 if there is none.
    pub fn below(&mut self, end: usize) -> usize {
        let choice = self.draw() % (end.max(1) as u64);
        usize::try_from(choice).unwrap_or_default()
    }

    /// True in `of` of 1000 cases.
    pub fn permille(&mut self, of: u32) -> bool {
        self.draw() % 1000 < u64::from(of)
    }

    /// One of `choices`, of which there is at least one, by weight; the first if all weigh nothing.
    pub fn weighted<T: Copy>(&mut self, choices: &[(usize, T)]) -> T {
        let all: usize = choices.iter().map(|(weight, _)| weight).sum();
        let mut place = self.below(all);
        for (weight, choice) in choices {
            if place < *weight {
                return *choice;
            }
            place -= weight;
        }
        choices[0].1
    }

    /// Choices of their own for part `number` of what comes next, which goes as it would without them.
    pub(crate) fn beside(&self, number: u64) -> Self {
        Self::of_part(self.0, number)
    }

    /// Choices of their own for part `number` of a history, whatever the others do.
    pub(crate) fn of_part(seed: u64, number: u64) -> Self {
        let mut dice = Self::new(seed);
        Self::new(dice.draw() ^ Self::new(number).draw())
    }
}
