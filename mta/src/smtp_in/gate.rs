//! How many sessions may be open: in the relay, on a listener, from an address.
//!
//! A connection of a load balancer counts for relay and listener when it comes, and for an address
//! when the header has said whose it is: the load balancer's own address has no share in it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use relay_config::config::Listener;

use crate::metrics::limit_hit;
use crate::policy::is_trusted;

use super::auth::network_of;

/// Counts the sessions of all listeners.
#[derive(Debug)]
pub(super) struct Gate {
    connections_max: u32,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: u32,
    listeners: HashMap<Arc<str>, u32>,
    addresses: HashMap<(Arc<str>, IpAddr), u32>,
}

/// A session that was let in; leaves when dropped.
#[derive(Debug)]
pub(super) struct Pass {
    gate: Arc<Gate>,
    listener: Arc<str>,
    /// `None`: it is not known yet who the client is.
    address: Option<IpAddr>,
}

impl Gate {
    pub(super) fn new(connections_max: u32) -> Self {
        Self { connections_max, open: Mutex::new(Open::default()) }
    }

    /// Lets a client in, or names the limit that keeps it out.
    pub(super) fn enter(
        self: &Arc<Self>,
        listener: &Listener,
        client: IpAddr,
    ) -> Result<Pass, &'static str> {
        self.enter_unannounced(listener)?.announce(listener, client)
    }

    /// Lets a connection in whose client is not known yet ([`Pass::announce`]).
    pub(super) fn enter_unannounced(
        self: &Arc<Self>,
        listener: &Listener,
    ) -> Result<Pass, &'static str> {
        let mut open = self.lock();
        let here = open.listeners.get(&listener.name).copied().unwrap_or(0);
        below(here, listener.limits.connections, "listener.limits.connections")?;
        below(open.all, self.connections_max, "limits.connections")?;
        open.all += 1;
        open.listeners.insert(Arc::clone(&listener.name), here + 1);
        drop(open);
        let (gate, listener) = (Arc::clone(self), Arc::clone(&listener.name));
        Ok(Pass { gate, listener, address: None })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// Counts it for its client, or names the limit that keeps it out; then it has left.
    pub(super) fn announce(
        mut self,
        listener: &Listener,
        client: IpAddr,
    ) -> Result<Self, &'static str> {
        let limits = &listener.limits;
        let (limit, name) = if is_trusted(listener, client) {
            (limits.connections_per_trusted_address, "connections_per_trusted_address")
        } else {
            (limits.connections_per_address, "connections_per_address")
        };
        let address = network_of(client);
        let key = (Arc::clone(&self.listener), address);
        let gate = Arc::clone(&self.gate);
        let mut open = gate.lock();
        let from = open.addresses.get(&key).copied().unwrap_or(0);
        if let Err(name) = below(from, limit, name) {
            drop(open);
            return Err(name);
        }
        open.addresses.insert(key, from + 1);
        drop(open);
        self.address = Some(address);
        Ok(self)
    }
}

fn below(count: u32, limit: u32, name: &'static str) -> Result<(), &'static str> {
    if count < limit {
        return Ok(());
    }
    limit_hit(name);
    Err(name)
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut open = self.gate.lock();
        open.all = open.all.saturating_sub(1);
        if let Some(count) = open.listeners.get_mut(&self.listener) {
            *count = count.saturating_sub(1);
        }
        let Some(address) = self.address else { return };
        let key = (Arc::clone(&self.listener), address);
        if let Some(count) = open.addresses.get_mut(&key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.addresses.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[server]\nhostname = \"r.x.pe\"\n[[listener]]\nname = \"s\"\nbind = [\"127.0.0.1:0\"]\ntls = \"off\"\n\
         relay_from = [\"10.0.0.0/8\"]\n[listener.limits]\nconnections = 5\nconnections_per_address = 1\n\
         connections_per_trusted_address = 3\n";

    #[test]
    fn each_limit_holds_and_who_leaves_makes_room() {
        let config = relay_config::load(TEXT, "t").unwrap().config;
        let listener = &config.listeners[0];
        let gate = Arc::new(Gate::new(6));
        let enter = |address: &str| gate.enter(listener, address.parse().unwrap());
        let stranger = enter("192.0.2.1").unwrap();
        assert_eq!(enter("192.0.2.1").unwrap_err(), "connections_per_address");
        let trusted: Vec<_> = (0..3).map(|_| enter("10.0.0.1").unwrap()).collect();
        assert_eq!(enter("10.0.0.1").unwrap_err(), "connections_per_trusted_address");
        let another = enter("10.0.0.2").unwrap();
        assert_eq!(enter("10.0.0.3").unwrap_err(), "listener.limits.connections");
        drop((stranger, another));
        let _six = enter("2001:db8::1").unwrap();
        drop(trusted);
        assert_eq!(enter("2001:db8::2").unwrap_err(), "connections_per_address", "one /64");
        assert!(enter("2001:db8:0:1::2").is_ok());
        assert_eq!(gate.lock().addresses.len(), 1);
        assert_eq!(gate.lock().all, 1);
    }

    #[test]
    fn a_load_balancer_counts_for_the_relay_and_its_clients_for_their_addresses() {
        let config = relay_config::load(TEXT, "t").unwrap().config;
        let listener = &config.listeners[0];
        let gate = Arc::new(Gate::new(4));
        let mut waiting: Vec<_> =
            (0..4).map(|_| gate.enter_unannounced(listener).unwrap()).collect();
        assert_eq!(gate.enter_unannounced(listener).unwrap_err(), "limits.connections");
        assert!(gate.lock().addresses.is_empty());
        let mut announce =
            |address: &str| waiting.pop().unwrap().announce(listener, address.parse().unwrap());
        let first = announce("192.0.2.1").unwrap();
        assert_eq!(announce("192.0.2.1").unwrap_err(), "connections_per_address");
        let second = announce("::ffff:192.0.2.2").unwrap();
        assert_eq!(gate.lock().all, 3, "who was turned away has left");
        assert_eq!(
            gate.enter(listener, "192.0.2.2".parse().unwrap()).unwrap_err(),
            "connections_per_address"
        );
        drop((first, second, waiting));
        let open = gate.lock();
        assert_eq!((open.all, open.addresses.len(), open.listeners[&listener.name]), (0, 0, 0));
    }
}
