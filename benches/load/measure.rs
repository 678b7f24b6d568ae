//! Figures: what one run took, medians, the CPU time of processes.

use serde::Serialize;

use super::contender::Load;

/// What one run took.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Measured {
    /// Until the last message was acknowledged.
    pub accepted_secs: f64,
    /// Until the last message was at the sink.
    pub through_secs: f64,
    /// CPU time of the contender's processes.
    pub cpu_secs: f64,
    /// Syncs of the spool, as far as it tells.
    pub syncs: f64,
}

impl Measured {
    /// Messages a second.
    pub fn accepted_rate(&self, load: &Load) -> f64 {
        load.messages as f64 / self.accepted_secs
    }

    /// Messages a second.
    pub fn through_rate(&self, load: &Load) -> f64 {
        load.messages as f64 / self.through_secs
    }
}

/// The middle of a figure over the rounds.
pub fn median(rounds: &[Measured], pick: impl Fn(&Measured) -> f64) -> f64 {
    let figures: Vec<f64> = rounds.iter().map(pick).collect();
    spread(&figures).1
}

/// Least, middle, most.
pub fn spread(figures: &[f64]) -> (f64, f64, f64) {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |place: usize| sorted.get(place).copied().unwrap_or(0.0);
    (at(0), at(sorted.len() / 2), at(sorted.len().saturating_sub(1)))
}

/// CPU seconds of a process, its descendants, and those of its children that have ended.
pub fn cpu_secs(root: i32) -> f64 {
    let ticks =
        nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    let processes: Vec<(i32, i32, f64)> = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name stands in parentheses and may hold blanks.
            let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
            let number = |place: usize| {
                fields.get(place).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0)
            };
            let parent = fields.get(1)?.parse().ok()?;
            Some((pid, parent, (11..=14).map(number).sum::<f64>() / ticks as f64))
        })
        .collect();
    let mut family = vec![root];
    let mut sum = 0.0;
    while let Some(member) = family.pop() {
        sum += processes.iter().find(|(pid, ..)| *pid == member).map_or(0.0, |(.., cpu)| *cpu);
        family.extend(
            processes.iter().filter(|(_, parent, _)| *parent == member).map(|(pid, ..)| *pid),
        );
    }
    sum
}
