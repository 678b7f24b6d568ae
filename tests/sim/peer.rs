//! Mail servers: each session may meet one fault, at the moment that was drawn for it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use mta::outside::BoxStream;
use tests::certificate::Certificate;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::books::RcptAnswer;
use super::faults::{After, Deed, Fault, HostPlan, Step, Tls, Verdict, verdict};
use super::net::{Call, Ends};
use super::world::World;

/// Longer than anybody waits for a reply.
const STALL: Duration = Duration::from_mins(25);

/// The session is over.
struct Over;

/// Takes calls until the world ends.
pub async fn serve(world: Arc<World>, host: usize, mut calls: UnboundedReceiver<Call>) {
    let tls = (world.plan.hosts[host].tls == Tls::Works).then(|| acceptor(&world, host));
    let mut sessions = JoinSet::new();
    while let Some(call) = calls.recv().await {
        let session = Session::new(Arc::clone(&world), host, call, tls.clone());
        sessions.spawn(session.run());
        while sessions.try_join_next().is_some() {}
    }
}

fn acceptor(world: &World, host: usize) -> TlsAcceptor {
    Certificate::new(&[&world.plan.hosts[host].name]).acceptor()
}

struct Session {
    world: Arc<World>,
    host: usize,
    source: IpAddr,
    fault: Option<Fault>,
    is_faultless: bool,
    ends: Arc<Ends>,
    tls: Option<TlsAcceptor>,
    stream: BoxStream,
    input: BytesMut,
    /// Replies that go out when it would have to wait for more.
    output: String,
    sender: Option<String>,
    recipients: Vec<String>,
    /// RCPT in this transaction.
    asked: u32,
    encrypted: bool,
    /// MAIL that was answered yes.
    transactions: u32,
}

impl Session {
    fn new(world: Arc<World>, host: usize, call: Call, tls: Option<TlsAcceptor>) -> Self {
        Self {
            world,
            host,
            source: call.source,
            fault: call.fault,
            is_faultless: call.fault.is_none(),
            ends: call.ends,
            tls,
            stream: call.stream,
            input: BytesMut::new(),
            output: String::new(),
            sender: None,
            recipients: Vec::new(),
            asked: 0,
            encrypted: false,
            transactions: 0,
        }
    }

    fn plan(&self) -> &HostPlan {
        &self.world.plan.hosts[self.host]
    }

    fn note(&self, what: &str) {
        self.world.note(format_args!("{} from {}: {what}", self.plan().name, self.source));
    }

    async fn run(mut self) {
        if matches!(self.fault, Some(Fault::Cut(_))) {
            self.world.fault("reset");
        }
        let _ = self.talk().await;
        let _ = self.flush().await;
    }

    async fn talk(&mut self) -> Result<(), Over> {
        if !self.meets(Step::Greeting).await? {
            self.say("220 mx ESMTP").await;
        }
        loop {
            let line = self.line().await?;
            self.command(&line).await?;
        }
    }

    async fn command(&mut self, line: &str) -> Result<(), Over> {
        let upper = line.to_ascii_uppercase();
        if upper.starts_with("EHLO") || upper.starts_with("HELO") {
            if !self.meets(Step::Hello).await? {
                let words = self.hello();
                self.say(&words).await;
            }
        } else if upper == "STARTTLS" {
            self.start_tls().await?;
        } else if upper.starts_with("MAIL FROM") {
            self.mail(path(line)).await?;
        } else if upper.starts_with("RCPT TO") {
            self.asked += 1;
            if !self.meets(Step::Rcpt).await? {
                let reply = self.rcpt(path(line));
                self.say(&reply).await;
            }
        } else if upper == "DATA" {
            if self.recipients.is_empty() {
                self.say("554 5.5.1 no recipients").await;
            } else if !self.meets(Step::Data).await? {
                self.say("354 go on").await;
                let data = self.data().await?;
                self.taken(data, false).await?;
            }
        } else if let Some(size) =
            upper.strip_prefix("BDAT ").and_then(|it| it.strip_suffix(" LAST"))
        {
            let data = self.chunk(size.parse().unwrap()).await?;
            self.taken(data, true).await?;
        } else if upper == "RSET" {
            self.sender = None;
            self.say("250 2.0.0 ok").await;
        } else if upper == "QUIT" {
            if !self.meets(Step::Quit).await? {
                self.say("221 2.0.0 bye").await;
            }
            return Err(Over);
        } else {
            self.world.books().violated(format!("{} was told {line:?}", self.plan().name));
            self.say("500 5.5.2 what?").await;
        }
        Ok(())
    }

    /// Whether the fault of this session happened here, and took the place of the reply.
    async fn meets(&mut self, step: Step) -> Result<bool, Over> {
        let Some(Fault::At(at, deed)) = self.fault else { return Ok(false) };
        if at != step {
            return Ok(false);
        }
        self.fault = None;
        self.note(&format!("{deed:?} at {step:?}"));
        let deed = match deed {
            Deed::TakeAnd(After::Vanish) => Deed::Vanish,
            Deed::TakeAnd(After::Stall) => Deed::Stall,
            Deed::TakeAnd(After::Garbage) => Deed::Garbage,
            other => other,
        };
        match deed {
            Deed::Goodbye => {
                self.world.fault(goodbye(step));
                self.say("421 4.3.2 Service shutting down").await;
                return Err(Over);
            }
            Deed::Later => {
                self.world.fault("451");
                self.say("451 4.3.0 Temporary failure").await;
            }
            Deed::Vanish => {
                self.world.fault("server leaves");
                return Err(Over);
            }
            Deed::Stall | Deed::TakeAnd(_) => {
                self.world.fault("stall");
                let _ = self.flush().await;
                tokio::time::sleep(STALL).await;
                return Err(Over);
            }
            Deed::Garbage => {
                self.world.fault("garbage");
                self.say("so long, and thanks").await;
            }
        }
        Ok(true)
    }

    fn hello(&self) -> String {
        let mut lines = vec!["mx", "ENHANCEDSTATUSCODES", "8BITMIME"];
        let plan = self.plan();
        if plan.pipelining {
            lines.push("PIPELINING");
        }
        if plan.chunking {
            lines.push("CHUNKING");
        }
        if plan.tls != Tls::None && !self.encrypted {
            lines.push("STARTTLS");
        }
        let last = lines.len() - 1;
        let lines = lines.iter().enumerate();
        let lines =
            lines.map(|(n, line)| format!("250{}{line}", if n == last { ' ' } else { '-' }));
        lines.collect::<Vec<_>>().join("\r\n")
    }

    async fn start_tls(&mut self) -> Result<(), Over> {
        self.say("220 go").await;
        self.flush().await?;
        let (nothing, _) = tokio::io::duplex(1);
        let mut plain = std::mem::replace(&mut self.stream, Box::new(nothing));
        match self.plan().tls {
            Tls::Works => {
                self.world.fault("TLS");
                let acceptor = self.tls.clone().ok_or(Over)?;
                self.stream = Box::new(acceptor.accept(plain).await.map_err(|_| Over)?);
                self.encrypted = true;
                self.input.clear();
                Ok(())
            }
            Tls::Garbage => {
                self.world.fault("TLS garbage");
                let _ = plain.write_all(b"454 TLS not available due to temporary reason\r\n").await;
                Err(Over)
            }
            Tls::None | Tls::Leaves => {
                self.world.fault("TLS broken off");
                Err(Over)
            }
        }
    }

    async fn mail(&mut self, sender: String) -> Result<(), Over> {
        let step = if self.transactions == 0 { Step::Mail } else { Step::MailAgain };
        if self.meets(step).await? {
            return Ok(());
        }
        if self.sender.is_some() {
            self.world.books().violated(format!("nested MAIL at {}", self.plan().name));
        }
        self.transactions += 1;
        self.world.books().transaction(&self.world, self.transactions);
        self.sender = Some(sender);
        self.recipients.clear();
        self.asked = 0;
        self.say("250 2.1.0 ok").await;
        Ok(())
    }

    fn rcpt(&mut self, recipient: String) -> String {
        let Some(sender) = self.sender.clone() else { return "503 5.5.1 MAIL first".to_owned() };
        self.note(&format!("RCPT {sender} {recipient}"));
        let plan = &self.world.plan;
        let mut books = self.world.books();
        // What was still on its way when the relay had let go is not asked by anybody any more.
        if !self.ends.is_closed() {
            books.asked(&self.world, self.plan().site, self.source, &sender, &recipient);
        }
        let told = |answer: RcptAnswer, kind: &'static str, reply: String| {
            self.world.fault(kind);
            (answer, reply)
        };
        let now = self.world.now();
        let is_ours = !recipient.ends_with(&format!("@{}", super::plan::HOME));
        let mut refusal = match verdict(plan.seed, &recipient) {
            _ if !is_ours => None,
            Verdict::Refuses => {
                Some(told(RcptAnswer::Refused, "550", "550 5.1.1 no such user here".to_owned()))
            }
            Verdict::Defers(until) if now < until => {
                Some(told(RcptAnswer::Later(None), "450", "450 4.2.1 not now".to_owned()))
            }
            Verdict::DefersFor(until, secs) if now < until => Some(told(
                RcptAnswer::Later(Some(secs)),
                "450 with a time",
                format!("450 4.2.1 not now, try again in {secs} seconds"),
            )),
            Verdict::NeverTakes => {
                Some(told(RcptAnswer::Later(None), "450 for ever", "450 4.2.1 no room".to_owned()))
            }
            _ => None,
        };
        if refusal.is_none()
            && let Some(wait) = self.plan().greylist
            && let Some(left) =
                books.greylists(self.host, self.source, &sender, &recipient, now, wait)
        {
            let secs = left.as_secs() + 1;
            refusal = Some(if self.plan().greylist_says_when {
                let reply = format!("450 4.7.1 Greylisted, try again in {secs} seconds");
                told(RcptAnswer::Later(Some(secs)), "greylisted", reply)
            } else {
                let reply = "450 4.7.1 Greylisted, come back later".to_owned();
                told(RcptAnswer::Later(None), "greylisted", reply)
            });
        }
        if refusal.is_none()
            && self.plan().recipients_max.is_some_and(|most| self.recipients.len() >= most)
        {
            let reply = "452 4.5.3 Too many recipients".to_owned();
            refusal = Some(told(RcptAnswer::TooMany, "too many recipients", reply));
        }
        // What the relay does not hear for sure binds it to nothing.
        let certain = self.is_faultless && !self.ends.is_closed();
        if let Some((answer, reply)) = refusal {
            books.answered(&self.world, &sender, &recipient, answer, certain);
            return reply;
        }
        self.recipients.push(recipient);
        "250 2.1.5 ok".to_owned()
    }

    /// A message has arrived.
    async fn taken(&mut self, data: Vec<u8>, chunked: bool) -> Result<(), Over> {
        let sender = self.sender.take().unwrap_or_default();
        let recipients = std::mem::take(&mut self.recipients);
        if recipients.is_empty() {
            self.say("503 5.5.1 nobody to take it for").await;
            return Ok(());
        }
        let deed = match self.fault {
            Some(Fault::At(Step::Final, Deed::TakeAnd(after))) => Some(after),
            Some(Fault::At(Step::Final, _)) => {
                self.meets(Step::Final).await?;
                return Ok(());
            }
            _ => None,
        };
        if chunked {
            self.world.fault("BDAT");
        }
        self.note(&format!("takes {sender} {recipients:?}"));
        // A reset may hit the reply.
        let is_cut = matches!(self.fault, Some(Fault::Cut(_))) || self.ends.is_closed();
        let certain = deed.is_none() && !is_cut;
        let copy = self.world.books().took(&self.world, &sender, &recipients, &data, certain);
        if let Some(after) = deed {
            self.fault = None;
            self.world.fault("final reply lost");
            return self.forgets_to_say(after).await;
        }
        self.say("250 2.0.0 taken").await;
        let flushed = self.flush().await;
        if let Some(copy) = copy {
            self.world.books().replied(&self.world, copy, flushed.is_ok());
        }
        flushed
    }

    async fn forgets_to_say(&mut self, after: After) -> Result<(), Over> {
        match after {
            After::Vanish => Err(Over),
            After::Stall => {
                let _ = self.flush().await;
                tokio::time::sleep(STALL).await;
                Err(Over)
            }
            After::Garbage => {
                self.say("the dog ate it").await;
                Ok(())
            }
        }
    }

    async fn say(&mut self, reply: &str) {
        if !self.plan().delay.is_zero() {
            tokio::time::sleep(self.plan().delay).await;
        }
        self.output.push_str(reply);
        self.output.push_str("\r\n");
    }

    async fn flush(&mut self) -> Result<(), Over> {
        if self.output.is_empty() {
            return Ok(());
        }
        let output = std::mem::take(&mut self.output);
        self.stream.write_all(output.as_bytes()).await.map_err(|_| Over)?;
        self.stream.flush().await.map_err(|_| Over)
    }

    /// Reads more; replies that have gathered go out before.
    async fn fill(&mut self) -> Result<(), Over> {
        self.flush().await?;
        match self.stream.read_buf(&mut self.input).await {
            Ok(0) | Err(_) => Err(Over),
            Ok(_) => Ok(()),
        }
    }

    async fn line(&mut self) -> Result<String, Over> {
        loop {
            if let Some(end) = self.input.iter().position(|octet| *octet == b'\n') {
                let line = self.input.split_to(end + 1);
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            self.fill().await?;
        }
    }

    async fn data(&mut self) -> Result<Vec<u8>, Over> {
        let mut data = Vec::new();
        loop {
            while let Some(end) = self.input.iter().position(|octet| *octet == b'\n') {
                let line = self.input.split_to(end + 1);
                if line == b".\r\n"[..] {
                    return Ok(data);
                }
                data.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
            }
            self.fill().await?;
            if self.meets(Step::Body).await? {
                return Err(Over);
            }
        }
    }

    async fn chunk(&mut self, size: usize) -> Result<Vec<u8>, Over> {
        while self.input.len() < size {
            self.fill().await?;
            if self.meets(Step::Body).await? {
                return Err(Over);
            }
        }
        Ok(self.input.split_to(size).to_vec())
    }
}

/// 421 at each step is a fault of its own.
fn goodbye(step: Step) -> &'static str {
    match step {
        Step::Greeting => "421 as greeting",
        Step::Hello => "421 to EHLO",
        Step::Mail => "421 to MAIL",
        Step::MailAgain => "421 to a later MAIL",
        Step::Rcpt => "421 to RCPT",
        Step::Data => "421 to DATA",
        Step::Body => "421 while the message arrives",
        Step::Final => "421 after the final dot",
        Step::Quit => "421 to QUIT",
    }
}

fn path(line: &str) -> String {
    let inside = line.split_once('<').and_then(|(_, rest)| rest.rsplit_once('>'));
    inside.map_or("", |(path, _)| path).to_owned()
}
