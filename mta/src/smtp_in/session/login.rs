//! STARTTLS and AUTH: who speaks, and who listens in.

use bytes::BytesMut;
use relay_config::config::ListenerTls;

use crate::smtp::{AUTH_LINE_MAX, Line, take_line};

use super::super::replies::reply;
use super::super::sasl::{Exchange, Next};
use super::{Session, State, Step, Waiting};

impl Session {
    pub(super) fn start_tls(&mut self, input: &mut BytesMut) -> Option<Step> {
        if self.tls.is_some() {
            self.say(&reply(503, (5, 5, 1), "TLS is on already"));
            return None;
        }
        if !matches!(self.setup.listener.tls, ListenerTls::Starttls | ListenerTls::Required) {
            self.say(&reply(502, (5, 5, 1), "STARTTLS is not offered here"));
            return None;
        }
        if !input.is_empty() {
            // Octets that would be taken for encrypted ones: an attack, or a client beyond help.
            input.clear();
            self.say(&reply(554, (5, 5, 0), "Nothing may follow STARTTLS before its reply"));
            return Some(self.close());
        }
        self.say(&reply(220, (2, 0, 0), "Ready to start TLS"));
        self.state = State::Waiting(Waiting::Tls);
        Some(Step::StartTls)
    }

    pub(super) fn auth(&mut self, mechanism: &str, initial: Option<&str>) -> Option<Step> {
        if !self.setup.listener.auth {
            self.say(&reply(502, (5, 5, 1), "AUTH is not offered here"));
        } else if self.tls.is_none() {
            self.say(&reply(538, (5, 7, 11), "AUTH needs TLS; start with STARTTLS"));
        } else if self.helo.is_none() {
            // After HELO it was not offered (RFC 4954); devices that know no EHLO use it all the same.
            self.say(&reply(503, (5, 5, 1), "Start with EHLO"));
        } else if self.login.is_some() || self.transaction.is_some() {
            self.say(&reply(503, (5, 5, 1), "AUTH is done once, before MAIL"));
        } else if let Some(next) = Exchange::start(mechanism, initial) {
            return self.exchange(next);
        } else {
            self.say(&reply(504, (5, 5, 4), "PLAIN and LOGIN are offered"));
        }
        None
    }

    pub(super) fn exchange_line(
        &mut self,
        exchange: Exchange,
        input: &mut BytesMut,
    ) -> Option<Step> {
        match take_line(input, AUTH_LINE_MAX) {
            None => {
                self.state = State::Exchange(exchange);
                Some(Step::Read)
            }
            Some(Line::Whole(line)) => {
                self.hear_secret();
                self.exchange(exchange.response(&line))
            }
            Some(Line::Bare) => self.exchange(Next::Malformed),
            Some(Line::TooLong { ended }) => {
                self.skipping = !ended;
                self.state = State::Command;
                self.say(&reply(500, (5, 5, 6), "The response is too long"));
                None
            }
        }
    }

    pub(super) fn exchange(&mut self, next: Next) -> Option<Step> {
        self.state = State::Command;
        match next {
            Next::Ask(exchange, challenge) => {
                self.raw(&format!("334 {challenge}\r\n"));
                self.state = State::Exchange(exchange);
            }
            Next::Done(login) => {
                self.state = State::Waiting(Waiting::Password);
                return Some(Step::Verify(login));
            }
            Next::Cancelled => self.say(&reply(501, (5, 7, 0), "Authentication cancelled")),
            Next::Malformed => self.say(&reply(501, (5, 5, 2), "The response cannot be read")),
        }
        None
    }
}
