//! How a simulation stands, in detail: for whoever works on the policy (`TAMBO_SIM_DETAIL=1`).

use std::fmt::Write as _;

use crate::relay::{PROVIDERS, address, number_of};
use crate::simulation::Simulation;

/// Why messages wait, what was decided, and each path to the large providers beside what is really thought of it.
pub fn of(simulation: &Simulation) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "  put back {} times; waits for:", simulation.figures.postponed);
    for (reason, count) in simulation.letters.reasons() {
        let _ = writeln!(text, "  {count:>7} {reason}");
    }
    let _ = writeln!(text, "  decided: {:?}", simulation.relay.decided);
    for (place, name) in PROVIDERS.iter().enumerate() {
        let _ = writeln!(text, "  {name}");
        let provider = &simulation.internet.providers[place];
        for path in simulation.relay.view(place, simulation.now).paths {
            let known = provider.addresses.get(&address(number_of(&path.source.name)));
            let by_day = known.map_or(&[][..], |it| &it.conduct.by_day);
            let standing = known.map_or(0.0, |it| it.standing.value());
            let blocks = known.map_or(0, |it| it.standing.blocks.len());
            let from = by_day.len().saturating_sub(14);
            let _ = writeln!(
                text,
                "    {} {:<9} used {:>5} of {:>6} {:?} per hour {:?}; {standing:.2} {blocks} blocks, taken {:?}{}",
                path.source.name,
                path.health.word(),
                path.used,
                path.cap.map_or("-".to_owned(), |cap| cap.to_string()),
                path.obstacle,
                path.per_hour,
                &by_day[from..],
                path.why.map_or(String::new(), |why| format!(
                    " ({} {})",
                    why.rule,
                    why.at.to_rfc3339()
                )),
            );
        }
    }
    text
}
