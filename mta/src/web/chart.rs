//! Charts: SVG drawn here, with a title for those who hear them; the table beneath says the same in figures.

use std::fmt::Write as _;

/// Width of the drawing, in units of its own: it is stretched to the page.
const WIDTH: usize = 720;
/// Height.
const HEIGHT: usize = 160;

/// Bars that stand on each other: for each moment a value of each kind, the kind that stands lowest first.
pub(super) fn bars<const KINDS: usize>(
    title: &str,
    about: &str,
    values: &[[u64; KINDS]],
) -> String {
    let top = top(values.iter().map(|kinds| kinds.iter().sum()).max().unwrap_or(0));
    let step = WIDTH as f64 / values.len().max(1) as f64;
    let mut svg = format!(
        "<svg class=\"chart\" role=\"img\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\">\
         <title>{}</title><desc>{}</desc>",
        escaped(title),
        escaped(about)
    );
    for line in 1..4 {
        let y = HEIGHT * line / 4;
        let _ = write!(svg, "<path class=\"grid\" d=\"M0 {y}H{WIDTH}\"/>");
    }
    for (place, kinds) in values.iter().enumerate() {
        let mut y = HEIGHT as f64;
        for (kind, value) in kinds.iter().enumerate() {
            let height = *value as f64 * HEIGHT as f64 / top as f64;
            if height > 0.0 {
                y -= height;
                let _ = write!(
                    svg,
                    "<rect class=\"k{kind}\" x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>",
                    place as f64 * step,
                    (step - 1.0).max(1.0)
                );
            }
        }
    }
    svg.push_str("</svg>");
    svg
}

/// How much of it is used, as a bar; of nothing, nothing.
pub(super) fn share(used: u64, of: u64) -> String {
    let part = if of == 0 { 0.0 } else { (used as f64 / of as f64).min(1.0) * 100.0 };
    format!(
        "<svg class=\"share\" aria-hidden=\"true\" viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\">\
         <rect class=\"rest\" width=\"100\" height=\"10\"/><rect class=\"used\" width=\"{part:.1}\" height=\"10\"/></svg>"
    )
}

/// The value at the top of the drawing: 1, 2 or 5 times a power of ten, never less than what is drawn.
pub(super) fn top(most: u64) -> u64 {
    let mut power = 1_u64;
    loop {
        for step in [1, 2, 5] {
            let value = power.saturating_mul(step);
            if value >= most.max(1) {
                return value;
            }
        }
        power = power.saturating_mul(10);
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_is_a_round_number_that_holds_everything() {
        let tops = [0, 1, 2, 3, 9, 10, 11, 499, 501, u64::MAX].map(top);
        assert_eq!(tops, [1, 1, 2, 5, 10, 10, 20, 500, 1_000, u64::MAX]);
    }

    #[test]
    fn bars_stand_on_each_other_and_say_what_they_are() {
        let svg = bars("a < b", "c & d", &[[5, 5], [0, 0], [10, 0]]);
        assert!(svg.contains("<title>a &lt; b</title><desc>c &amp; d</desc>"));
        assert_eq!(svg.matches("<rect").count(), 3);
        assert!(
            svg.contains("class=\"k0\" x=\"0.0\" y=\"80.0\" width=\"239.0\" height=\"80.0\""),
            "{svg}"
        );
        assert!(svg.contains("class=\"k1\" x=\"0.0\" y=\"0.0\""), "{svg}");
        assert!(share(3, 2).contains("width=\"100.0\"") && share(1, 0).contains("width=\"0.0\""));
    }
}
