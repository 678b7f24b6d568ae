//! Finds the facts by which a standby is judged. What they mean, `egress/vetting.rs` knows.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use relay_config::Config;
use relay_config::config::Source;
use tokio::task::JoinSet;

use crate::egress::blocklist::{Standing, Subject};
use crate::egress::vetting::{Check, Facts, Names, examine};
use crate::outside::spf::{SpfFound, SpfResult, check_host};
use crate::outside::{DnsError, MailDns, Net};
use crate::smtp_out::ask_gateway;

/// Domains that are looked at together; each asks one thing after the other.
const DOMAINS_AT_A_TIME: usize = 8;
/// Time for one domain, as receivers give it (RFC 7208 section 4.6.4: at least 20 s).
const SPF_TIME_MAX: Duration = Duration::from_secs(30);

/// Looks at a source as it is now: its address, its names, SPF of every domain that mail is sent from.
/// `standings` is what blocklists say of its public address, as the monitor knows it.
///
/// PTR and TXT records are asked anew, so what was mended counts at once; addresses and MX may come from
/// the cache, which forgets after a quarter of an hour at most that a name was missing.
pub async fn vet(
    source: &Source,
    config: &Config,
    dns: &Arc<dyn MailDns>,
    net: &dyn Net,
    standings: Vec<Standing>,
) -> Vec<Check> {
    let known = !source.public.is_unspecified();
    let facts = Facts {
        bound: bound(source, config, net).await,
        names: names(source, &**dns).await,
        spf: if known { spf(source, config, dns).await } else { Vec::new() },
        standings,
    };
    examine(source, &facts)
}

/// What the DNS says of its names: nothing of an address that nobody knows.
pub(super) async fn names(source: &Source, dns: &dyn MailDns) -> Names {
    let mut found = Names {
        pointers: Err(DnsError::NoRecords),
        forward: Err(DnsError::NoRecords),
        helo: Err(DnsError::NoRecords),
    };
    if source.public.is_unspecified() {
        return found;
    }
    found.pointers = dns.pointers(source.public).await.map(|answer| {
        let mut names = answer.records;
        names.sort_unstable();
        names.dedup();
        names
    });
    if let Ok([name]) = found.pointers.as_deref() {
        found.forward = addresses(dns, name).await;
    }
    found.helo = addresses(dns, &source.helo).await;
    found
}

/// Whether its address can be sent from.
async fn bound(source: &Source, config: &Config, net: &dyn Net) -> Result<(), String> {
    match &source.via {
        Some(gateway) => {
            let asked = ask_gateway(net, gateway, config.delivery.connect_timeout).await;
            asked.map_err(|failure| failure.cause)
        }
        None if net.has_address(source.address) => Ok(()),
        None => Err(format!("this machine does not have {}", source.address)),
    }
}

/// What the monitor is asked about a source.
pub fn subject(source: &Source) -> Subject {
    Subject::Address(source.public)
}

async fn addresses(dns: &dyn MailDns, name: &str) -> Result<Vec<IpAddr>, DnsError> {
    dns.addresses(name).await.map(|answer| answer.records)
}

async fn spf(source: &Source, config: &Config, dns: &Arc<dyn MailDns>) -> Vec<(String, SpfFound)> {
    let mut waiting: VecDeque<String> =
        config.sending_domains().into_iter().map(str::to_owned).collect();
    let mut found = Vec::with_capacity(waiting.len());
    let mut open = JoinSet::new();
    loop {
        while open.len() < DOMAINS_AT_A_TIME
            && let Some(domain) = waiting.pop_front()
        {
            let (dns, address, helo) = (Arc::clone(dns), source.public, source.helo.clone());
            open.spawn(async move {
                let check = check_host(&*dns, address, &domain, &helo);
                let found = tokio::time::timeout(SPF_TIME_MAX, check).await;
                let late = || {
                    let why = format!("SPF of {domain} is not read to its end in time");
                    SpfFound { result: SpfResult::TempError(why), record: None }
                };
                let found = found.unwrap_or_else(|_| late());
                (domain, found)
            });
        }
        match open.join_next().await {
            Some(Ok(one)) => found.push(one),
            Some(Err(error)) => {
                // Nothing is known of a domain whose task has died: it is not passed over.
                let why = format!("SPF could not be looked at: {error}");
                let none = SpfFound { result: SpfResult::TempError(why), record: None };
                found.push(("one of the domains".to_owned(), none));
            }
            None => break,
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::SocketAddr;

    use super::*;
    use crate::egress::blocklist::State;
    use crate::egress::vetting::verdict;
    use crate::message::Timestamp;
    use crate::outside::zone::Zone;
    use crate::outside::{BoxFuture, BoxListener, BoxStream};

    const CONFIG: &str = "[server]\nhostname = \"r.example.pe\"\n[[listener]]\nname = \"in\"\n\
        bind = [\"127.0.0.1:25\"]\ntls = \"off\"\nrelay_from = [\"10.0.0.0/8\"]\n\
        [[source]]\nname = \"ip-17\"\naddress = \"10.0.0.17\"\npublic = \"203.0.113.27\"\nhelo = \"m17.example.pe\"\n\
        [[source]]\nname = \"six\"\naddress = \"2001:db8::27\"\nhelo = \"m6.example.pe\"\n\
        [[source]]\nname = \"any\"\naddress = \"0.0.0.0\"\nhelo = \"m0.example.pe\"\n\
        [[source]]\nname = \"far\"\naddress = \"203.0.113.27\"\nhelo = \"m17.example.pe\"\nvia = \"haproxy://10.0.0.5:2525\"\n\
        [[dkim]]\ndomain = \"example.pe\"\nselector = \"s\"\nprivate_key = \"/k\"\n\
        [[account]]\nname = \"x\"\nnetworks = [\"10.0.0.0/8\"]\nsenders = [\"*@acto.pe\", \"*@*.acto.pe\"]\n\
        [[blocklist]]\nzone = \"zen.spamhaus.org\"\n[[blocklist]]\nzone = \"psbl.surriel.com\"\n\
        [[blocklist]]\nzone = \"dbl.spamhaus.org\"\n";
    const ZONE: &str = "
        27.113.0.203.in-addr.arpa PTR m17.example.pe
        m17.example.pe A 203.0.113.27
        m17.example.pe A 203.0.113.28
        example.pe TXT v=spf1 ip4:203.0.113.16/28 -all
        acto.pe TXT v=spf1 include:example.pe ~all
        7.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR m6.example.pe
        m6.example.pe AAAA 2001:db8::27";

    /// A machine that has these addresses.
    struct Machine(&'static [&'static str]);

    impl Net for Machine {
        fn listen(&self, _address: SocketAddr) -> io::Result<BoxListener> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn connect(&self, _from: IpAddr, _to: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
            Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
        }

        fn has_address(&self, address: IpAddr) -> bool {
            self.0.iter().any(|own| address == own.parse::<IpAddr>().unwrap())
        }
    }

    /// What is not as it should be, and the verdict.
    async fn look(
        zone: &str,
        source: &str,
        own: &'static [&'static str],
        lists: &[State],
    ) -> String {
        let config = relay_config::load(CONFIG, "t.toml").unwrap().config;
        let dns: Arc<dyn MailDns> = Arc::new(Zone::new(zone));
        let source = config.sources.iter().find(|it| &*it.name == source).unwrap();
        let lists = config
            .blocklists
            .iter()
            .zip(lists)
            .map(|(list, state)| Standing { list: Arc::clone(list), state: state.clone() });
        let checks = vet(source, &config, &dns, &Machine(own), lists.collect()).await;
        let wrong: Vec<String> = checks
            .iter()
            .map(ToString::to_string)
            .filter(|it| !it.ends_with("as it should be"))
            .collect();
        format!("{:?} of {}\n{}", verdict(&checks), checks.len(), wrong.join("\n"))
    }

    async fn check(remove: &str, add: &str, expected: &str) {
        let kept = ZONE.lines().filter(|line| remove.is_empty() || !line.contains(remove));
        let zone = format!("{}\n{add}", kept.collect::<Vec<_>>().join("\n"));
        let found = look(&zone, "ip-17", &["10.0.0.17"], &[State::Clear]).await;
        assert_eq!(found, expected, "without {remove}, with {add}");
    }

    #[tokio::test]
    async fn each_fault_says_what_was_found_what_was_expected_and_the_line_to_publish() {
        check("", "", "Passes of 7\n").await;
        check(
            " PTR ",
            "",
            "Fails of 6\nPTR: found: none; expected: one PTR record of 203.0.113.27; to mend: publish \
             `27.113.0.203.in-addr.arpa. PTR m17.example.pe.`; who gave you the address publishes it, or lets you",
        )
        .await;
        check(
            "",
            "27.113.0.203.in-addr.arpa PTR host27.isp.pe",
            "Fails of 6\nPTR: found: 2 of them: host27.isp.pe, m17.example.pe; expected: one PTR record of 203.0.113.27; \
             to mend: keep `27.113.0.203.in-addr.arpa. PTR m17.example.pe.` and remove the others; who gave you the \
             address publishes it, or lets you",
        )
        .await;
        check("", "27.113.0.203.in-addr.arpa PTR m17.example.pe", "Passes of 7\n").await;
        check(
            " PTR m17",
            "27.113.0.203.in-addr.arpa PTR host27.isp.pe\nhost27.isp.pe A 198.51.100.1",
            "Fails of 7\nname of the address: found: host27.isp.pe has 198.51.100.1; expected: host27.isp.pe has the \
             address 203.0.113.27; to mend: publish `host27.isp.pe. A 203.0.113.27`",
        )
        .await;
        check(
            "m17.example.pe A 203.0.113.27",
            "",
            "Fails of 7\nname of the address: found: m17.example.pe has 203.0.113.28; expected: m17.example.pe has the \
             address 203.0.113.27; to mend: publish `m17.example.pe. A 203.0.113.27`\nname in EHLO: found: \
             m17.example.pe has 203.0.113.28; expected: m17.example.pe has the address 203.0.113.27; to mend: publish \
             `m17.example.pe. A 203.0.113.27`",
        )
        .await;
        check(
            "m17.example.pe A",
            "host27.isp.pe A 203.0.113.27\n27.113.0.203.in-addr.arpa PTR host27.isp.pe",
            "Fails of 7\nPTR: found: 2 of them: host27.isp.pe, m17.example.pe; expected: one PTR record of 203.0.113.27; \
             to mend: keep `27.113.0.203.in-addr.arpa. PTR m17.example.pe.` and remove the others; who gave you the \
             address publishes it, or lets you\nname in EHLO: found: m17.example.pe does not exist; expected: \
             m17.example.pe has the address 203.0.113.27; to mend: publish `m17.example.pe. A 203.0.113.27`"
                .replace("of 7", "of 6")
                .as_str(),
        )
        .await;
    }

    #[tokio::test]
    async fn spf_of_each_domain() {
        check(
            "acto.pe",
            "",
            "Fails of 7\nSPF of acto.pe: found: acto.pe publishes no SPF; expected: SPF of acto.pe lets 203.0.113.27 send; \
             to mend: publish `acto.pe. TXT \"v=spf1 ip4:203.0.113.27 -all\"`, with every address that sends for it",
        )
        .await;
        check(
            "acto.pe",
            "acto.pe TXT v=spf1 ip4:203.0.113.11 ~all",
            "Fails of 7\nSPF of acto.pe: found: it says softfail: \"v=spf1 ip4:203.0.113.11 ~all\"; expected: SPF of acto.pe \
             lets 203.0.113.27 send; to mend: publish `acto.pe. TXT \"v=spf1 ip4:203.0.113.27 ip4:203.0.113.11 ~all\"` \
             in its place",
        )
        .await;
        check(
            "acto.pe",
            "acto.pe TXT v=spf1 ip4:203.0.113.27\nacto.pe TXT v=spf1 -all",
            "Fails of 7\nSPF of acto.pe: found: acto.pe has more than one SPF record; expected: SPF of acto.pe lets \
             203.0.113.27 send; to mend: mend the SPF record of acto.pe; terms such as `ip4:203.0.113.27` cost no \
             look-up",
        )
        .await;
        check(
            "acto.pe",
            "acto.pe SERVFAIL",
            "Later of 7\nSPF of acto.pe: not known yet, and tried again: acto.pe: the DNS does not answer: SERVFAIL",
        )
        .await;
    }

    #[tokio::test]
    async fn what_is_not_known_does_not_pass() {
        check(
            " PTR m17",
            "27.113.0.203.in-addr.arpa SERVFAIL",
            "Later of 6\nPTR: not known yet, and tried again: 27.113.0.203.in-addr.arpa: SERVFAIL",
        )
        .await;
        let zone = ZONE.replace("m17.example.pe A 203.0.113.27", "m17.example.pe SERVFAIL");
        let found = look(&zone, "ip-17", &[], &[]).await;
        assert_eq!(
            found,
            "Fails of 6\naddress: found: this machine does not have 10.0.0.17; expected: 10.0.0.17 on one of its \
             interfaces; to mend: add 10.0.0.17 to an interface (`ip address add`), or mend `address` of `ip-17`\n\
             name of the address: not known yet, and tried again: m17.example.pe: SERVFAIL\n\
             name in EHLO: not known yet, and tried again: m17.example.pe: SERVFAIL"
        );
        let found = look(ZONE, "any", &["0.0.0.0"], &[]).await;
        assert!(
            found
                .starts_with("Fails of 2\nPTR: found: nobody knows from which address `any` sends")
        );
        // Behind a gateway the address is not this machine's, whether it has it or not.
        let found = look(ZONE, "far", &["203.0.113.27"], &[]).await;
        assert!(
            found.starts_with(
                "Fails of 6\naddress: found: the gateway haproxy://10.0.0.5:2525 cannot be reached: connection \
                 refused; expected: it takes connections of this relay; to mend: start or mend \
                 haproxy://10.0.0.5:2525, or mend `via` of `far`"
            ),
            "{found}"
        );
        let found = look(ZONE, "six", &["2001:db8::27"], &[]).await;
        assert!(
            found.starts_with("Fails of 6\nSPF of acto.pe: found: it says softfail"),
            "{found}"
        );
        assert!(
            found.contains("TXT \"v=spf1 ip6:2001:db8::27 ip4:203.0.113.16/28 -all\"`"),
            "{found}"
        );
    }

    #[tokio::test]
    async fn lists_that_act_stand_in_the_way() {
        use relay_config::blocklists::ListAction;

        let when = Timestamp::from_millis(0);
        let listed = |action| {
            State::Listed(crate::egress::blocklist::Listed {
                list: "zen.spamhaus.org".into(),
                subject: Subject::Address("203.0.113.27".parse().unwrap()),
                answers: vec!["127.0.0.2".parse().unwrap()],
                meanings: vec!["SBL".into()],
                text: None,
                action,
                delisting: Some("https://check.spamhaus.org/".to_owned()),
                since: when,
            })
        };
        for (state, expected) in [
            (State::Clear, "Passes of 7\n"),
            (State::Ignored("dead".to_owned()), "Passes of 7\n"),
            (listed(ListAction::Warn), "Passes of 7\n"),
            (State::Suspected(when, ListAction::Warn), "Passes of 7\n"),
            (
                State::Suspected(when, ListAction::Act),
                "Later of 7\nblocklist zen.spamhaus.org: not known yet, and tried again: zen.spamhaus.org lists it since \
                 1970-01-01T00:00:00.000Z, which is to be confirmed",
            ),
            (
                State::Unknown(when),
                "Later of 7\nblocklist zen.spamhaus.org: not known yet, and tried again: zen.spamhaus.org has not answered yet",
            ),
            (
                listed(ListAction::Act),
                "Fails of 7\nblocklist zen.spamhaus.org: found: 203.0.113.27 is listed by zen.spamhaus.org (127.0.0.2: SBL); \
                 to be taken out: https://check.spamhaus.org/; expected: not listed by zen.spamhaus.org; to mend: ask to \
                 be taken out: https://check.spamhaus.org/",
            ),
        ] {
            // A list that only warns, and one of domains, are no obstacle whatever they say.
            let lists = [state, listed(ListAction::Act), listed(ListAction::Act)];
            assert_eq!(look(ZONE, "ip-17", &["10.0.0.17"], &lists).await, expected);
        }
    }
}
