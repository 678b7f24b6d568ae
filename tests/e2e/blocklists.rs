//! Blocklists and the checks of a standby, over the real resolver and a DNS server that changes.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mta::dispatch::blocklists::Blocklists;
use mta::dispatch::vetting::{subject, vet};
use mta::egress::blocklist::{Finding, Memory, State};
use mta::egress::vetting::{Verdict, verdict};
use mta::outside::MailDns;
use mta::outside::real::{SystemClock, SystemDns, SystemNet};
use relay_config::Config;
use tests::dns::DnsServer;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

/// Longer than anything here takes, however slow the machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A list that works, and what receivers look at: names and SPF of two sources.
const ZONE: &str = "
    2.0.0.127.bl.example A 127.0.0.2
    2.0.0.127.secret42.keyed.example A 127.0.0.2
    11.0.0.127.in-addr.arpa PTR m11.institucion.example
    m11.institucion.example A 127.0.0.11
    institucion.example TXT v=spf1 ip4:127.0.0.8/29 -all";

fn config(dns: &DnsServer, more: &str) -> Config {
    let text = format!(
        "[server]\nhostname = \"relay.institucion.example\"\n\
         [[listener]]\nname = \"in\"\nbind = [\"127.0.0.1:0\"]\ntls = \"off\"\nrelay_from = [\"127.0.0.0/8\"]\n\
         [[source]]\nname = \"ip-11\"\naddress = \"127.0.0.11\"\nhelo = \"m11.institucion.example\"\n\
         [[dkim]]\ndomain = \"institucion.example\"\nselector = \"s\"\nprivate_key = \"/none\"\n\
         [dns]\nservers = [\"{}\"]\ntimeout = \"1s\"\n{more}",
        dns.address
    );
    relay_config::load(&text, "tambo.toml").unwrap().config
}

async fn found(findings: &mut UnboundedReceiver<Finding>) -> String {
    timeout(PATIENCE, findings.recv()).await.unwrap().unwrap().to_string()
}

#[tokio::test]
async fn a_listing_comes_and_goes_as_the_list_says_it() {
    let dns = DnsServer::start(ZONE).await;
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "SECRET42\n").unwrap();
    let usual = "every = \"1s\"\nconfirm_after = \"1s\"\n";
    let config = config(
        &dns,
        &format!(
            "[[blocklist]]\nzone = \"bl.example\"\ndelisting = \"https://bl.example/\"\n{usual}\
             [[blocklist]]\nzone = \"{{key}}.keyed.example\"\nkey_file = {key:?}\n{usual}"
        ),
    );
    let resolver: Arc<dyn MailDns> = Arc::new(SystemDns::new(&config.dns).unwrap());
    let lists = Arc::new(Blocklists::new(Memory::default(), resolver, Arc::new(SystemClock)));
    assert_eq!(lists.configure(&config), []);
    let (tell, mut findings) = unbounded_channel();
    let asking = Arc::clone(&lists);
    let task = tokio::spawn(async move {
        asking.run(|finding| tell.send(finding).unwrap()).await;
    });
    let listed = "11.0.0.127.bl.example A 127.0.0.2\n11.0.0.127.bl.example TXT see https://bl.example/127.0.0.11";
    dns.set(&format!("{ZONE}\n{listed}"));
    assert_eq!(
        found(&mut findings).await,
        "127.0.0.11 is listed by bl.example (127.0.0.2: listed): \"see https://bl.example/127.0.0.11\"; to be taken \
         out: https://bl.example/"
    );
    // The records may be kept for a minute, and are not: the list has the last word.
    dns.set(ZONE);
    let released = found(&mut findings).await;
    assert!(released.starts_with("127.0.0.11 is no longer listed by bl.example"), "{released}");
    // A list that lists the world, or answers with errors, finds nobody.
    let world = "11.0.0.127.bl.example A 127.0.0.2\n*.bl.example A 127.0.0.2\n11.0.0.127.secret42.keyed.example A 127.0.0.2";
    dns.set(&format!("{ZONE}\n{world}"));
    let keyed = found(&mut findings).await;
    assert!(keyed.starts_with("127.0.0.11 is listed by keyed.example (127.0.0.2"), "{keyed}");
    let of_bl = lists.standings(&subject(&config.sources[0])).remove(0);
    assert!(!matches!(of_bl.state, State::Listed(_)), "{of_bl:?}");
    task.abort();
}

#[tokio::test]
async fn a_standby_is_looked_at_as_it_is_now() {
    let dns = DnsServer::start(ZONE).await;
    let config = config(&dns, "");
    let source = &config.sources[0];
    let resolver: Arc<dyn MailDns> = Arc::new(SystemDns::new(&config.dns).unwrap());
    let look = async |zone: &str| {
        dns.set(zone);
        let checks = vet(source, &config, &resolver, &SystemNet, Vec::new()).await;
        let wrong: Vec<String> = checks.iter().map(ToString::to_string).collect();
        (verdict(&checks), wrong.join("\n"))
    };
    let (found, checks) = look(ZONE).await;
    assert_eq!(found, Verdict::Passes, "{checks}");
    // The resolver knows names of loopback addresses of its own accord: here the servers are asked.
    let (found, checks) = look(&ZONE.replace("PTR m11", "PTR other")).await;
    assert_eq!(found, Verdict::Fails);
    assert!(checks.contains("found: other.institucion.example does not exist"), "{checks}");
    let (found, checks) = look(&ZONE.replace("ip4:127.0.0.8/29", "ip4:127.0.0.16/29")).await;
    assert_eq!(found, Verdict::Fails);
    assert!(checks.contains("TXT \"v=spf1 ip4:127.0.0.11 ip4:127.0.0.16/29 -all\""), "{checks}");
    // Longer than one string of a record, and than a packet of UDP.
    let long = (0..200u8).map(|last| format!("ip4:{} ", IpAddr::from([198, 51, 100, last])));
    let long: String = long.collect::<Vec<_>>().concat();
    let (found, checks) = look(&ZONE.replace("-all", &format!("{long} -all"))).await;
    assert_eq!(found, Verdict::Passes, "{checks}");
    let (found, checks) = look(&format!("{ZONE}\ninstitucion.example SERVFAIL")).await;
    assert_eq!(found, Verdict::Later);
    assert!(checks.contains("not known yet, and tried again: institucion.example"), "{checks}");
    let (found, _) = look(ZONE).await;
    assert_eq!(found, Verdict::Passes, "what was mended counts at once");
}
