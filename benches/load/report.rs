//! What is shown when all has run: a table for each scenario, and one that holds the figures against the
//! targets.

use std::fmt::Write as _;

use crate::measure::{Measured, Spread};
use crate::scenario::{Scenario, Wanted};

/// A scenario as a table, with its ratios.
pub fn table(scenario: &Scenario) -> String {
    let mut text = format!(
        "\n{}: {}; {} messages over {} sessions\n{:<22}{:>11}{:>11}{:>15}{:>11}",
        scenario.name,
        scenario.about,
        scenario.messages,
        scenario.sessions,
        "",
        "in",
        "through",
        "CPU s / 1,000",
        "peak MiB"
    );
    for column in &scenario.columns {
        let _ = write!(text, "{column:>18}");
    }
    text.push('\n');
    for (name, rounds) in &scenario.results {
        let median = |pick: &dyn Fn(&Measured) -> f64| Spread::of(rounds.iter().map(pick)).middle;
        let known = |value: f64, digits: usize| {
            if value > 0.0 { format!("{value:.digits$}") } else { "-".to_owned() }
        };
        let _ = write!(
            text,
            "{name:<22}{:>9.0}/s{:>9.0}/s{:>15}{:>11}",
            median(&Measured::accepted_rate),
            median(&Measured::through_rate),
            known(median(&Measured::cpu_per_thousand), 2),
            known(median(&|round| round.peak_mib), 0)
        );
        for column in &scenario.columns {
            let _ = write!(text, "{:>18}", known(median(&|round| round.figure(column)), 3));
        }
        text.push('\n');
    }
    for (ours, theirs) in &scenario.pairs {
        let mut line = |what: &str, ratio: Spread| {
            let name = format!("{ours} / {theirs}, {what}");
            let _ = writeln!(text, "{name:<40}{}", spread(ratio));
        };
        line("in", scenario.ratio(ours, theirs, Measured::accepted_rate));
        line("through", scenario.ratio(ours, theirs, Measured::through_rate));
    }
    for note in &scenario.notes {
        let _ = writeln!(text, "{note}");
    }
    text
}

/// Every target, what was measured, and whether that is enough.
pub fn targets(scenarios: &[Scenario]) -> String {
    let mut text = format!(
        "\n{:<12}{:<50}{:<28}{:<18}{}\n",
        "target", "", "measured", "wanted", "met or missed"
    );
    for target in scenarios.iter().flat_map(|scenario| &scenario.targets) {
        let verdict = if target.is_met() { "met" } else { "missed" };
        for (place, way) in target.ways.iter().enumerate() {
            let (name, verdict) =
                if place == 0 { (target.scenario, verdict) } else { ("   or", "") };
            let wanted = match way.wanted {
                Wanted::AtLeast(least) => format!("at least {}", number(least)),
                Wanted::AtMost(most) => format!("at most {}", number(most)),
            };
            let measured = spread(way.measured);
            let line = format!("{name:<12}{:<50}{measured:<28}{wanted:<18}{verdict}", way.what);
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
    text
}

fn spread(spread: Spread) -> String {
    let Spread { least, middle, most } = spread;
    format!("{:>7} ({} to {})", number(middle), number(least), number(most))
}

/// With as many digits as mean something.
fn number(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 0.095 || value <= 0.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.4}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_stands_on_a_line_with_its_verdict() {
        let mut scenario = Scenario::new("accept", "", 100, 1);
        scenario.target("messages a second", Spread::of([3000.0]), Wanted::AtLeast(4000.0));
        scenario.or("share of direct", Spread::of([0.75, 0.85, 0.9]), Wanted::AtLeast(0.8));
        scenario.target("syncs", Spread::of([0.02]), Wanted::AtMost(0.01));
        let text = targets(&[scenario]);
        let lines: Vec<String> = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            lines[2..],
            [
                "accept messages a second 3000 (3000 to 3000) at least 4000 met",
                "or share of direct 0.85 (0.75 to 0.90) at least 0.80",
                "accept syncs 0.0200 (0.0200 to 0.0200) at most 0.0100 missed",
            ]
        );
    }

    #[test]
    fn a_scenario_is_a_table_with_its_ratios() {
        let run = |through_secs| Measured {
            messages: 100,
            accepted_secs: 0.5,
            through_secs,
            ..Measured::default()
        };
        let mut scenario = Scenario::new("small", "2 KiB", 100, 1);
        scenario.results = vec![("tambo", vec![run(1.0)]), ("direct", vec![run(0.5)])];
        scenario.compare("tambo", "direct");
        let text = table(&scenario);
        assert!(text.contains("tambo                       200/s      100/s"), "{text}");
        assert!(text.contains("tambo / direct, through"), "{text}");
        assert!(text.contains("0.50 (0.50 to 0.50)"), "{text}");
    }
}
