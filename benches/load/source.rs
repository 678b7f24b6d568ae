//! A load of our own, where `smtp-source` cannot do it: TLS, many recipients, a set pace, and how long
//! each message waited for its `250`. Sessions are kept for many messages; commands go in one write where
//! the server takes that.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::tests::certificate::Certificate;
use ::tests::client::{Client, stuff};
use ::tests::corpus::attachment;
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::contender::HOSTNAME;
use crate::sink::Counts;

/// Who sends.
const SENDER: &str = "load@client.example";

/// What is sent.
#[derive(Clone)]
pub struct Load {
    /// How many messages.
    pub messages: usize,
    /// Over how many sessions at a time.
    pub sessions: usize,
    /// As it goes over the wire, with the final dot.
    body: Bytes,
    /// To whom: each message to the next of these, in turn.
    pub envelopes: Arc<Vec<Vec<String>>>,
    /// Speaks TLS.
    pub tls: Option<TlsConnector>,
    /// One message at each such interval, over all sessions; `None`: as fast as it goes.
    pub every: Option<Duration>,
}

impl Load {
    /// Messages of about so many octets that do not compress, to one recipient.
    pub fn new(octets: usize, messages: usize, sessions: usize) -> Self {
        let header =
            "From: <load@client.example>\r\nTo: <sink@sink.example>\r\nSubject: load\r\n\r\n";
        let text = format!("{header}{}", attachment(octets.saturating_sub(header.len())));
        let body = Bytes::from(stuff(text.as_bytes()));
        let envelopes = Arc::new(vec![vec!["sink@sink.example".to_owned()]]);
        Self { messages, sessions, body, envelopes, tls: None, every: None }
    }

    /// To these in turn.
    pub fn to(mut self, envelopes: Vec<Vec<String>>) -> Self {
        self.envelopes = Arc::new(envelopes);
        self
    }

    /// Over TLS, to who shows this certificate.
    pub fn with_tls(mut self, certificate: &Certificate) -> Self {
        self.tls = Some(certificate.connector());
        self
    }

    /// At so many messages a second.
    pub fn at_rate(mut self, a_second: f64) -> Self {
        self.every = Some(Duration::from_secs_f64(1.0 / a_second));
        self
    }

    /// Messages that arrive, each counted for each of its recipients.
    pub fn deliveries(&self) -> u64 {
        (0..self.messages).map(|number| self.envelope(number).len() as u64).sum()
    }

    /// Every recipient got what was sent to it, no more and no less.
    pub fn check(&self, counts: &Counts) {
        let rounds = self.messages / self.envelopes.len();
        let rest = self.messages % self.envelopes.len();
        for (place, envelope) in self.envelopes.iter().enumerate() {
            let sent = rounds + usize::from(place < rest);
            for recipient in envelope {
                let got = counts.of(recipient);
                assert_eq!(got, sent as u64, "messages that {recipient} got, and was sent");
            }
        }
    }

    /// Sends it; all of it is acknowledged when this returns. Seconds from the final dot to the `250`, of each.
    pub async fn send(&self, to: SocketAddr) -> Vec<f64> {
        let next = Arc::new(AtomicUsize::new(0));
        let begun = Instant::now();
        let mut sessions = JoinSet::new();
        for _ in 0..self.sessions.min(self.messages) {
            let (load, next) = (self.clone(), Arc::clone(&next));
            sessions.spawn(async move { load.session(to, &next, begun).await });
        }
        let mut waits = Vec::with_capacity(self.messages);
        while let Some(done) = sessions.join_next().await {
            waits.extend(
                done.unwrap().unwrap_or_else(|error| panic!("the load is refused: {error}")),
            );
        }
        waits
    }

    fn envelope(&self, number: usize) -> &[String] {
        &self.envelopes[number % self.envelopes.len()]
    }

    /// One session, which takes the next message as long as there is one.
    async fn session(
        &self,
        to: SocketAddr,
        next: &AtomicUsize,
        begun: Instant,
    ) -> Result<Vec<f64>, String> {
        let mut waits = Vec::new();
        let mut client = Client::connect(to).await?;
        let offers = client.command("EHLO client.example", 250).await?;
        let pipelining = offers.to_ascii_uppercase().contains("PIPELINING");
        if let Some(connector) = &self.tls {
            client.start_tls(connector, HOSTNAME).await?;
        }
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= self.messages {
                break;
            }
            if let Some(every) = self.every {
                let turn = every.mul_f64(number as f64);
                tokio::time::sleep_until(begun + turn).await;
            }
            waits.push(self.message(&mut client, self.envelope(number), pipelining).await?);
        }
        client.quit().await?;
        Ok(waits)
    }

    /// One message; seconds from its final dot to the reply.
    async fn message(
        &self,
        client: &mut Client,
        recipients: &[String],
        pipelining: bool,
    ) -> Result<f64, String> {
        let commands = std::iter::once(format!("MAIL FROM:<{SENDER}>\r\n"))
            .chain(recipients.iter().map(|recipient| format!("RCPT TO:<{recipient}>\r\n")));
        if pipelining {
            let group: String = commands.chain(["DATA\r\n".to_owned()]).collect();
            client.send(group.as_bytes()).await?;
            for _ in 0..=recipients.len() {
                expect(client, "250").await?;
            }
        } else {
            for command in commands {
                client.send(command.as_bytes()).await?;
                expect(client, "250").await?;
            }
            client.send(b"DATA\r\n").await?;
        }
        expect(client, "354").await?;
        client.send(&self.body).await?;
        let ended = Instant::now();
        expect(client, "250").await?;
        Ok(ended.elapsed().as_secs_f64())
    }
}

async fn expect(client: &mut Client, code: &str) -> Result<(), String> {
    let reply = client.reply().await?;
    if reply.starts_with(code) { Ok(()) } else { Err(reply) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_to_each_envelope_in_turn() {
        let envelope = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let load = Load::new(2048, 5, 2).to(vec![envelope(&["a@x", "b@x"]), envelope(&["c@x"])]);
        assert_eq!(load.envelope(0), ["a@x", "b@x"]);
        assert_eq!(load.envelope(3), ["c@x"]);
        assert_eq!(load.deliveries(), 3 * 2 + 2);
    }
}
