//! A mail server that does as it is told and writes down everything it takes.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::BytesMut;
use mta::outside::real::SystemNet;
use mta::outside::{BoxStream, Net};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::certificate::Certificate;

/// How a server behaves.
#[derive(Clone, Default)]
pub struct Behaviour {
    /// Offers STARTTLS.
    pub tls: Option<TlsAcceptor>,
    /// Breaks off so many TLS handshakes.
    pub broken_tls: u32,
    /// Waits before each reply.
    pub delay: Duration,
    /// Says 450 to the first attempt of each (source, sender, recipient).
    pub greylist: bool,
    /// Says 550 to recipients whose local part starts like this.
    pub refuse: Option<String>,
    /// Says this to MAIL.
    pub mail_reply: Option<String>,
    /// Says this to MAIL of these addresses.
    pub blocked: Vec<(IpAddr, &'static str)>,
    /// Says this instead of 220 at once.
    pub greeting: Option<String>,
    /// Does not offer PIPELINING.
    pub no_pipelining: bool,
    /// Closes after the final dot without a reply, so many times.
    pub vanish_after_dot: u32,
    /// Breaks the connection in RCPT, each so many times.
    pub reset_every: Option<u64>,
    /// Takes connections and never says a word.
    pub silent: bool,
    /// Says 421 and closes after so many messages of a connection.
    pub close_after: Option<u32>,
    /// Says 452 to recipients of a transaction beyond so many.
    pub recipients_max: Option<usize>,
    /// Says 451 to MAIL after so many messages of a connection, and stays.
    pub messages_max: Option<u32>,
    /// Says 530 to MAIL in clear.
    pub tls_required: bool,
    /// Offered beside the rest; CHUNKING, DSN and SMTPUTF8 are honoured where they are.
    pub offers: Vec<&'static str>,
    /// Does not offer 8BITMIME.
    pub seven_bit: bool,
}

/// A message that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Address that it came from.
    pub from: IpAddr,
    /// Name in EHLO.
    pub helo: String,
    /// MAIL FROM.
    pub sender: String,
    /// RCPT TO.
    pub recipients: Vec<String>,
    /// What followed the address in MAIL, then in each RCPT.
    pub parameters: Vec<String>,
    /// It came by BDAT.
    pub chunked: bool,
    /// Octets, dots unstuffed.
    pub data: Vec<u8>,
    /// It came over TLS.
    pub tls: bool,
}

/// What a server has written down; outlives it.
#[derive(Clone, Default)]
pub struct Books(Arc<Mutex<Records>>);

impl Books {
    /// The sessions of a world that is no more are closed.
    pub fn forget_open(&self) {
        let mut records = lock(&self.0);
        records.open = 0;
        records.by_source.clear();
    }
}

#[derive(Default)]
struct Records {
    taken: Vec<Taken>,
    greylisted: HashMap<(IpAddr, String, String), u32>,
    /// MAIL seen, by source.
    mails: HashMap<IpAddr, u32>,
    vanished: u32,
    handshakes: u32,
    deferred: u64,
    refused: u64,
    /// RCPT seen.
    asked: u64,
    open: usize,
    by_source: HashMap<IpAddr, usize>,
    by_source_max: usize,
    open_max: usize,
    connections: usize,
    transactions_max: u32,
}

/// A server that runs until it is dropped.
pub struct MxHost {
    /// Where it listens.
    pub address: SocketAddr,
    records: Arc<Mutex<Records>>,
    _tasks: JoinSet<()>,
}

impl MxHost {
    /// Listens there.
    pub fn start(address: SocketAddr, behaviour: Behaviour) -> Self {
        Self::start_on(&SystemNet, address, behaviour, Books::default())
    }

    /// Listens on another network, with the books of a server before it.
    pub fn start_on(
        net: &dyn Net,
        address: SocketAddr,
        behaviour: Behaviour,
        books: Books,
    ) -> Self {
        let listener = net.listen(address).unwrap();
        let address = listener.local_address().unwrap();
        let records = books.0;
        let shared = Arc::clone(&records);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut sessions = JoinSet::new();
            loop {
                let Ok((stream, from)) = listener.accept().await else { continue };
                let (behaviour, records) = (behaviour.clone(), Arc::clone(&shared));
                sessions.spawn(async move {
                    {
                        let mut books = lock(&records);
                        books.connections += 1;
                        books.open += 1;
                        books.open_max = books.open_max.max(books.open);
                        let open = books.by_source.entry(from.ip()).or_default();
                        *open += 1;
                        let open = *open;
                        books.by_source_max = books.by_source_max.max(open);
                    }
                    let mut session = Session::new(from.ip(), behaviour, Arc::clone(&records));
                    session.run(stream).await;
                    let mut books = lock(&records);
                    books.open -= 1;
                    *books.by_source.entry(from.ip()).or_default() -= 1;
                });
                while sessions.try_join_next().is_some() {}
            }
        });
        Self { address, records, _tasks: tasks }
    }

    /// What was taken so far.
    pub fn taken(&self) -> Vec<Taken> {
        lock(&self.records).taken.clone()
    }

    /// How many messages were taken.
    pub fn count(&self) -> usize {
        lock(&self.records).taken.len()
    }

    /// Replies of class 4 and 5 to RCPT.
    pub fn refusals(&self) -> (u64, u64) {
        let records = lock(&self.records);
        (records.deferred, records.refused)
    }

    /// MAIL commands seen, by the address they came from.
    pub fn mails(&self) -> HashMap<IpAddr, u32> {
        lock(&self.records).mails.clone()
    }

    /// Most connections of one source at a time.
    pub fn by_source_max(&self) -> usize {
        lock(&self.records).by_source_max
    }

    /// Most messages taken over one connection.
    pub fn transactions_max(&self) -> u32 {
        lock(&self.records).transactions_max
    }

    /// Connections altogether, and most at a time.
    pub fn connections(&self) -> (usize, usize) {
        let records = lock(&self.records);
        (records.connections, records.open_max)
    }
}

fn lock(records: &Mutex<Records>) -> MutexGuard<'_, Records> {
    records.lock().unwrap()
}

struct Session {
    from: IpAddr,
    behaviour: Behaviour,
    records: Arc<Mutex<Records>>,
    input: BytesMut,
    helo: String,
    sender: Option<String>,
    recipients: Vec<String>,
    parameters: Vec<String>,
    tls: bool,
    taken: u32,
}

enum Next {
    Reply(String),
    Data,
    Chunk(usize),
    StartTls,
    Quit(String),
    Vanish,
}

impl Session {
    fn new(from: IpAddr, behaviour: Behaviour, records: Arc<Mutex<Records>>) -> Self {
        Self {
            from,
            behaviour,
            records,
            input: BytesMut::new(),
            helo: String::new(),
            sender: None,
            recipients: Vec::new(),
            parameters: Vec::new(),
            tls: false,
            taken: 0,
        }
    }

    async fn run(&mut self, mut stream: BoxStream) {
        if self.behaviour.silent {
            // Until the other side has had enough.
            while matches!(stream.read_buf(&mut self.input).await, Ok(1..)) {}
            return;
        }
        let greeting = self.behaviour.greeting.clone();
        let refused = greeting.as_ref().is_some_and(|greeting| !greeting.starts_with('2'));
        self.say(&mut stream, &greeting.unwrap_or_else(|| "220 mx ready".to_owned())).await;
        if refused {
            return;
        }
        let mut replies = String::new();
        loop {
            let Some(line) = self.line(&mut stream, &mut replies).await else { return };
            match self.command(&line) {
                Next::Reply(reply) if self.behaviour.delay.is_zero() => {
                    replies.push_str(&reply);
                    replies.push_str("\r\n");
                }
                Next::Reply(reply) => self.say(&mut stream, &reply).await,
                Next::Data => {
                    replies.push_str("354 go\r\n");
                    let Some(data) = self.data(&mut stream, &mut replies).await else { return };
                    match self.take(data, false) {
                        Next::Reply(reply) => self.say(&mut stream, &reply).await,
                        _ => return,
                    }
                }
                Next::Chunk(size) => {
                    while self.input.len() < size {
                        if self.fill(&mut stream, &mut replies).await.is_none() {
                            return;
                        }
                    }
                    let data = self.input.split_to(size).to_vec();
                    let next = if self.recipients.is_empty() {
                        Next::Reply("503 5.5.1 nobody to take it for".to_owned())
                    } else {
                        self.take(data, true)
                    };
                    match next {
                        Next::Reply(reply) => {
                            replies.push_str(&reply);
                            replies.push_str("\r\n");
                        }
                        _ => return,
                    }
                }
                Next::StartTls => {
                    self.say(&mut stream, "220 go").await;
                    let Some(acceptor) = self.behaviour.tls.clone() else { return };
                    if self.breaks_tls() {
                        return;
                    }
                    let Ok(encrypted) = acceptor.accept(stream).await else { return };
                    stream = Box::new(encrypted);
                    self.tls = true;
                    self.input.clear();
                }
                Next::Quit(reply) => return self.say(&mut stream, &reply).await,
                Next::Vanish => return,
            }
        }
    }

    fn breaks_tls(&self) -> bool {
        let mut records = lock(&self.records);
        records.handshakes += 1;
        records.handshakes <= self.behaviour.broken_tls
    }

    fn command(&mut self, line: &str) -> Next {
        let upper = line.to_ascii_uppercase();
        let path = || {
            let inside = line.split_once('<').and_then(|(_, rest)| rest.rsplit_once('>'));
            inside.map_or("", |(path, _)| path).to_owned()
        };
        let parameters = || line.rsplit_once('>').map_or("", |(_, rest)| rest.trim()).to_owned();
        if upper.starts_with("EHLO") || upper.starts_with("HELO") {
            line.get(5..).unwrap_or("").clone_into(&mut self.helo);
            return Next::Reply(self.ehlo());
        }
        if upper.starts_with("STARTTLS") && self.behaviour.tls.is_some() {
            return Next::StartTls;
        }
        if upper.starts_with("MAIL FROM") {
            if let Some(limit) = self.behaviour.close_after
                && self.taken >= limit
            {
                return Next::Quit("421 4.3.2 enough for this connection".to_owned());
            }
            *lock(&self.records).mails.entry(self.from).or_default() += 1;
            let blocked = self.behaviour.blocked.iter().find(|(from, _)| *from == self.from);
            if let Some((_, reply)) = blocked {
                return Next::Reply((*reply).to_owned());
            }
            if let Some(reply) = &self.behaviour.mail_reply {
                return Next::Reply(reply.clone());
            }
            if self.behaviour.tls_required && !self.tls {
                return Next::Reply("530 5.7.0 Must issue a STARTTLS command first".to_owned());
            }
            if self.behaviour.messages_max.is_some_and(|most| self.taken >= most) {
                return Next::Reply("451 4.7.0 Max message per connection reached".to_owned());
            }
            if self.sender.is_some() {
                return Next::Reply("503 5.5.1 nested MAIL".to_owned());
            }
            self.sender = Some(path());
            self.recipients.clear();
            self.parameters = vec![parameters()];
            return Next::Reply("250 2.1.0 ok".to_owned());
        }
        if upper.starts_with("RCPT TO") {
            let mut records = lock(&self.records);
            records.asked += 1;
            if self.behaviour.reset_every.is_some_and(|every| records.asked.is_multiple_of(every)) {
                return Next::Vanish;
            }
            drop(records);
            return Next::Reply(self.rcpt(path(), parameters()));
        }
        if let Some(size) = upper.strip_prefix("BDAT ").and_then(|it| it.strip_suffix(" LAST")) {
            assert!(self.behaviour.offers.contains(&"CHUNKING"), "BDAT was not offered");
            return Next::Chunk(size.parse().unwrap());
        }
        match upper.as_str() {
            "DATA" if self.recipients.is_empty() => {
                Next::Reply("554 5.5.1 no recipients".to_owned())
            }
            "DATA" => Next::Data,
            "RSET" => {
                self.sender = None;
                Next::Reply("250 2.0.0 ok".to_owned())
            }
            "QUIT" => Next::Quit("221 2.0.0 bye".to_owned()),
            _ => Next::Reply("250 2.0.0 ok".to_owned()),
        }
    }

    fn ehlo(&self) -> String {
        let mut lines = vec!["mx", "ENHANCEDSTATUSCODES"];
        if !self.behaviour.seven_bit {
            lines.push("8BITMIME");
        }
        lines.extend(&self.behaviour.offers);
        if !self.behaviour.no_pipelining {
            lines.push("PIPELINING");
        }
        if self.behaviour.tls.is_some() && !self.tls {
            lines.push("STARTTLS");
        }
        lines.push("SIZE 50000000");
        let last = lines.len() - 1;
        let lines = lines.iter().enumerate();
        let lines =
            lines.map(|(n, line)| format!("250{}{line}", if n == last { ' ' } else { '-' }));
        lines.collect::<Vec<_>>().join("\r\n")
    }

    fn rcpt(&mut self, recipient: String, parameters: String) -> String {
        let Some(sender) = self.sender.clone() else { return "503 5.5.1 MAIL first".to_owned() };
        let mut records = lock(&self.records);
        if self.behaviour.refuse.as_ref().is_some_and(|prefix| recipient.starts_with(prefix)) {
            records.refused += 1;
            return "550 5.1.1 no such user here".to_owned();
        }
        if self.behaviour.recipients_max.is_some_and(|most| self.recipients.len() >= most) {
            records.deferred += 1;
            return "452 4.5.3 Too many recipients".to_owned();
        }
        if self.behaviour.greylist {
            let triplet = (self.from, sender, recipient.clone());
            let tries = records.greylisted.entry(triplet).or_default();
            *tries += 1;
            if *tries == 1 {
                records.deferred += 1;
                return "450 4.2.0 greylisted, come back later".to_owned();
            }
        }
        self.recipients.push(recipient);
        self.parameters.push(parameters);
        "250 2.1.5 ok".to_owned()
    }

    fn take(&mut self, data: Vec<u8>, chunked: bool) -> Next {
        let mut records = lock(&self.records);
        let sender = self.sender.take().unwrap_or_default();
        let recipients = std::mem::take(&mut self.recipients);
        let parameters = std::mem::take(&mut self.parameters);
        let (from, helo, tls) = (self.from, self.helo.clone(), self.tls);
        let taken = Taken { from, helo, sender, recipients, parameters, chunked, data, tls };
        records.taken.push(taken);
        if records.vanished < self.behaviour.vanish_after_dot {
            records.vanished += 1;
            return Next::Vanish;
        }
        self.taken += 1;
        records.transactions_max = records.transactions_max.max(self.taken);
        Next::Reply(format!("250 2.0.0 taken as {}", records.taken.len()))
    }

    async fn say(&self, stream: &mut BoxStream, reply: &str) {
        if !self.behaviour.delay.is_zero() {
            tokio::time::sleep(self.behaviour.delay).await;
        }
        let _ = stream.write_all(format!("{reply}\r\n").as_bytes()).await;
    }

    /// Sends the replies that have gathered when it would have to wait for more.
    async fn fill(&mut self, stream: &mut BoxStream, replies: &mut String) -> Option<()> {
        if !replies.is_empty() {
            stream.write_all(replies.as_bytes()).await.ok()?;
            replies.clear();
        }
        match stream.read_buf(&mut self.input).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(()),
        }
    }

    async fn line(&mut self, stream: &mut BoxStream, replies: &mut String) -> Option<String> {
        loop {
            if let Some(end) = self.input.iter().position(|b| *b == b'\n') {
                let line = self.input.split_to(end + 1);
                return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            self.fill(stream, replies).await?;
        }
    }

    async fn data(&mut self, stream: &mut BoxStream, replies: &mut String) -> Option<Vec<u8>> {
        let mut data = Vec::new();
        loop {
            while let Some(end) = self.input.iter().position(|b| *b == b'\n') {
                let line = self.input.split_to(end + 1);
                if line == b".\r\n"[..] {
                    return Some(data);
                }
                data.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
            }
            self.fill(stream, replies).await?;
        }
    }
}

/// A server's side of TLS for one name.
pub fn tls(name: &str) -> Option<TlsAcceptor> {
    Some(Certificate::new(&[name]).acceptor())
}
