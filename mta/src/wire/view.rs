//! What one who watches sees of one connection: all, or the mail that is meant with the opening before it.

use std::net::IpAddr;
use std::sync::Arc;

use super::{About, Direction, Kind, Line, Wanted, Watcher};

/// Lines that wait to be shown: an opening, and a mail up to the recipient that is meant.
const HELD_MAX: usize = 64;

impl Wanted {
    /// As far as can be said when it begins.
    pub(super) fn may_be(&self, about: &About) -> bool {
        let is = |wanted: &Option<String>, known: &Option<Arc<str>>| {
            wanted.as_deref().is_none_or(|it| known.as_deref() == Some(it))
        };
        let site = is(&self.site, &about.site) || is(&self.site, &about.provider);
        let direction = self.direction.is_none_or(|it| it == about.direction);
        let peer = match (&self.peer, about.peer) {
            (Some(wanted), Some(address)) => {
                is_peer(wanted, about.host.as_deref().unwrap_or(""), address)
            }
            // A server's address is known when it is connected to.
            (Some(_), None) => about.direction == Direction::Out,
            (None, _) => true,
        };
        let places = is(&self.source, &about.source) && is(&self.listener, &about.listener);
        direction && site && peer && places
    }

    fn is_about_mail(&self) -> bool {
        self.domain.is_some() || self.recipient.is_some()
    }

    /// Whether a command asks for a recipient that is meant.
    fn names(&self, command: &str) -> bool {
        let Some(address) = after(command, "RCPT TO:<").and_then(|rest| rest.split('>').next())
        else {
            return false;
        };
        let domain = address.rsplit('@').next().unwrap_or("");
        self.domain.as_deref().is_none_or(|it| it.eq_ignore_ascii_case(domain))
            && self.recipient.as_deref().is_none_or(|it| it.eq_ignore_ascii_case(address))
    }
}

fn is_peer(wanted: &str, host: &str, address: IpAddr) -> bool {
    wanted.parse() == Ok(address) || wanted.eq_ignore_ascii_case(host)
}

/// What follows this, whatever its case.
fn after<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    let found = text.get(..start.len())?.eq_ignore_ascii_case(start);
    found.then(|| text.get(start.len()..)).flatten()
}

pub(super) struct View {
    watcher: Arc<Watcher>,
    /// It has one of the places of connections that are shown.
    shown: bool,
    /// It is at the address that is meant.
    at_peer: bool,
    /// The mail is meant.
    in_mail: bool,
    held: Vec<Line>,
    /// So many of them came before the first mail.
    opening: Option<usize>,
}

impl View {
    /// From here on, if there is room for another.
    pub(super) fn new(watcher: &Arc<Watcher>, begun: Line) -> Option<Self> {
        if !watcher.look_into() {
            return None;
        }
        let at_peer = watcher.wanted.peer.is_none() || begun.about.peer.is_some();
        let mut view = Self {
            watcher: Arc::clone(watcher),
            shown: false,
            at_peer,
            in_mail: !watcher.wanted.is_about_mail(),
            held: Vec::new(),
            opening: None,
        };
        view.take(&begun).then_some(view)
    }

    pub(super) fn watcher(&self) -> &Arc<Watcher> {
        &self.watcher
    }

    pub(super) fn at(&mut self, host: &str, address: IpAddr) {
        let wanted = self.watcher.wanted.peer.as_deref();
        self.at_peer = wanted.is_none_or(|wanted| is_peer(wanted, host, address));
    }

    /// Shows a line, or holds it; false: there is no room to show this connection.
    pub(super) fn take(&mut self, line: &Line) -> bool {
        if self.watcher.wanted.is_about_mail() {
            if after(&line.text, "MAIL FROM:").is_some() {
                self.in_mail = false;
                let opening = *self.opening.get_or_insert(self.held.len());
                self.held.truncate(opening);
            }
            self.in_mail |= self.watcher.wanted.names(&line.text);
        }
        if !self.at_peer || !self.in_mail {
            if self.held.len() < HELD_MAX {
                self.held.push(line.clone());
            }
            return true;
        }
        if !self.shown && !self.watcher.show() {
            return false;
        }
        self.shown = true;
        for held in self.held.drain(..) {
            self.watcher.say(held);
        }
        self.opening = self.opening.map(|_| 0);
        self.watcher.say(line.clone());
        true
    }

    pub(super) fn end(&mut self, ended: &Line) {
        debug_assert_eq!(ended.kind, Kind::Ended);
        if self.shown {
            self.watcher.say(ended.clone());
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.watcher.leave(self.shown);
    }
}
