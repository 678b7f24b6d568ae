//! How many sessions may be open: in the relay, on a listener, from an address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

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
    address: IpAddr,
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
        let limits = &listener.limits;
        let (per_address, name) = if is_trusted(listener, client) {
            (limits.connections_per_trusted_address, "connections_per_trusted_address")
        } else {
            (limits.connections_per_address, "connections_per_address")
        };
        let address = network_of(client);
        let key = (Arc::clone(&listener.name), address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let here = open.listeners.get(&listener.name).copied().unwrap_or(0);
        let from = open.addresses.get(&key).copied().unwrap_or(0);
        for (count, limit, name) in [
            (from, per_address, name),
            (here, limits.connections, "listener.limits.connections"),
            (open.all, self.connections_max, "limits.connections"),
        ] {
            if count >= limit {
                limit_hit(name);
                return Err(name);
            }
        }
        open.all += 1;
        open.listeners.insert(Arc::clone(&listener.name), here + 1);
        open.addresses.insert(key, from + 1);
        drop(open);
        Ok(Pass { gate: Arc::clone(self), listener: Arc::clone(&listener.name), address })
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut open = self.gate.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all = open.all.saturating_sub(1);
        if let Some(count) = open.listeners.get_mut(&self.listener) {
            *count = count.saturating_sub(1);
        }
        let key = (Arc::clone(&self.listener), self.address);
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

    #[test]
    fn each_limit_holds_and_who_leaves_makes_room() {
        let text = "[server]\nhostname = \"r.x.pe\"\n[[listener]]\nname = \"s\"\nbind = [\"127.0.0.1:0\"]\ntls = \"off\"\n\
             relay_from = [\"10.0.0.0/8\"]\n[listener.limits]\nconnections = 4\nconnections_per_address = 1\n\
             connections_per_trusted_address = 3\n";
        let config = relay_config::load(text, "t").unwrap().config;
        let listener = &config.listeners[0];
        let gate = Arc::new(Gate::new(5));
        let enter = |address: &str| gate.enter(listener, address.parse().unwrap());
        let stranger = enter("192.0.2.1").unwrap();
        assert_eq!(enter("192.0.2.1").unwrap_err(), "connections_per_address");
        let trusted: Vec<_> = (0..3).map(|_| enter("10.0.0.1").unwrap()).collect();
        assert_eq!(enter("10.0.0.1").unwrap_err(), "connections_per_trusted_address");
        assert_eq!(enter("10.0.0.2").unwrap_err(), "listener.limits.connections");
        drop(stranger);
        let _six = enter("2001:db8::1").unwrap();
        drop(trusted);
        assert_eq!(enter("2001:db8::2").unwrap_err(), "connections_per_address", "one /64");
        assert!(enter("2001:db8:0:1::2").is_ok());
        assert_eq!(gate.open.lock().unwrap().addresses.len(), 1);
    }
}
