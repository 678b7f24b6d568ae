//! Whether a set of networks is so wide that strangers could relay.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// IPv4 addresses of a /16: what the largest institution has.
const ADDRESSES_MAX: u64 = 1 << 16;
/// Networks of 48 bits in an IPv6 /32, the allocation of one provider.
const SITES_MAX: u64 = 1 << 16;

/// Addresses that nobody outside has (RFC 6890).
const NOT_PUBLIC: [(Ipv4Addr, u8); 9] = [
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// Whether the address can be reached from outside; all addresses at once (0.0.0.0, ::) can.
pub(crate) fn is_public_bind(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => four.is_unspecified() || !not_public().any(|net| net.contains(&four)),
        IpAddr::V6(six) => match six.to_ipv4_mapped() {
            Some(four) => is_public_bind(IpAddr::V4(four)),
            None => six.is_unspecified() || global().contains(&six),
        },
    }
}

/// Whether the networks together cover more public addresses than a /16, or for IPv6 a /32.
pub(crate) fn is_open(networks: &[IpNet]) -> bool {
    let (mut four, mut six) = (Vec::new(), Vec::new());
    for network in networks {
        match network {
            IpNet::V4(net) => four.push(*net),
            IpNet::V6(net) => {
                four.extend(mapped(net));
                six.push(*net);
            }
        }
    }
    let addresses: u64 = Ipv4Net::aggregate(&four).iter().copied().map(public_addresses).sum();
    let sites: u64 = Ipv6Net::aggregate(&six).iter().map(global_sites).sum();
    addresses > ADDRESSES_MAX || sites > SITES_MAX
}

fn not_public() -> impl Iterator<Item = Ipv4Net> {
    NOT_PUBLIC.iter().filter_map(|(address, prefix)| Ipv4Net::new(*address, *prefix).ok())
}

fn public_addresses(network: Ipv4Net) -> u64 {
    let size = |prefix: u8| 1_u64 << (32 - u32::from(prefix));
    let hidden: u64 = not_public()
        .map(|net| match () {
            () if net.contains(&network) => size(network.prefix_len()),
            () if network.contains(&net) => size(net.prefix_len()),
            () => 0,
        })
        .sum();
    size(network.prefix_len()) - hidden
}

/// `2000::/3`, all that is given out (RFC 4291).
fn global() -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3)
}

fn global_sites(network: &Ipv6Net) -> u64 {
    let prefix = match () {
        () if global().contains(network) => network.prefix_len(),
        () if network.contains(&global()) => 3,
        () => return 0,
    };
    1_u64 << (48 - u32::from(prefix.min(48)))
}

/// The IPv4 part of a network that holds mapped addresses (`::ffff:0:0/96`).
fn mapped(network: &Ipv6Net) -> Option<Ipv4Net> {
    let all = Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);
    if network.contains(&all) {
        return Ipv4Net::new(Ipv4Addr::UNSPECIFIED, 0).ok();
    }
    if !all.contains(network) {
        return None;
    }
    Ipv4Net::new(network.addr().to_ipv4_mapped()?, network.prefix_len() - 96).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(networks: &[&str], open: bool) {
        let parsed: Vec<IpNet> = networks.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(is_open(&parsed), open, "{networks:?}");
    }

    #[test]
    fn wide_sets_are_open_however_they_are_written() {
        check(&["0.0.0.0/0"], true);
        check(&["0.0.0.0/1", "128.0.0.0/1"], true);
        check(&["190.0.0.0/16", "190.2.0.0/32"], true);
        check(&["::/0"], true);
        check(&["2000::/4"], true);
        check(&["2800:100::/24"], true);
        check(&["::ffff:0:0/96"], true);
        check(&["::ffff:0:0/97"], true);
        check(&["190.0.0.0/16"], false);
        check(&["190.0.0.0/17", "190.0.0.0/16"], false);
        check(&["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"], false);
        check(&["2800:100::/32", "fc00::/7"], false);
        check(&[], false);
    }

    #[test]
    fn which_binds_the_world_can_reach() {
        let check = |address: &str, public: bool| {
            assert_eq!(is_public_bind(address.parse().unwrap()), public, "{address}");
        };
        check("0.0.0.0", true);
        check("::", true);
        check("190.1.2.3", true);
        check("2800:100::1", true);
        check("::ffff:190.1.2.3", true);
        check("10.1.2.3", false);
        check("127.0.0.1", false);
        check("::1", false);
        check("fd00::1", false);
    }
}
