//! Records on disk: no octets make reading them panic, and what is read is written as it was.
#![no_main]

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use mta::egress::{Egress, Item, Kept, Settings, Sources};
use mta::message::{Delivery, Event, Message, Timestamp};
use mta::queue::keys;
use mta::spool::record::{Record, decode, encode};

struct Nothing;

impl Item for Nothing {
    fn recipients(&self) -> u32 {
        1
    }
    fn sending_domain(&self) -> Option<&str> {
        None
    }
    fn campaign(&self) -> &str {
        ""
    }
    fn same_source(&self) -> Option<&str> {
        None
    }
    fn refused_source(&self) -> Option<&str> {
        None
    }
    fn other_source(&self) -> bool {
        false
    }
}

static CONFIG: LazyLock<Arc<relay_config::Config>> = LazyLock::new(|| {
    let text = "[server]\nhostname = \"r.x.pe\"\n[[listener]]\nname = \"s\"\nbind = [\"127.0.0.1:0\"]\ntls = \"off\"\n\
        relay_from = [\"10.0.0.0/8\"]\n[[source]]\nname = \"a\"\naddress = \"127.0.0.1\"\nhelo = \"a.x.pe\"\n\
        [[source]]\nname = \"b\"\naddress = \"127.0.0.2\"\nhelo = \"b.x.pe\"\n\
        [[pool]]\nname = \"p\"\nsources = [\"a\"]\nstandby = [\"b\"]\nwarm_up = true\n";
    let loaded = relay_config::load(text, "fuzz");
    Arc::new(loaded.unwrap_or_else(|problems| panic!("{problems:#?}")).config)
});

fn read<T: Record + PartialEq + std::fmt::Debug>(octets: &[u8]) {
    if let Ok(value) = decode::<T>(octets) {
        assert_eq!(decode::<T>(&encode(&value)).unwrap(), value);
    }
}

/// What egress remembers of paths, sites, sources, pools and halts.
fn restore(octets: &[u8]) {
    let config = &CONFIG;
    let sources = Sources::new(&config.sources, &config.pools, |_| true);
    let settings = Settings {
        providers: config.providers.clone(),
        connections_max: 10,
        swap: config.swap.clone(),
    };
    let now = Timestamp::from_millis(1_795_525_500_123);
    let mut egress: Egress<Nothing> = Egress::new(sources, settings, now);
    let prefix = Egress::<Nothing>::keys();
    let (name, value) = octets.split_at(octets.len() / 2);
    let mut kept =
        vec![Kept { key: [prefix, name].concat(), value: Bytes::copy_from_slice(value) }];
    for of in [
        r#"{"Path":["google","a"]}"#,
        r#"{"Site":"google"}"#,
        r#"{"Source":"a"}"#,
        r#"{"Pool":"p"}"#,
        r#"{"Halt":["google",{"Domain":"x.pe"}]}"#,
    ] {
        kept.push(Kept {
            key: [prefix, of.as_bytes()].concat(),
            value: Bytes::copy_from_slice(octets),
        });
    }
    egress.restore(kept);
    egress.sweep(now);
    let _ = (egress.paths(|_| true, now), egress.halts(now), egress.to_save(now));
}

fuzz_target!(|octets: &[u8]| {
    read::<Message>(octets);
    read::<Delivery>(octets);
    // Every version, past the first octet.
    for version in [1, 2, 3] {
        let octets = [&[version], octets].concat();
        read::<Message>(&octets);
        read::<Delivery>(&octets);
    }
    if let Ok(event) = serde_event(octets) {
        let _ = mta::spool::event_index::operations(&event);
    }
    let _ = keys::parse_due(octets);
    restore(octets);
});

fn serde_event(octets: &[u8]) -> Result<Event, ()> {
    serde_json::from_slice(octets).map_err(|_| ())
}
