//! Limits of sessions and accounts: who runs into one is told so.

use std::fmt::Write as _;

use mta::password::hash_password;
use tests::certificate::Certificate;
use tests::client::Client;
use tests::relay::RelayProcess;

struct Limited {
    relay: RelayProcess,
    certificate: Certificate,
    _folder: tempfile::TempDir,
}

/// A relay with tight limits that delivers nowhere.
async fn limited() -> Limited {
    let folder = tempfile::tempdir().unwrap();
    let certificate = Certificate::new(&["relay.example.pe"]);
    let (chain, key) = certificate.write(folder.path());
    let mut text = format!(
        "[server]\nhostname = \"relay.example.pe\"\ndata_dir = \"{}\"\nbodies_in_flight_max = \"1MiB\"\n[tls]\ncertificate = \"{}\"\nprivate_key = \"{}\"\n\
         [dns]\nservers = [\"127.0.0.1:9\"]\ntimeout = \"1s\"\n[admin]\nbind = \"127.0.0.1:0\"\n",
        folder.path().display(),
        chain.display(),
        key.display()
    );
    let _ = write!(
        text,
        "[[listener]]\nname = \"few\"\nbind = [\"127.0.0.1:0\"]\ntls = \"off\"\nrelay_from = [\"127.0.0.1/32\"]\nhide_client = true\n\
         limits = {{ connections_per_trusted_address = 2, command_timeout = \"3s\", data_timeout = \"3s\" }}\n\
         [[listener]]\nname = \"submission\"\nbind = [\"127.0.0.1:0\"]\nauth = true\n\
         [[account]]\nname = \"boletin\"\npassword_hash = \"{}\"\nlimits = {{ messages_per_hour = 3, recipients_per_day = 5 }}\n",
        hash_password("secreto").unwrap()
    );
    let config = folder.path().join("tambo.toml");
    std::fs::write(&config, text).unwrap();
    let relay = RelayProcess::start(&config, folder.path()).await;
    Limited { relay, certificate, _folder: folder }
}

impl Limited {
    async fn submission(&self) -> Client {
        let mut client = Client::connect(self.relay.address("submission")).await.unwrap();
        client.start_tls(&self.certificate.connector(), "relay.example.pe").await.unwrap();
        client.login("boletin", "secreto").await.unwrap();
        client
    }

    async fn hits(&self, limit: &str) -> bool {
        let name = format!("tambo_limit_hits_total{{limit=\"{limit}\"}}");
        self.relay.metric(&name).await > 0
    }
}

#[tokio::test]
async fn connections_and_time() {
    let world = limited().await;
    let address = world.relay.address("few");
    let mut first = Client::connect(address).await.unwrap();
    let mut second = Client::connect(address).await.unwrap();
    for (line, code) in
        [("EHLO c", 250), ("MAIL FROM:<a@x.pe>", 250), ("RCPT TO:<b@y.pe>", 250), ("DATA", 354)]
    {
        second.command(line, code).await.unwrap();
    }
    second.send(b"Subject: x\r\n").await.unwrap();
    let refused = Client::connect(address).await.err().unwrap();
    assert_eq!(refused, "421 4.7.0 Too many connections; try again later");
    assert!(world.hits("connections_per_trusted_address").await);
    assert_eq!(first.reply().await.unwrap(), "421 4.4.2 You took too long; connect again");
    assert_eq!(second.reply().await.unwrap(), "421 4.4.2 You took too long; connect again");
    assert!(
        world.relay.ask(&["queue", "list"]).await.as_array().unwrap().is_empty(),
        "half a message is none"
    );
    assert!(world.relay.stop().await);
}

/// A message begins by BDAT and is given up, ten times in one piece: each takes a third of all room.
#[tokio::test]
async fn a_message_that_is_given_up_gives_its_room_back() {
    let world = limited().await;
    let mut client = Client::connect(world.relay.address("few")).await.unwrap();
    client.command("EHLO c", 250).await.unwrap();
    let group = b"MAIL FROM:<a@x.pe>\r\nRCPT TO:<b@y.pe>\r\nBDAT 2\r\nX:RSET\r\n".repeat(10);
    client.send(&group).await.unwrap();
    for number in 0..40 {
        let reply = client.reply().await.unwrap();
        assert!(reply.starts_with("250 "), "{number}: {reply}");
    }
    assert!(!world.hits("bodies_in_flight_max").await);
    client.deliver("a@x.pe", &["b@y.pe"], b"Subject: x\r\n\r\n").await.unwrap();
    assert!(world.relay.stop().await);
}

#[tokio::test]
async fn what_an_account_may_send() {
    let world = limited().await;
    let mut client = world.submission().await;
    let message = b"From: <a@x.pe>\r\nSubject: x\r\n\r\n";
    client.deliver("a@x.pe", &["1@y.pe", "2@y.pe"], message).await.unwrap();
    client.deliver("a@x.pe", &["3@y.pe"], message).await.unwrap();
    client.command("MAIL FROM:<a@x.pe>", 250).await.unwrap();
    client.command("RCPT TO:<4@y.pe>", 250).await.unwrap();
    client.command("RCPT TO:<5@y.pe>", 250).await.unwrap();
    let over = client.command("RCPT TO:<6@y.pe>", 250).await.unwrap_err();
    assert_eq!(
        over,
        "450 4.7.1 This account has reached its limit of 5 recipients per day; try again later"
    );
    client.command("RSET", 250).await.unwrap();
    client.deliver("a@x.pe", &["4@y.pe"], message).await.unwrap();
    let mut other = world.submission().await;
    let over = other.command("MAIL FROM:<a@x.pe>", 250).await.unwrap_err();
    assert_eq!(
        over,
        "450 4.7.1 This account has reached its limit of 3 messages per hour; try again later"
    );
    assert!(world.hits("messages_per_hour").await && world.hits("recipients_per_day").await);
    let events = world.relay.ask(&["trace", "6@y.pe"]).await;
    assert_eq!(events[0]["type"], "rejected");
    assert_eq!(events[0]["code"], 450);
}

#[tokio::test]
async fn a_stopping_relay_says_so_and_takes_what_is_arriving() {
    let world = limited().await;
    let mut idle = Client::connect(world.relay.address("few")).await.unwrap();
    let mut busy = world.submission().await;
    busy.command("MAIL FROM:<a@x.pe>", 250).await.unwrap();
    busy.command("RCPT TO:<b@y.pe>", 250).await.unwrap();
    busy.command("DATA", 354).await.unwrap();
    busy.send(b"From: <a@x.pe>\r\n\r\n").await.unwrap();
    nix::sys::signal::kill(world.relay.pid(), nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(idle.reply().await.unwrap(), "421 4.3.2 The relay is stopping; try again later");
    busy.send(b"text\r\n.\r\n").await.unwrap();
    let said = busy.reply().await.unwrap();
    assert!(said.starts_with("250 2.0.0 queued as "), "{said}");
    assert_eq!(busy.reply().await.unwrap(), "421 4.3.2 The relay is stopping; try again later");
    assert!(world.relay.ended().await);
}
