//! What is done and said on connections to servers, for those who watch.

use std::sync::Arc;

use relay_config::config::Source;

use crate::smtp_out::{Connection, Ear, Route, Said};
use crate::wire::{About, Direction, Kind, Tap, Watched, Watches};

use super::Dispatch;

impl Dispatch {
    /// Who watches conversations.
    pub fn watches(&self) -> &Arc<Watches> {
        &self.watches
    }

    /// Looks who watches a connection that is about to be opened.
    pub(super) fn tapped(&self, route: &Route, source: &Source) -> (Tap, Option<Ear>) {
        let mut tap = Tap::default();
        tap.look(&self.watches, || about(route, source));
        let ear = tap.watched().map(ear);
        (tap, ear)
    }

    /// Looks whether others watch than when it was opened.
    pub(super) fn tap_again(
        &self,
        tap: &mut Tap,
        connection: &mut Connection,
        (route, source): (&Route, &Source),
    ) {
        let (host, peer) = (Some(connection.host.clone()), Some(connection.address));
        if tap.look(&self.watches, || About { peer, host, ..about(route, source) }) {
            connection.listen(tap.watched().map(ear));
        }
    }
}

fn about(route: &Route, source: &Source) -> About {
    About {
        direction: Direction::Out,
        peer: None,
        host: None,
        site: Some(Arc::clone(&route.site)),
        provider: route.provider.clone(),
        source: Some(Arc::clone(&source.name)),
        listener: None,
    }
}

fn ear(watched: &Arc<Watched>) -> Ear {
    let watched = Arc::clone(watched);
    Ear::new(move |said| hear(&watched, said))
}

fn hear(watched: &Watched, said: &Said<'_>) {
    match said {
        Said::Host(name, _) => watched.host(name),
        Said::Connecting(address) => watched.at(address.ip()),
        _ => {}
    }
    match said {
        Said::Line(line) => watched.say(Kind::Sent, *line),
        Said::Reply(reply) => watched.say(Kind::Heard, reply.to_string()),
        done => watched.say(Kind::Done, done.done().unwrap_or_default()),
    }
}
