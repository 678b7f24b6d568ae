//! A mail client: says what it is told and insists on the reply that it expects.

use std::net::{IpAddr, SocketAddr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use mta::outside::BoxStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// A session.
pub struct Client {
    stream: Option<BoxStream>,
    input: BytesMut,
}

impl Client {
    /// Connects and reads the greeting.
    pub async fn connect(to: SocketAddr) -> Result<Self, String> {
        Self::connect_from(IpAddr::from([0, 0, 0, 0]), to).await
    }

    /// Connects from this address (0.0.0.0: whichever) and reads the greeting.
    pub async fn connect_from(from: IpAddr, to: SocketAddr) -> Result<Self, String> {
        Self::over(Box::new(stream_from(from, to).await?)).await
    }

    /// The same with TLS from the first octet.
    pub async fn connect_with_tls(
        from: IpAddr,
        to: SocketAddr,
        connector: &TlsConnector,
        name: &str,
    ) -> Result<Self, String> {
        let stream = stream_from(from, to).await?;
        let name = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
        let encrypted = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
        Self::over(Box::new(encrypted)).await
    }

    /// Reads the greeting over any stream.
    pub async fn over(stream: BoxStream) -> Result<Self, String> {
        let mut client = Self { stream: Some(stream), input: BytesMut::new() };
        client.expect(220).await?;
        Ok(client)
    }

    /// Sends a line and wants this code.
    pub async fn command(&mut self, line: &str, code: u16) -> Result<String, String> {
        self.send(format!("{line}\r\n").as_bytes()).await?;
        self.expect(code).await
    }

    /// STARTTLS and EHLO.
    pub async fn start_tls(&mut self, connector: &TlsConnector, name: &str) -> Result<(), String> {
        self.command("EHLO client.example", 250).await?;
        self.command("STARTTLS", 220).await?;
        let name = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
        let stream = self.stream.take().ok_or("the session is over")?;
        let encrypted = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
        self.stream = Some(Box::new(encrypted));
        self.command("EHLO client.example", 250).await.map(|_| ())
    }

    /// AUTH PLAIN.
    pub async fn login(&mut self, name: &str, password: &str) -> Result<(), String> {
        let response = STANDARD.encode(format!("\0{name}\0{password}"));
        self.command(&format!("AUTH PLAIN {response}"), 235).await.map(|_| ())
    }

    /// One message, in a group of commands; returns the final reply.
    pub async fn deliver(
        &mut self,
        from: &str,
        to: &[&str],
        data: &[u8],
    ) -> Result<String, String> {
        let mut group = format!("MAIL FROM:<{from}>\r\n");
        for recipient in to {
            group.push_str(&format!("RCPT TO:<{recipient}>\r\n"));
        }
        group.push_str("DATA\r\n");
        self.send(group.as_bytes()).await?;
        for _ in 0..=to.len() {
            self.expect(250).await?;
        }
        self.expect(354).await?;
        self.send(&stuff(data)).await?;
        self.expect(250).await
    }

    /// QUIT.
    pub async fn quit(mut self) -> Result<(), String> {
        self.command("QUIT", 221).await.map(|_| ())
    }

    /// Sends octets.
    pub async fn send(&mut self, octets: &[u8]) -> Result<(), String> {
        let stream = self.stream.as_mut().ok_or("the session is over")?;
        stream.write_all(octets).await.map_err(|error| error.to_string())?;
        stream.flush().await.map_err(|error| error.to_string())
    }

    /// Reads a reply.
    pub async fn reply(&mut self) -> Result<String, String> {
        let mut reply = String::new();
        loop {
            while let Some(end) = self.input.iter().position(|b| *b == b'\n') {
                let line = self.input.split_to(end + 1);
                let line = String::from_utf8_lossy(&line).into_owned();
                reply.push_str(&line);
                if line.as_bytes().get(3) != Some(&b'-') {
                    return Ok(reply.trim_end().to_owned());
                }
            }
            let stream = self.stream.as_mut().ok_or("the session is over")?;
            match stream.read_buf(&mut self.input).await {
                Ok(0) => return Err("closed".to_owned()),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    async fn expect(&mut self, code: u16) -> Result<String, String> {
        let reply = self.reply().await?;
        if reply.starts_with(&code.to_string()) { Ok(reply) } else { Err(reply) }
    }
}

/// A TCP connection from this address; unspecified: whichever.
pub async fn stream_from(from: IpAddr, to: SocketAddr) -> Result<TcpStream, String> {
    let connect = async {
        let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if !from.is_unspecified() {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        Ok::<_, std::io::Error>(stream)
    };
    connect.await.map_err(|error| error.to_string())
}

/// DATA as it goes over the wire.
pub fn stuff(data: &[u8]) -> Vec<u8> {
    let mut stuffed = Vec::with_capacity(data.len() + 8);
    for line in data.split_inclusive(|b| *b == b'\n') {
        if line.first() == Some(&b'.') {
            stuffed.push(b'.');
        }
        stuffed.extend_from_slice(line);
    }
    stuffed.extend_from_slice(b".\r\n");
    stuffed
}
