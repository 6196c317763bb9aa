//! Medians, percentiles and growth.

/// What several rounds gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Sample {
    /// Of at least one value. Of an even number the median is the mean of the two in the middle.
    pub fn of(values: &[f64]) -> Self {
        let sorted = sorted(values);
        let last = sorted.len() - 1;
        Self {
            median: f64::midpoint(sorted[last / 2], sorted[sorted.len() / 2]),
            min: sorted[0],
            max: sorted[last],
        }
    }

    /// The same in another unit.
    pub fn map(self, convert: impl Fn(f64) -> f64) -> Self {
        let (one, other) = (convert(self.min), convert(self.max));
        Self {
            median: convert(self.median),
            min: one.min(other),
            max: one.max(other),
        }
    }
}

/// The smallest value that at least `share` of the values do not exceed.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let sorted = sorted(values);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// By which power of the size the cost grows between two sizes: 1 is linear, 0 is flat.
pub fn exponent((small, cheap): (u64, f64), (large, dear): (u64, f64)) -> f64 {
    (dear / cheap).ln() / (large as f64 / small as f64).ln()
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_numbers_of_values() {
        let odd = Sample::of(&[9.0, 1.0, 2.0]);
        assert_eq!((odd.median, odd.min, odd.max), (2.0, 1.0, 9.0));
        assert_eq!(Sample::of(&[4.0, 1.0, 2.0, 9.0]).median, 3.0);
        assert_eq!(Sample::of(&[7.0]).median, 7.0);
    }

    #[test]
    fn a_rate_turns_min_and_max_round() {
        let rate = Sample::of(&[1.0, 2.0, 4.0]).map(|seconds| 8.0 / seconds);
        assert_eq!((rate.median, rate.min, rate.max), (4.0, 2.0, 8.0));
    }

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&values, 0.99), 99.0);
        assert_eq!(percentile(&values, 1.0), 100.0);
        assert_eq!(percentile(&[3.0, 5.0], 0.99), 5.0);
        assert_eq!(percentile(&[3.0], 0.0), 3.0);
    }

    #[test]
    fn exponents_of_flat_linear_and_quadratic_growth() {
        let near = |found: f64, wanted: f64| (found - wanted).abs() < 1e-9;
        assert!(near(exponent((10, 3.0), (40, 3.0)), 0.0));
        assert!(near(exponent((10, 1.0), (40, 4.0)), 1.0));
        assert!(near(exponent((10, 1.0), (30, 9.0)), 2.0));
        assert!(exponent((10, 2.0), (40, 1.0)) < 0.0);
    }
}
