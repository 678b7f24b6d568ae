//! A scenario: who runs in turn, round by round, and what the figures are held against.

use serde::{Serialize, Serializer};

use crate::measure::{Measured, Spread};

/// What whoever runs this has asked for.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Each contender runs once in each.
    pub rounds: usize,
    /// Messages of 2 KiB.
    pub small: usize,
    /// Messages of 100 kB.
    pub large: usize,
    /// Sessions at a time.
    pub sessions: usize,
    /// Deferred deliveries in the queue.
    pub backlog: usize,
    /// Events of the days before.
    pub events: usize,
}

impl Plan {
    /// This share of the small messages, at least one for each session.
    pub fn part(&self, of: usize) -> usize {
        (self.small / of).max(self.sessions)
    }
}

/// One scenario with all its rounds.
#[derive(Serialize)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What is done.
    pub about: String,
    /// How many are sent in each run.
    pub messages: usize,
    /// Over how many sessions.
    pub sessions: usize,
    /// Contender → what it took, round by round.
    pub results: Vec<(&'static str, Vec<Measured>)>,
    /// What is to be known beside the figures.
    pub notes: Vec<String>,
    /// What the figures are held against.
    pub targets: Vec<Target>,
    /// Pairs of contenders whose speeds are compared.
    #[serde(skip)]
    pub pairs: Vec<(&'static str, &'static str)>,
    /// Figures of its own that are shown.
    #[serde(skip)]
    pub columns: Vec<&'static str>,
    /// A target that is missed is a failure: its figures depend on this machine no more than a factor of ten can.
    #[serde(skip)]
    pub must: bool,
}

impl Scenario {
    /// Nothing has run yet.
    pub fn new(
        name: &'static str,
        about: impl Into<String>,
        messages: usize,
        sessions: usize,
    ) -> Self {
        Self {
            name,
            about: about.into(),
            messages,
            sessions,
            results: Vec::new(),
            notes: Vec::new(),
            targets: Vec::new(),
            pairs: Vec::new(),
            columns: Vec::new(),
            must: false,
        }
    }

    /// Whether nothing failed.
    pub fn passes(&self) -> bool {
        !self.must || self.targets.iter().all(Target::is_met)
    }

    /// Runs each of them once in each round, in turn, and says how it goes.
    pub async fn run(
        &mut self,
        rounds: usize,
        contenders: &[&'static str],
        mut one: impl AsyncFnMut(&'static str) -> Measured,
    ) {
        self.results = contenders.iter().map(|name| (*name, Vec::new())).collect();
        for round in 1..=rounds {
            for (contender, measured) in &mut self.results {
                eprint!("{}: round {round} of {rounds}, {contender} … ", self.name);
                let found = one(*contender).await;
                eprintln!(
                    "{:.0} messages a second in, {:.0} through",
                    found.accepted_rate(),
                    found.through_rate()
                );
                measured.push(found);
            }
        }
    }

    /// What a contender took.
    pub fn rounds(&self, contender: &str) -> &[Measured] {
        let found = self.results.iter().find(|(name, _)| *name == contender);
        found.map_or(&[], |(_, rounds)| rounds)
    }

    /// A figure of a contender.
    pub fn spread(&self, contender: &str, pick: impl Fn(&Measured) -> f64) -> Spread {
        Spread::of(self.rounds(contender).iter().map(pick))
    }

    /// A figure of one in relation to that of another, round by round.
    pub fn ratio(&self, ours: &str, theirs: &str, pick: impl Fn(&Measured) -> f64) -> Spread {
        let rounds = self.rounds(ours).iter().zip(self.rounds(theirs));
        Spread::of(rounds.map(|(ours, theirs)| pick(ours) / pick(theirs)))
    }

    /// Compares the speed of one with that of another.
    pub fn compare(&mut self, ours: &'static str, theirs: &'static str) {
        self.pairs.push((ours, theirs));
    }

    /// Holds a figure against what it should be.
    pub fn target(&mut self, what: impl Into<String>, measured: Spread, wanted: Wanted) {
        let ways = vec![Way { what: what.into(), measured, wanted }];
        self.targets.push(Target { scenario: self.name, ways });
    }

    /// Another figure that will do in place of the last one.
    pub fn or(&mut self, what: impl Into<String>, measured: Spread, wanted: Wanted) {
        if let Some(target) = self.targets.last_mut() {
            target.ways.push(Way { what: what.into(), measured, wanted });
        }
    }
}

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

impl Wanted {
    /// Whether a figure is as it should be.
    pub fn is_met(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(least) => figure >= least,
            Self::AtMost(most) => figure <= most,
        }
    }
}

/// A figure and what it should be.
#[derive(Debug, Clone, Serialize)]
pub struct Way {
    /// Of what.
    pub what: String,
    /// Over the rounds.
    pub measured: Spread,
    /// What it should be.
    pub wanted: Wanted,
}

/// A target: met when the median of one of its figures is as it should be.
#[derive(Debug, Clone)]
pub struct Target {
    /// Whose.
    pub scenario: &'static str,
    /// One of these will do.
    pub ways: Vec<Way>,
}

impl Target {
    /// Whether it is met.
    pub fn is_met(&self) -> bool {
        self.ways.iter().any(|way| way.wanted.is_met(way.measured.middle))
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut fields = serializer.serialize_struct("Target", 2)?;
        fields.serialize_field("any_of", &self.ways)?;
        fields.serialize_field("met", &self.is_met())?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(through_secs: f64) -> Measured {
        Measured { messages: 100, through_secs, ..Measured::default() }
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let mut scenario = Scenario::new("x", "", 100, 1);
        scenario.results = vec![("a", vec![run(1.0), run(4.0)]), ("b", vec![run(2.0), run(4.0)])];
        let ratio = scenario.ratio("a", "b", Measured::through_rate);
        assert_eq!((ratio.least, ratio.most), (1.0, 2.0));
        assert_eq!(scenario.ratio("a", "nobody", Measured::through_rate).middle.to_bits(), 0);
    }

    #[test]
    fn one_of_several_ways_to_meet_a_target_is_enough() {
        let mut scenario = Scenario::new("x", "", 100, 1);
        scenario.target("rate", Spread::of([3000.0]), Wanted::AtLeast(4000.0));
        assert!(!scenario.targets[0].is_met());
        scenario.or("share", Spread::of([0.7, 0.8, 0.9]), Wanted::AtLeast(0.8));
        assert!(scenario.targets[0].is_met());
        assert!(!Wanted::AtMost(0.1).is_met(0.11) && Wanted::AtMost(0.1).is_met(0.1));
    }
}
