//! Neighbours: sources that stand in one network, which receivers judge together.

use std::net::IpAddr;
use std::sync::Arc;

use super::sources::Sources;

impl Sources {
    /// Sources whose public address stands in the network of this one (IPv4 /24, IPv6 /48), itself included.
    pub(super) fn netblock(&self, source: &str) -> Vec<Arc<str>> {
        let Some(own) = self.get(source).map(|source| network(source.public)) else {
            return Vec::new();
        };
        let neighbours = self.all().filter(|source| network(source.public) == own);
        neighbours.map(|source| Arc::clone(&source.name)).collect()
    }
}

fn network(address: IpAddr) -> (bool, [u8; 6]) {
    let mut prefix = [0; 6];
    match address {
        IpAddr::V4(address) => prefix[..3].copy_from_slice(&address.octets()[..3]),
        IpAddr::V6(address) => prefix.copy_from_slice(&address.octets()[..6]),
    }
    (address.is_ipv4(), prefix)
}

#[cfg(test)]
mod tests {
    use super::super::examples::source;
    use super::*;

    #[test]
    fn neighbours_stand_in_one_network() {
        let mut made = [source("a"), source("b"), source("c")];
        for (source, public) in made.iter_mut().zip(["192.0.2.1", "192.0.2.200", "192.0.3.1"]) {
            Arc::get_mut(source).unwrap().public = public.parse().unwrap();
        }
        let all = Sources::new(&made, &[], |_| true);
        assert_eq!(all.netblock("a").len(), 2);
        assert_eq!(all.netblock("c").len(), 1);
    }
}
