//! What must hold at each step, kept apart from what the relay believes.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use mta::egress::Limits;
use relay_config::responses::{Blame, Verdict};

use crate::providers::Reply;

/// Open connections as they really are.
#[derive(Debug, Default)]
pub struct Books {
    paths: HashMap<(usize, Ipv4Addr), u32>,
    sites: HashMap<usize, u32>,
    /// Most connections to one site at a time.
    pub most: u32,
}

impl Books {
    /// A connection begins: no limit of the destination is exceeded (design, invariant 7).
    pub fn open(&mut self, place: usize, from: Ipv4Addr, limits: &Limits) {
        let path = self.paths.entry((place, from)).or_default();
        *path += 1;
        assert!(*path <= limits.connections, "{path} connections from {from} to {place}");
        let site = self.sites.entry(place).or_default();
        *site += 1;
        assert!(*site <= limits.connections_total, "{site} connections to {place}");
        self.most = self.most.max(*site);
    }

    /// It has ended.
    pub fn close(&mut self, place: usize, from: Ipv4Addr) {
        let open = |count: Option<&mut u32>| *count.expect("it was opened") -= 1;
        open(self.paths.get_mut(&(place, from)));
        open(self.sites.get_mut(&place));
    }
}

/// A connection carries its message of this number.
pub fn check_carried(number: u32, limits: &Limits) {
    let most = limits.messages_per_connection;
    assert!(number <= most, "message {number} over a connection, of {most}");
}

/// Mail ends for its recipients: only what blames them may do that (invariant 8).
pub fn check_failed(reply: &Reply, verdict: &Verdict) {
    let blamed = verdict
        .scope
        .iter()
        .all(|blame| !matches!(blame, Blame::Source | Blame::Netblock | Blame::SendingDomain));
    assert!(blamed, "mail failed, and nobody said that of the recipient: {}", reply.line());
}
