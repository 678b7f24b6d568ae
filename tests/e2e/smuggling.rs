//! SMTP smuggling past the binary: what would be two messages to a careless server is one to it, or none.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tests::relay::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::world::{World, message, mx_ip, mx_port};

const SENDER: &str = "ana@institucion.example";
/// Somebody takes each of these for the end of DATA.
const ENDS: [&str; 8] =
    ["\n.\n", "\r\n.\n", "\n.\r\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\r\n.\r\r\n", "\r\n.\r\n"];
const SMUGGLED: &str = "MAIL FROM:<evil@institucion.example>\r\nRCPT TO:<victim@loose.example>\r\nDATA\r\n\
     Subject: smuggled\r\n\r\nb\r\n";

/// Senders of the messages that a server took.
type Senders = Arc<Mutex<Vec<String>>>;

/// A server for which any CR or LF ends a line, and which obeys whatever comes after a dot on a line of its own.
async fn loose_server(address: SocketAddr) -> Senders {
    let listener = TcpListener::bind(address).await.unwrap();
    let senders = Senders::default();
    let taken = Arc::clone(&senders);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&taken)));
        }
    });
    senders
}

async fn serve(mut stream: TcpStream, taken: Senders) -> std::io::Result<()> {
    stream.write_all(b"220 loose.example\r\n").await?;
    let (mut input, mut in_data, mut sender) = (Vec::new(), false, String::new());
    while stream.read_buf(&mut input).await? > 0 {
        while let Some(end) = input.iter().position(|octet| matches!(octet, b'\r' | b'\n')) {
            let line: Vec<u8> = input.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line[..end]).into_owned();
            let reply = match line.split([' ', ':']).next().unwrap_or("") {
                "." if in_data => {
                    in_data = false;
                    taken.lock().unwrap().push(std::mem::take(&mut sender));
                    "250 taken"
                }
                _ if in_data => continue,
                // The other half of a CRLF.
                "" => continue,
                "EHLO" => "250-loose.example\r\n250 PIPELINING",
                "MAIL" => {
                    sender = line;
                    "250 ok"
                }
                "DATA" => {
                    in_data = true;
                    "354 go"
                }
                "QUIT" => "221 bye",
                _ => "250 ok",
            };
            stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_careless_server_never_sees_a_second_message() {
    let port = mx_port(77..78);
    let senders = loose_server(SocketAddr::new(mx_ip(77), port)).await;
    let zone = "loose.example MX 10 mx.loose.example\nmx.loose.example A 127.0.1.77";
    let more = "[[listener]]\nname = \"old\"\nbind = [\"127.0.0.1:0\"]\ntls = \"off\"\n\
         relay_from = [\"127.0.0.0/8\"]\nbare_newline = \"normalise\"\n";
    let world = World::start(zone, port, more).await;
    let mut accepted = 0;
    for listener in ["relay", "old"] {
        for end in ENDS {
            for chunked in [false, true] {
                let text = format!("From: <{SENDER}>\r\nSubject: x\r\n\r\na{end}{SMUGGLED}");
                accepted += usize::from(submit(&world, listener, &text, chunked).await);
            }
        }
    }
    // The one that has no CR or LF alone, and all of them where those become CRLF; each by DATA and by BDAT.
    assert_eq!(accepted, 2 + 2 * ENDS.len());
    world.send(SENDER, &["last@loose.example"], &message("last")).await;
    let seen = eventually("all arrive", async || {
        let seen = senders.lock().unwrap().clone();
        (seen.len() > accepted).then_some(seen)
    })
    .await;
    let smuggled: Vec<&String> = seen.iter().filter(|sender| sender.contains("evil")).collect();
    assert!(smuggled.is_empty(), "{smuggled:?} of {}", seen.len());
    assert_eq!(seen.len(), accepted + 1);
    assert!(world.relay.stop().await);
}

/// Whether the message was taken. The session is in step after it, whatever was said.
async fn submit(world: &World, listener: &str, text: &str, chunked: bool) -> bool {
    let mut client = tests::client::Client::connect(world.relay.address(listener)).await.unwrap();
    client.command("EHLO client.example", 250).await.unwrap();
    client.command(&format!("MAIL FROM:<{SENDER}>"), 250).await.unwrap();
    client.command("RCPT TO:<b@loose.example>", 250).await.unwrap();
    if chunked {
        client.send(format!("BDAT {} LAST\r\n{text}", text.len()).as_bytes()).await.unwrap();
    } else {
        client.command("DATA", 354).await.unwrap();
        // To us CRLF.CRLF is the end: what follows it is another message, which is no smuggling.
        let text = text.replace("\r\n.\r\n", "\r\n..\r\n");
        client.send(format!("{text}.\r\n").as_bytes()).await.unwrap();
    }
    let reply = client.reply().await.unwrap();
    client.command("NOOP", 250).await.unwrap();
    client.quit().await.unwrap();
    assert!(reply.starts_with("250 ") || reply.starts_with("550 5.6.11 "), "{text:?}: {reply}");
    reply.starts_with("250 ")
}
