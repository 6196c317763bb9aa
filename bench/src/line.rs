//! A line of the results: what was measured, how it compares, and what was aimed at.

use serde_json::{Value, json};

use crate::stats::Sample;

/// What a line has to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// Its median, in its unit.
    AtMost(f64),
    AtLeast(f64),
    /// Its ratio.
    RatioAtLeast(f64),
    RatioAtMost(f64),
}

/// The unit of growth, see [`crate::stats::exponent`].
pub const EXPONENT: &str = "exponent";

#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    pub job: String,
    pub subject: String,
    /// How many records, or calls.
    pub size: u64,
    pub sample: Sample,
    pub unit: String,
    /// What is on the disk when an answer is given.
    pub durability: String,
    /// How many times as fast (or as small) as what is the subject.
    pub ratio: Option<(f64, String)>,
    pub goal: Option<Goal>,
}

impl Line {
    /// How far the goal is reached: 1 is just so, 2 is twice as good, for growth as costs at four times the size.
    pub fn score(&self) -> Option<f64> {
        let ratio = self.ratio.as_ref().map(|(ratio, _)| *ratio);
        let median = self.sample.median;
        Some(match (self.goal?, ratio) {
            (Goal::AtMost(most), _) if self.unit == EXPONENT => 4_f64.powf(most - median),
            (Goal::AtMost(most), _) => most / median,
            (Goal::AtLeast(least), _) => median / least,
            (Goal::RatioAtLeast(least), Some(ratio)) => ratio / least,
            (Goal::RatioAtMost(most), Some(ratio)) => most / ratio,
            (Goal::RatioAtLeast(_) | Goal::RatioAtMost(_), None) => return None,
        })
    }

    /// True where there is a goal and the line is below it.
    pub fn missed(&self) -> bool {
        self.score().is_some_and(|score| score < 1.0)
    }

    pub fn to_json(&self) -> Value {
        let mut line = json!({
            "job": self.job, "subject": self.subject, "size": self.size,
            "median": short(self.sample.median), "min": short(self.sample.min), "max": short(self.sample.max),
            "unit": self.unit, "durability": self.durability,
        });
        if let Some((ratio, to)) = &self.ratio {
            line["ratio"] = json!(short(*ratio));
            line["to"] = json!(to);
        }
        if let Some(goal) = self.goal {
            let (name, value) = goal.parts();
            line["goal"] = json!({ name: value });
        }
        line
    }

    /// A line as [`Self::to_json`] gives it.
    pub fn from_json(line: &Value) -> Option<Self> {
        let text = |name: &str| line[name].as_str().map(str::to_owned);
        let number = |name: &str| line[name].as_f64();
        let goal = line["goal"].as_object().and_then(|goal| goal.iter().next());
        Some(Self {
            job: text("job")?,
            subject: text("subject")?,
            size: line["size"].as_u64()?,
            sample: Sample {
                median: number("median")?,
                min: number("min")?,
                max: number("max")?,
            },
            unit: text("unit")?,
            durability: text("durability")?,
            ratio: number("ratio").zip(text("to")),
            goal: goal.and_then(|(name, value)| Goal::of(name, value.as_f64()?)),
        })
    }
}

impl Goal {
    fn parts(self) -> (&'static str, f64) {
        match self {
            Self::AtMost(value) => ("atMost", value),
            Self::AtLeast(value) => ("atLeast", value),
            Self::RatioAtLeast(value) => ("ratioAtLeast", value),
            Self::RatioAtMost(value) => ("ratioAtMost", value),
        }
    }

    fn of(name: &str, value: f64) -> Option<Self> {
        let kinds = [
            Self::AtMost,
            Self::AtLeast,
            Self::RatioAtLeast,
            Self::RatioAtMost,
        ];
        kinds
            .map(|kind| kind(value))
            .into_iter()
            .find(|goal| goal.parts().0 == name)
    }

    /// For people: `≤ 1.1`, and of a ratio `≥ 0.9x`.
    pub fn text(self) -> String {
        match self {
            Self::AtMost(value) => format!("≤ {}", short(value)),
            Self::AtLeast(value) => format!("≥ {}", short(value)),
            Self::RatioAtLeast(value) => format!("≥ {}x", short(value)),
            Self::RatioAtMost(value) => format!("≤ {}x", short(value)),
        }
    }
}

/// Three digits that count, or all of a whole number.
pub fn short(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let digits = (2 - value.abs().log10().floor() as i32).max(0);
    let factor = 10_f64.powi(digits);
    (value * factor).round() / factor
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn line(unit: &str, median: f64, goal: Option<Goal>) -> Line {
        Line {
            job: "job".into(),
            subject: "synctable".into(),
            size: 1000,
            sample: Sample::of(&[median]),
            unit: unit.into(),
            durability: "fsync".into(),
            ratio: None,
            goal,
        }
    }

    #[test]
    fn goals_are_met_from_the_right_side() {
        assert!(!line("s", 2.0, Some(Goal::AtMost(2.0))).missed());
        assert!(line("s", 2.1, Some(Goal::AtMost(2.0))).missed());
        assert!(line("rows/s", 1.9, Some(Goal::AtLeast(2.0))).missed());
        assert!(!line("rows/s", 2.0, Some(Goal::AtLeast(2.0))).missed());
        assert!(!line("s", 9.0, None).missed());
        let against = |ratio: f64, goal| Line {
            ratio: Some((ratio, "raw".into())),
            ..line("s", 1.0, Some(goal))
        };
        assert!(against(0.8, Goal::RatioAtLeast(0.9)).missed());
        assert!(!against(0.9, Goal::RatioAtLeast(0.9)).missed());
        assert!(against(1.2, Goal::RatioAtMost(1.0)).missed());
        assert!(!against(0.3, Goal::RatioAtMost(1.0)).missed());
    }

    #[test]
    fn growth_scores_by_what_four_times_the_size_costs() {
        let growth = |exponent| line(EXPONENT, exponent, Some(Goal::AtMost(1.0))).score();
        assert_eq!(growth(1.0), Some(1.0));
        assert_eq!(growth(2.0), Some(0.25));
        assert_eq!(growth(0.0), Some(4.0));
        assert!(growth(-0.2).unwrap() > 4.0);
    }

    #[test]
    fn lines_come_back_from_their_json() {
        let mut line = line("ms", 12.5, Some(Goal::RatioAtLeast(0.9)));
        line.ratio = Some((1.25, "raw".into()));
        assert_eq!(Line::from_json(&line.to_json()), Some(line.clone()));
        (line.ratio, line.goal) = (None, None);
        assert_eq!(Line::from_json(&line.to_json()), Some(line));
    }

    #[test]
    fn numbers_are_shortened_to_what_counts() {
        assert_eq!(short(123_456.7), 123_457.0);
        assert_eq!(short(0.012_345), 0.0123);
        assert_eq!(short(1.999), 2.0);
        assert_eq!(short(-0.456_7), -0.457);
        assert_eq!(short(0.0), 0.0);
    }
}
