//! Zones and what they say of an address: the cases of RFC 7208, section by section.

use super::*;
use crate::outside::zone::Zone;

const ZONE: &str = "
    plain.pe TXT v=spf1 ip4:203.0.113.11 ip4:203.0.113.16/29 -all
    upper.pe TXT V=SPF1 IP4:203.0.113.11 -ALL
    soft.pe TXT v=spf1 ip4:203.0.113.12 ~all
    neutral.pe TXT v=spf1 ?all
    nothing.pe TXT v=spf1 ip4:203.0.113.12
    other.pe TXT google-site-verification=abc
    other.pe TXT v=spf10 +all
    two.pe TXT v=spf1 -all
    two.pe TXT v=spf1 +all
    among.pe TXT some text
    among.pe TXT v=spf1 a:m11.among.pe -all
    m11.among.pe A 203.0.113.11
    six.pe TXT v=spf1 ip6:2001:db8::/32 -all
    a.pe TXT v=spf1 a/28 -all
    a.pe A 203.0.113.1
    a6.pe TXT v=spf1 a//64 -all
    a6.pe AAAA 2001:db8::99
    mx.pe TXT v=spf1 mx -all
    mx.pe MX 10 m1.mx.pe
    mx.pe MX 20 m2.mx.pe
    m1.mx.pe A 203.0.113.1
    m2.mx.pe A 203.0.113.11
    wide.pe TXT v=spf1 mx:many.pe -all
    include.pe TXT v=spf1 include:plain.pe -all
    included.pe TXT v=spf1 include:refuses.pe ip4:203.0.113.11 -all
    refuses.pe TXT v=spf1 -ip4:203.0.113.11 +all
    dangling.pe TXT v=spf1 include:missing.pe ip4:203.0.113.11
    redirect.pe TXT v=spf1 redirect=plain.pe
    redirected.pe TXT v=spf1 redirect=missing.pe
    early.pe TXT v=spf1 ip4:203.0.113.11 redirect=missing.pe
    loop.pe TXT v=spf1 include:loop.pe -all
    loop2.pe TXT v=spf1 redirect=loop2.pe
    exists.pe TXT v=spf1 exists:%{ir}.%{v}._spf.%{d} -all
    11.113.0.203.in-addr._spf.exists.pe A 127.0.0.2
    helo.pe TXT v=spf1 exists:%{h}.%{o} -all
    m11.plain.pe.helo.pe A 127.0.0.2
    ptr.pe TXT v=spf1 ptr -all
    ptr2.pe TXT v=spf1 ptr:plain.pe -all
    p.pe TXT v=spf1 exists:%{p}.p.pe -all
    m11.plain.pe.p.pe A 127.0.0.2
    11.113.0.203.in-addr.arpa PTR m11.plain.pe
    11.113.0.203.in-addr.arpa PTR m11.ptr.pe
    m11.plain.pe A 203.0.113.11
    m11.ptr.pe A 203.0.113.12
    eleven.pe TXT v=spf1 a:x.pe a:x.pe a:x.pe a:x.pe a:x.pe a:x.pe a:x.pe a:x.pe a:x.pe a:x.pe a:x.pe ip4:203.0.113.11
    ten.pe TXT v=spf1 a:x.pe a:x.pe a:x.pe a:x.pe a:x.pe a:x.pe a:x.pe a:x.pe a:x.pe a:x.pe ip4:203.0.113.11
    x.pe A 198.51.100.1
    deep.pe TXT v=spf1 include:ten.pe ip4:203.0.113.11
    void.pe TXT v=spf1 a:v1.pe a:v2.pe ip4:203.0.113.11
    void3.pe TXT v=spf1 a:v1.pe a:v2.pe a:v3.pe ip4:203.0.113.11
    silent.pe SERVFAIL
    half.pe TXT v=spf1 a:silent.pe ip4:203.0.113.11
    before.pe TXT v=spf1 ip4:203.0.113.11 a:silent.pe
    modifier.pe TXT v=spf1 exp=explain.pe foo=bar ip4:203.0.113.11 -all
    ipv4.pe TXT v=spf1 ipv4:203.0.113.11 -all
    octet.pe TXT v=spf1 ip4:203.0.113.300 +all
    short.pe TXT v=spf1 ip4:203.0.113 +all
    signs.pe TXT v=spf1 +-all
    colon.pe TXT v=spf1 all: ip4:203.0.113.11
    long.pe TXT v=spf1 a/33 +all
    lengths.pe TXT v=spf1 a:x.pe/28//64 ip4:203.0.113.11 -all
    comma.pe TXT v=spf1 ip4:203.0.113.11, -all
    twice.pe TXT v=spf1 redirect=plain.pe redirect=plain.pe
    macro.pe TXT v=spf1 exists:%{z}.pe ip4:203.0.113.11
";

async fn check(domain: &str, address: &str) -> String {
    let many: String =
        (0..11).map(|i| format!("many.pe MX 10 m{i}.pe\n")).collect::<Vec<_>>().concat();
    let zone = Zone::new(&format!("{ZONE}{many}"));
    let found = check_host(&zone, address.parse().unwrap(), domain, "m11.plain.pe").await;
    match found.result {
        SpfResult::TempError(why) => format!("TempError {why}"),
        SpfResult::PermError(why) => format!("PermError {why}"),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn what_records_say_of_an_address() {
    for (domain, expected) in [
        ("plain.pe", "Pass"),
        ("upper.pe", "Pass"),
        ("soft.pe", "SoftFail"),
        ("neutral.pe", "Neutral"),
        ("nothing.pe", "Neutral"),
        ("other.pe", "None"),
        ("missing.pe", "None"),
        ("two.pe", "PermError two.pe has more than one SPF record"),
        ("among.pe", "Pass"),
        ("six.pe", "Fail"),
        ("a.pe", "Pass"),
        ("mx.pe", "Pass"),
        ("wide.pe", "PermError mx:many.pe has more than 10 hosts"),
        ("include.pe", "Pass"),
        ("included.pe", "Pass"),
        ("dangling.pe", "PermError include:missing.pe leads to no SPF record"),
        ("redirect.pe", "Pass"),
        ("redirected.pe", "PermError redirect=missing.pe leads to no SPF record"),
        ("early.pe", "Pass"),
        ("loop.pe", "PermError it needs more than 10 look-ups"),
        ("loop2.pe", "PermError it needs more than 10 look-ups"),
        ("exists.pe", "Pass"),
        ("helo.pe", "Pass"),
        ("ptr.pe", "Fail"),
        ("ptr2.pe", "Pass"),
        ("p.pe", "Pass"),
        ("eleven.pe", "PermError it needs more than 10 look-ups"),
        ("ten.pe", "Pass"),
        ("deep.pe", "PermError it needs more than 10 look-ups"),
        ("void.pe", "Pass"),
        ("void3.pe", "PermError more than 2 names in it do not exist, such as v3.pe"),
        ("silent.pe", "TempError silent.pe: the DNS does not answer: SERVFAIL"),
        ("half.pe", "TempError silent.pe: the DNS does not answer: SERVFAIL"),
        ("before.pe", "Pass"),
        ("modifier.pe", "Pass"),
        ("ipv4.pe", "PermError ipv4.pe: `ipv4:203.0.113.11` is no term of SPF"),
        ("octet.pe", "PermError octet.pe: `ip4:203.0.113.300` is no term of SPF"),
        ("short.pe", "PermError short.pe: `ip4:203.0.113` is no term of SPF"),
        ("signs.pe", "PermError signs.pe: `+-all` is no term of SPF"),
        ("colon.pe", "PermError colon.pe: `all:` is no term of SPF"),
        ("long.pe", "PermError long.pe: `a/33` is no term of SPF"),
        ("lengths.pe", "Pass"),
        ("comma.pe", "PermError comma.pe: `ip4:203.0.113.11,` is no term of SPF"),
        ("twice.pe", "PermError twice.pe: it is no SPF record"),
        ("macro.pe", "PermError macro.pe: it is no SPF record"),
    ] {
        assert_eq!(check(domain, "203.0.113.11").await, expected, "{domain}");
    }
    for (domain, address, expected) in [
        ("plain.pe", "203.0.113.23", "Pass"),
        ("plain.pe", "203.0.113.24", "Fail"),
        ("plain.pe", "2001:db8::1", "Fail"),
        ("six.pe", "2001:db8::1", "Pass"),
        ("a.pe", "203.0.113.16", "Fail"),
        ("a6.pe", "2001:db8::1", "Pass"),
        ("a6.pe", "2001:db8:0:1::1", "Fail"),
        ("mx.pe", "203.0.113.12", "Fail"),
        ("included.pe", "203.0.113.12", "Pass"),
        ("ptr2.pe", "203.0.113.12", "Fail"),
    ] {
        assert_eq!(check(domain, address).await, expected, "{domain} {address}");
    }
}
