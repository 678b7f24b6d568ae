//! Clients that hand their mail to the relay, in every way that SMTP allows, and leave at any octet. What was not
//! answered 250 is sent again, as another message.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tests::client::Client;

use super::disk::Disk;
use super::net::SimNet;
use super::plan::{CALM_AFTER, LISTENER, random};
use super::world::World;

/// Clients at a time.
pub const CLIENTS: usize = 5;

/// What is still to be sent: when, and how often it was tried.
#[derive(Default)]
pub struct Outbox(Mutex<BTreeMap<usize, Waiting>>);

#[derive(Debug, Clone, Copy)]
struct Waiting {
    at: Duration,
    tries: u32,
    in_hand: bool,
}

impl Outbox {
    /// All of it.
    pub fn new(world: &World) -> Self {
        let waiting = |(number, submission): (usize, &super::plan::Submission)| {
            (number, Waiting { at: submission.at, tries: 0, in_hand: false })
        };
        Self(Mutex::new(world.plan.submissions.iter().enumerate().map(waiting).collect()))
    }

    /// Whether everything was taken.
    pub fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }

    /// The sessions of before are gone: what was in their hands is sent again.
    pub fn put_back(&self, now: Duration) {
        for waiting in self.0.lock().unwrap().values_mut().filter(|it| it.in_hand) {
            waiting.in_hand = false;
            waiting.at = now + Duration::from_secs(20);
        }
    }

    fn take(&self, now: Duration) -> Option<(usize, u32)> {
        let mut outbox = self.0.lock().unwrap();
        let due = outbox.iter_mut().filter(|(_, it)| !it.in_hand && it.at <= now);
        let (number, waiting) = due.min_by_key(|(number, it)| (it.at, **number))?;
        waiting.in_hand = true;
        waiting.tries += 1;
        Some((*number, waiting.tries))
    }

    fn ended(&self, number: usize, taken: bool, again: Duration) {
        let mut outbox = self.0.lock().unwrap();
        if taken {
            outbox.remove(&number);
        } else if let Some(waiting) = outbox.get_mut(&number) {
            waiting.in_hand = false;
            waiting.at = again;
        }
    }
}

/// The text of a message.
pub fn text(number: usize, octets: usize) -> String {
    let line = format!("This is line of message {number}.\r\n.It begins with a dot.\r\n");
    let mut text = line.repeat(octets / line.len() + 1);
    text.push_str("The end.\r\n");
    text
}

/// The sender of a message: each try is another message.
pub fn sender(number: usize, tries: u32) -> String {
    format!("s{number}t{tries}@{}", super::plan::HOME)
}

/// Sends what there is to send until the relay is no more.
pub async fn run(
    world: Arc<World>,
    net: SimNet,
    disk: Arc<Disk>,
    outbox: Arc<Outbox>,
    number: usize,
) {
    let from = IpAddr::from([10, 0, 1, u8::try_from(number).unwrap()]);
    loop {
        let Some((message, tries)) = outbox.take(world.now()) else {
            tokio::time::sleep(Duration::from_secs(3)).await;
            continue;
        };
        let mut random = random(world.plan.seed, ("client", message, tries));
        let sending = Sending { world: &world, message, tries, random: &mut random };
        let taken = sending.send(&net, &disk, from).await;
        if world.is_dark() {
            // Nobody has heard what came of it.
            return std::future::pending().await;
        }
        let again = world.now() + Duration::from_secs(random.random_range(5..90));
        world.note(format_args!("client {number}: message {message}, try {tries}: {taken:?}"));
        outbox.ended(message, taken.is_ok(), again);
    }
}

struct Sending<'a> {
    world: &'a Arc<World>,
    message: usize,
    tries: u32,
    random: &'a mut StdRng,
}

impl Sending<'_> {
    async fn send(self, net: &SimNet, disk: &Disk, from: IpAddr) -> Result<String, String> {
        let submission = &self.world.plan.submissions[self.message];
        let data = format!(
            "From: <a@{}>\r\nSubject: {}\r\n\r\n{}",
            super::plan::HOME,
            self.message,
            text(self.message, submission.octets)
        );
        let calm = self.world.now() >= CALM_AFTER;
        let most = 2_000 + u64::try_from(data.len()).unwrap();
        let leaves =
            (!calm && self.random.random_bool(0.25)).then(|| self.random.random_range(0..most));
        let piece = *[1, 7, 500, usize::MAX, usize::MAX].choose(self.random).unwrap();
        let (number, tries) = (self.message, self.tries);
        let sender = sender(number, tries);
        if leaves.is_some() {
            self.world.fault("client leaves");
        }
        let stream = net.dial(from, LISTENER.parse().unwrap(), piece, leaves);
        let stream = stream.map_err(|error| error.to_string())?;
        let mut client = Client::over(stream).await?;
        client.command("EHLO c.example", 250).await?;
        let to: Vec<&str> = submission.recipients.iter().map(String::as_str).collect();
        let reply = match self.random.random_range(0..3) {
            0 => client.deliver(&sender, &to, data.as_bytes()).await?,
            1 => one_by_one(&mut client, &sender, &to, data.as_bytes()).await?,
            _ => in_chunks(&mut client, &sender, &to, data.as_bytes(), self.random).await?,
        };
        if !self.world.is_dark() {
            let id = reply.rsplit(' ').next().and_then(|id| id.parse().ok()).ok_or("no id")?;
            let for_good = disk.is_accepted_for_good(id);
            let mut books = self.world.books();
            if !for_good {
                books.violated(format!("message {id} was answered 250 and is not on disk"));
            }
            books.acknowledged(id, &submission.recipients);
        }
        let _ = client.quit().await;
        Ok(reply)
    }
}

async fn envelope(client: &mut Client, sender: &str, to: &[&str]) -> Result<(), String> {
    client.command(&format!("MAIL FROM:<{sender}>"), 250).await?;
    for recipient in to {
        client.command(&format!("RCPT TO:<{recipient}>"), 250).await?;
    }
    Ok(())
}

async fn one_by_one(
    client: &mut Client,
    sender: &str,
    to: &[&str],
    data: &[u8],
) -> Result<String, String> {
    envelope(client, sender, to).await?;
    client.command("DATA", 354).await?;
    client.send(&tests::client::stuff(data)).await?;
    taken(client.reply().await?)
}

async fn in_chunks(
    client: &mut Client,
    sender: &str,
    to: &[&str],
    data: &[u8],
    random: &mut StdRng,
) -> Result<String, String> {
    envelope(client, sender, to).await?;
    let middle = random.random_range(0..=data.len());
    let (first, last) = data.split_at(middle);
    client.send(format!("BDAT {}\r\n", first.len()).as_bytes()).await?;
    client.send(first).await?;
    taken(client.reply().await?)?;
    client.send(format!("BDAT {} LAST\r\n", last.len()).as_bytes()).await?;
    client.send(last).await?;
    taken(client.reply().await?)
}

fn taken(reply: String) -> Result<String, String> {
    if reply.starts_with("250") { Ok(reply) } else { Err(reply) }
}
