//! The life of each connection in the simulation: opened, pulled over, reported, closed, as dispatch does.

use std::sync::Arc;
use std::time::Duration;

use mta::egress::{Action, ConnectionId, Pull};
use relay_config::responses::{Action as Advice, Mail, Verdict};

use crate::books::{blames_recipient_alone, check_carried, check_failed};
use crate::letters::Why;
use crate::link::{Link, Told, transact};
use crate::providers::{Answer, Moment};
use crate::reader::not_up;
use crate::relay::{PROVIDERS, number_of, seen};
use crate::simulation::{Event, SYNC, Simulation};
use crate::traffic::Letter;
use crate::waiting::Waiting;

/// Time that QUIT takes.
const GOODBYE: Duration = Duration::from_millis(40);

/// What replies mean for a message: who waits, until when at least, and whether it goes again from its source.
#[derive(Debug, Default)]
struct Meant {
    waits: u8,
    not_before: Option<Duration>,
    same_source: bool,
    other_source: bool,
}

impl Simulation {
    pub(crate) fn balance(&mut self, site: &Arc<str>) {
        for action in self.relay.balance(site, self.now) {
            match action {
                Action::Wake(id) => self.work(id),
                Action::Open { connection, site, source, .. } => {
                    let place = self.places[&site];
                    let from = seen(source.public);
                    self.books.open(place, from, &self.relay.limits(place), self.now);
                    let (session, said) = self.internet.connect(place, from, self.now);
                    let name = Arc::clone(&source.name);
                    let link = Link::new(place, name, from, session, said.answer);
                    self.links.insert(connection, link);
                    self.at(self.now.after(said.after), Event::Banner(self.life, connection));
                }
            }
        }
        self.sleep(site);
    }

    pub(crate) fn banner(&mut self, id: ConnectionId) {
        let Some(link) = self.links.get(&id) else { return };
        let (place, source, answer) = (link.place, Arc::clone(&link.source), link.greeting);
        if answer == Answer::Yes {
            self.relay.opened(id, self.now);
            self.work(id);
            return;
        }
        // Whoever is refused, or reaches nobody, has no connection any more.
        self.unlink(id);
        let reply = if let Answer::No(reply) = answer { Some(reply) } else { None };
        if let Some(reply) = reply {
            let verdict = self.reader.read(&reply, Moment::Banner, PROVIDERS.get(place).copied());
            let said = [(verdict, 1, reply.line())];
            self.relay.heard((place, &source, 0), None, 0, &said, self.now);
        }
        let failed = self.relay.failed_to_open(id, &not_up(reply.as_ref()), self.now);
        let site = Arc::clone(&self.sites[place]);
        self.balance(&site);
        for number in failed {
            let Some(letter) = self.letters.get(number).copied() else { continue };
            let told = match reply {
                Some(reply) => Told::all_refused(&letter, reply, Moment::Banner),
                None => Told::all_gone(&letter),
            };
            self.conclude(place, &source, number, letter.waiting, &told);
        }
        self.closed(id);
    }

    /// A connection pulls until there is nothing more to do now.
    pub(crate) fn work(&mut self, id: ConnectionId) {
        loop {
            let pulled = self.relay.pull(id, self.now);
            let Some(link) = self.links.get_mut(&id) else { return };
            link.generation += 1;
            let generation = link.generation;
            let idle = self.relay.idle_timeout();
            match pulled {
                Pull::Deliver { item, recipients, .. } => {
                    if self.begin(id, item, recipients) {
                        return;
                    }
                }
                Pull::Save => {
                    let write = self.relay.write(self.now).expect("there is something to save");
                    let written = Event::Written(self.life, write, Some(id));
                    return self.at(self.now.after(SYNC), written);
                }
                Pull::Wait(until) if until.since(self.now) <= idle => {
                    return self.at(until, Event::Look(self.life, id, generation));
                }
                Pull::Idle if !std::mem::replace(&mut link.idle, true) => {
                    let until = self.now.after(idle);
                    return self.at(until, Event::Look(self.life, id, generation));
                }
                Pull::Idle | Pull::Wait(_) | Pull::Close => return self.goodbye(id),
            }
        }
    }

    /// One message over the connection, to so many of its recipients; false: it was too old.
    fn begin(&mut self, id: ConnectionId, waiting: Waiting, recipients: u32) -> bool {
        let number = waiting.number;
        let Some(letter) = self.letters.get(number).copied() else { return false };
        if self.now >= letter.accepted.after(self.relay.config().delivery.expire_after) {
            self.figures.expired(letter.count(), self.now);
            self.letters.end(number);
            return false;
        }
        let Some(link) = self.links.get_mut(&id) else { return false };
        link.carried += 1;
        link.idle = false;
        let limits = self.relay.limits(link.place);
        check_carried(link.carried, &limits);
        let Some(session) = link.session else { return false };
        let offered = Letter { waiting: first(letter.waiting, recipients), ..letter };
        link.offered = offered.waiting;
        let (place, from) = (link.place, link.from);
        self.books.carry(place, from, offered.waiting.count_ones(), &limits, self.now);
        let (told, after) = transact(&mut self.internet, session, &offered, self.now);
        if let Some(link) = self.links.get_mut(&id) {
            link.carries = Some((number, told));
        }
        self.letters.is_in_flight(number);
        self.at(self.now.after(after), Event::Answer(self.life, id));
        true
    }

    pub(crate) fn answer(&mut self, id: ConnectionId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some((number, told)) = link.carries.take() else { return };
        let (open, left) = (told.open, link.carried > 1);
        let (place, source, from) = (link.place, Arc::clone(&link.source), link.from);
        let (offered, carried) = (link.offered, link.carried);
        let again = !open && left && told.untouched();
        self.books.accepted(place, from, told.taken.count_ones(), self.now);
        let Some(letter) = self.letters.get(number).copied() else { return };
        self.hear((place, &source, carried), &letter, &told);
        match self.letters.get_mut(number).filter(|letter| again && !letter.given_back) {
            Some(letter) => {
                // The server had left an old connection: at once over a new one.
                letter.given_back = true;
                let letter = *letter;
                self.letters.is_ready(number);
                self.relay.push_back(place, number, &letter, self.now);
            }
            None => self.conclude(place, &source, number, offered, &told),
        }
        if open {
            self.work(id);
        } else {
            self.relay.closing(id);
            let site = Arc::clone(&self.sites[place]);
            self.balance(&site);
            self.closed(id);
        }
    }

    /// The relay hears what was said, once for each message.
    fn hear(&mut self, through: (usize, &Arc<str>, u32), letter: &Letter, told: &Told) {
        let (place, source, _) = through;
        let mut said: Vec<(Arc<Verdict>, u32, String)> = Vec::new();
        for (mask, reply, moment) in &told.refused {
            let verdict = self.reader.read(reply, *moment, PROVIDERS.get(place).copied());
            match said.iter_mut().find(|(known, ..)| known.rule == verdict.rule) {
                Some(known) => known.1 += mask.count_ones(),
                None => said.push((verdict, mask.count_ones(), reply.line())),
            }
        }
        let alone = told.taken == 0
            && !said.is_empty()
            && said.iter().all(|(verdict, ..)| blames_recipient_alone(verdict));
        let before = alone.then(|| self.relay.standing(place, source, self.now));
        let taken = told.taken.count_ones();
        let stopped = self.relay.heard(through, Some(letter), taken, &said, self.now);
        if let Some(before) = before {
            let after = self.relay.standing(place, source, self.now);
            assert_eq!(before, after, "a recipient was blamed, and {source} pays: {said:?}");
        }
        for (number, waits) in stopped {
            self.postpone(number, waits.until, Why::Ours(waits.why));
        }
        self.check_decisions();
    }

    fn means(&mut self, place: usize, told: &Told) -> Meant {
        let mut meant = Meant { waits: told.gone, ..Meant::default() };
        for (mask, reply, moment) in &told.refused {
            let verdict = self.reader.read(reply, *moment, PROVIDERS.get(place).copied());
            let after = match verdict.mail {
                Mail::Fail => {
                    check_failed(reply, &verdict);
                    continue;
                }
                Mail::Wait | Mail::AtOnce | Mail::Retry(None) => None,
                Mail::Retry(after) => after,
            };
            meant.waits |= mask;
            meant.not_before = meant.not_before.max(after);
            meant.same_source |= verdict.actions.contains(&Advice::SameSource);
            meant.other_source |= verdict.actions.contains(&Advice::OtherSource);
        }
        meant
    }

    /// An attempt has ended.
    fn conclude(&mut self, place: usize, source: &str, number: u32, offered: u8, told: &Told) {
        let Some(letter) = self.letters.get(number).copied() else { return };
        let meant = self.means(place, told);
        let count = |mask: u8| mask.count_ones() as usize;
        let (taken, waits) = (count(told.taken), count(meant.waits));
        self.figures.sent(letter.place, taken, self.now.since(letter.accepted), self.now);
        self.figures.deferred(waits, self.now);
        self.figures.failed(count(offered) - taken - waits, self.now);
        let not_begun = letter.waiting & !offered;
        if meant.waits | not_begun == 0 {
            return self.letters.end(number);
        }
        if let Some(letter) = self.letters.get_mut(number) {
            letter.waiting = meant.waits | not_begun;
            letter.given_back = false;
            if meant.waits != 0 {
                letter.last_source = Some(number_of(source));
                letter.same_source = meant.same_source;
                letter.other_source = meant.other_source;
            }
        }
        if meant.waits != 0 {
            return self.later(number, meant.not_before, Why::Retries);
        }
        // Those that were not begun go on at once.
        self.letters.is_due(number, Why::Retries);
        self.due_at(self.now, number);
    }

    fn goodbye(&mut self, id: ConnectionId) {
        self.relay.closing(id);
        let Some(link) = self.links.get(&id) else { return };
        let site = Arc::clone(&self.sites[link.place]);
        self.at(self.now.after(GOODBYE), Event::Closed(self.life, id));
        self.balance(&site);
    }

    fn unlink(&mut self, id: ConnectionId) {
        if let Some(link) = self.links.remove(&id) {
            self.books.close(link.place, link.from);
            link.session.into_iter().for_each(|session| self.internet.quit(session));
        }
    }

    pub(crate) fn closed(&mut self, id: ConnectionId) {
        self.unlink(id);
        let own = self.relay.closed(id, self.now);
        while let Some(site) = self.relay.next_with_room() {
            self.balance(&site);
        }
        if let Some(site) = own {
            self.balance(&site);
        }
    }
}

/// The first so many bits of a mask.
fn first(mask: u8, count: u32) -> u8 {
    let places = (0..8_u8).filter(|place| mask & (1 << place) != 0);
    places.take(count as usize).fold(0, |first, place| first | 1 << place)
}
