//! The chart: how far each goal is reached, a bar each, to the right of the line where it is.

use std::fmt::Write as _;

use crate::line::{EXPONENT, Goal, Line, short};

const NAMES: f64 = 330.0;
const BARS: f64 = 360.0;
const VALUES: f64 = 190.0;
const ROW: f64 = 17.0;
const TOP: f64 = 54.0;
/// Bars end where a goal is reached so many times, or by so small a part.
const MOST: f64 = 16.0;
const MET: &str = "#2a7f62";
const MISSED: &str = "#c8553d";

/// The lines of the largest size of each subject, unit and job.
pub fn largest<'a>(lines: &[&'a Line]) -> Vec<&'a Line> {
    let same = |one: &Line, other: &Line| {
        one.job == other.job
            && one.subject == other.subject
            && one.unit == other.unit
            && one.durability == other.durability
    };
    let is_largest = |line: &&&Line| {
        !lines
            .iter()
            .any(|other| same(line, other) && other.size > line.size)
    };
    lines.iter().filter(is_largest).copied().collect()
}

/// The place of a score on a logarithmic scale.
fn place(score: f64) -> f64 {
    let score = score.clamp(1.0 / MOST, MOST);
    NAMES + BARS / 2.0 * (1.0 + score.ln() / MOST.ln())
}

pub fn chart(lines: &[&Line]) -> String {
    let rows = largest(lines);
    let rows: Vec<(&Line, f64)> = rows
        .into_iter()
        .filter_map(|line| Some((line, line.score()?)))
        .collect();
    let (width, height) = (NAMES + BARS + VALUES, TOP + ROW * rows.len() as f64 + 12.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"8\" y=\"18\" font-size=\"14\">How far each goal is reached</text>\n"
    );
    let marks = [
        (1.0 / MOST, "1/16"),
        (0.25, "1/4"),
        (1.0, "goal"),
        (4.0, "4x"),
        (MOST, "16x"),
    ];
    for (score, name) in marks {
        let (x, weight) = (place(score), if score == 1.0 { 1.5 } else { 0.5 });
        let _ = writeln!(
            out,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{}\" y2=\"{height}\" stroke=\"#888888\" stroke-width=\"{weight}\"/>\
             <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{name}</text>",
            TOP - 8.0,
            TOP - 12.0
        );
    }
    for (row, (line, score)) in rows.iter().enumerate() {
        let y = TOP + ROW * row as f64;
        let (from, to) = (place(1.0).min(place(*score)), place(1.0).max(place(*score)));
        let color = if *score < 1.0 { MISSED } else { MET };
        let growth = if line.unit == EXPONENT {
            ", growth"
        } else {
            ""
        };
        let subject = line.subject.replace('`', "");
        let name = escape(&format!("{}, {subject}{growth}", line.job));
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{name}</text>\
             <rect x=\"{from:.1}\" y=\"{}\" width=\"{:.1}\" height=\"{}\" fill=\"{color}\"/>\
             <text x=\"{}\" y=\"{}\">{}</text>",
            NAMES - 8.0,
            y + 11.0,
            y + 2.0,
            (to - from).max(1.0),
            ROW - 5.0,
            NAMES + BARS + 8.0,
            y + 11.0,
            escape(&value(line))
        );
    }
    out + "</svg>\n"
}

fn value(line: &Line) -> String {
    let goal = line.goal.map(Goal::text).unwrap_or_default();
    match (line.goal, &line.ratio) {
        (Some(Goal::RatioAtLeast(_) | Goal::RatioAtMost(_)), Some((ratio, _))) => {
            format!("{}x ({goal})", short(*ratio))
        }
        _ => format!("{} {} ({goal})", short(line.sample.median), line.unit),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::tests::line;

    #[test]
    fn bars_lie_on_the_side_of_the_goal_where_they_belong() {
        assert_eq!(place(1.0), NAMES + BARS / 2.0);
        assert!(place(0.5) < place(1.0) && place(1.0) < place(2.0));
        assert_eq!(place(0.0), NAMES);
        assert_eq!(place(1e9), NAMES + BARS);
    }

    #[test]
    fn a_chart_has_a_bar_for_each_goal_in_its_color() {
        let good = line("s", 1.0, Some(Goal::AtMost(2.0)));
        let bad = Line {
            subject: "a<b".into(),
            ..line("s", 3.0, Some(Goal::AtMost(2.0)))
        };
        let none = Line {
            subject: "none".into(),
            ..line("s", 3.0, None)
        };
        let svg = chart(&[&good, &bad, &none]);
        assert_eq!(
            (svg.matches(MET).count(), svg.matches(MISSED).count()),
            (1, 1),
            "{svg}"
        );
        assert!(
            svg.contains("job, a&lt;b") && svg.contains("3 s (≤ 2)"),
            "{svg}"
        );
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(!svg.contains("none"), "{svg}");
    }

    #[test]
    fn of_several_sizes_the_largest_is_drawn() {
        let small = line("s", 1.0, Some(Goal::AtMost(2.0)));
        let large = Line {
            size: 9000,
            ..small.clone()
        };
        let other = Line {
            unit: "MiB".into(),
            ..small.clone()
        };
        assert_eq!(largest(&[&small, &large, &other]), [&large, &other]);
    }
}
