//! Whether a list works: it lists what it must, and does not list the world (RFC 5782 section 5).

use std::time::Duration;

use crate::message::Timestamp;

/// A list that fails is told of after this long: shorter faults mend themselves.
pub(super) const TOLD_AFTER: Duration = Duration::from_hours(1);

/// What the tests of a list have shown.
#[derive(Debug)]
pub(super) struct Health {
    /// There is something that it must list.
    has_test: bool,
    /// It listed what it must; when that was asked.
    must: Option<Timestamp>,
    /// It did not list what it must not; when that was asked.
    must_not: Option<Timestamp>,
    fault: Option<Fault>,
}

#[derive(Debug)]
struct Fault {
    since: Timestamp,
    why: String,
    told: bool,
}

/// Something to tell.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It has been broken for long: since when, and why.
    Broken(Timestamp, String),
    /// It works again; since when it had not.
    Well(Timestamp),
}

impl Health {
    /// Of a list that was not tested yet.
    pub(super) fn new(has_test: bool) -> Self {
        Self { has_test, must: None, must_not: None, fault: None }
    }

    /// The result of a test that was asked then: of what it must list, or of what it must not. `Err` says
    /// what is wrong.
    pub(super) fn tested(
        &mut self,
        must: bool,
        asked: Timestamp,
        result: Result<(), String>,
        now: Timestamp,
    ) -> Option<Told> {
        *(if must { &mut self.must } else { &mut self.must_not }) = result.is_ok().then_some(asked);
        let Err(why) = result else {
            self.proved()?;
            let fault = self.fault.take().filter(|fault| fault.told)?;
            return Some(Told::Well(fault.since));
        };
        let fault = self.fault.get_or_insert(Fault { since: now, why: String::new(), told: false });
        fault.why = why;
        if fault.told || now.since(fault.since) < TOLD_AFTER {
            return None;
        }
        fault.told = true;
        Some(Told::Broken(fault.since, fault.why.clone()))
    }

    /// When it was last asked and seen to work, if nothing has been wrong since.
    pub(super) fn proved(&self) -> Option<Timestamp> {
        if !self.has_test {
            return self.must_not;
        }
        self.must.zip(self.must_not).map(|(must, must_not)| must.min(must_not))
    }

    /// What is wrong.
    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.as_ref().map(|fault| fault.why.as_str())
    }

    /// What is wrong, where it has been so for long.
    pub(super) fn lasting_fault(&self) -> Option<&str> {
        self.fault.as_ref().filter(|fault| fault.told).map(|fault| fault.why.as_str())
    }
}
