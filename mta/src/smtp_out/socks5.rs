//! Has a SOCKS server connect: RFC 1928 as a client, CONNECT by address only, without a password or with
//! one (RFC 1929). No names are given to be looked up, and neither BIND nor UDP is asked for.
//!
//! In two steps, because a gateway can be asked whether it knows us without being sent anywhere. Each
//! reply is read to its last octet and no further: what follows is the greeting of the destination.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::outside::net::Stream;

const VERSION: u8 = 5;
/// Version of the negotiation of RFC 1929.
const LOGIN_VERSION: u8 = 1;
/// Methods of authentication (RFC 1928 section 3).
const NO_AUTHENTICATION: u8 = 0;
const USERNAME_AND_PASSWORD: u8 = 2;
/// Types of addresses (RFC 1928 section 5).
const IPV4: u8 = 1;
const DOMAIN_NAME: u8 = 3;
const IPV6: u8 = 4;
const CONNECT: u8 = 1;

/// Why a server did not do as it was asked.
#[derive(Debug)]
pub(super) enum SocksError {
    /// The connection to it broke.
    Lost(io::Error),
    /// What it says is no SOCKS 5.
    NotSocks,
    /// It wants another way to be sure of who we are: a password, or none.
    NoMethod,
    /// It does not know the user name with this password.
    WrongPassword,
    /// A name or a password of no octets, or of more than 255.
    Unspeakable,
    /// The code of its reply to CONNECT (RFC 1928 section 6).
    Refused(u8),
}

impl From<io::Error> for SocksError {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

/// Says who we are: user name and password, or nobody.
pub(super) async fn log_in(
    stream: &mut dyn Stream,
    login: Option<&(String, String)>,
) -> Result<(), SocksError> {
    let offer: &[u8] = match login {
        None => &[VERSION, 1, NO_AUTHENTICATION],
        // Offered alone, so that a server that forgot to ask does not let everybody in unseen.
        Some(_) => &[VERSION, 1, USERNAME_AND_PASSWORD],
    };
    let login = login.map(spoken).transpose()?;
    stream.write_all(offer).await?;
    stream.flush().await?;
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen).await?;
    match (chosen, login) {
        ([VERSION, NO_AUTHENTICATION], None) => Ok(()),
        ([VERSION, USERNAME_AND_PASSWORD], Some(login)) => {
            stream.write_all(&login).await?;
            stream.flush().await?;
            let mut answer = [0; 2];
            stream.read_exact(&mut answer).await?;
            // Some answer with the version of SOCKS; what counts is the second octet.
            if answer[1] == 0 { Ok(()) } else { Err(SocksError::WrongPassword) }
        }
        ([VERSION, _], _) => Err(SocksError::NoMethod),
        _ => Err(SocksError::NotSocks),
    }
}

/// Has it connect there. The stream is then one to the destination.
pub(super) async fn connect(stream: &mut dyn Stream, to: SocketAddr) -> Result<(), SocksError> {
    stream.write_all(&request(to)).await?;
    stream.flush().await?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let [version, code, _reserved, address_type] = head;
    if version != VERSION {
        return Err(SocksError::NotSocks);
    }
    // A server that refuses may close at once: the rest of its reply is not waited for.
    if code != 0 {
        return Err(SocksError::Refused(code));
    }
    let address = match address_type {
        IPV4 => 4,
        IPV6 => 16,
        DOMAIN_NAME => usize::from(stream.read_u8().await?),
        _ => return Err(SocksError::NotSocks),
    };
    // The address that it connects from as it sees it, and the port; behind NAT it is not what others see.
    let mut bound = vec![0; address + 2];
    stream.read_exact(&mut bound).await?;
    Ok(())
}

/// RFC 1928 section 4.
fn request(to: SocketAddr) -> Vec<u8> {
    let port = to.port().to_be_bytes();
    match to.ip() {
        IpAddr::V4(ip) => [&[VERSION, CONNECT, 0, IPV4], &ip.octets()[..], &port].concat(),
        IpAddr::V6(ip) => [&[VERSION, CONNECT, 0, IPV6], &ip.octets()[..], &port].concat(),
    }
}

/// RFC 1929 section 2.
fn spoken((username, password): &(String, String)) -> Result<Vec<u8>, SocksError> {
    let length = |text: &str| {
        u8::try_from(text.len()).ok().filter(|length| *length > 0).ok_or(SocksError::Unspeakable)
    };
    let (name_length, password_length) = (length(username)?, length(password)?);
    let name = [&[LOGIN_VERSION, name_length], username.as_bytes()].concat();
    Ok([&name[..], &[password_length], password.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::duplex;

    /// Logs in and connects to a server that reads what it should and says its part, each in turn; what
    /// comes of it, and what is left to be read.
    async fn talk(
        login: Option<(&str, &str)>,
        to: &str,
        turns: &'static [(&'static [u8], &'static [u8])],
    ) -> (String, Vec<u8>) {
        let (mut ours, mut theirs) = duplex(1024);
        let server = tokio::spawn(async move {
            for (heard, said) in turns {
                let mut octets = vec![0; heard.len()];
                theirs.read_exact(&mut octets).await.unwrap();
                assert_eq!(octets, *heard);
                theirs.write_all(said).await.unwrap();
            }
            theirs.shutdown().await.unwrap();
            let mut more = Vec::new();
            theirs.read_to_end(&mut more).await.unwrap();
            assert_eq!(more, b"", "it says more than it should");
        });
        let login = login.map(|(name, password)| (name.to_owned(), password.to_owned()));
        let done = async {
            log_in(&mut ours, login.as_ref()).await?;
            connect(&mut ours, to.parse().unwrap()).await
        };
        let done = done.await;
        let mut rest = Vec::new();
        ours.read_to_end(&mut rest).await.unwrap();
        drop(ours);
        server.await.unwrap();
        (done.map_or_else(|error| format!("{error:?}"), |()| "connected".to_owned()), rest)
    }

    const FOUR: &str = "192.0.2.25:25";
    const ASKED: &[u8] = &[5, 1, 0, 1, 192, 0, 2, 25, 0, 25];

    #[tokio::test]
    async fn conversations_by_the_rfcs() {
        let check = |(done, rest): (String, Vec<u8>), expected: &str, left: &[u8]| {
            assert!(done.starts_with(expected), "{done} is not {expected}");
            assert_eq!(rest, left, "{expected}");
        };
        check(talk(None, FOUR, &[(b"\x05\x01\0", b"\x05\0"), (ASKED, b"")]).await, "Lost", b"");
        let greeted = b"220 mx ready\r\n";
        let (done, rest) = talk(
            None,
            FOUR,
            &[
                (b"\x05\x01\0", b"\x05\0"),
                (ASKED, b"\x05\0\0\x01\x0a\0\0\x05\xc0\x01220 mx ready\r\n"),
            ],
        )
        .await;
        check((done, rest), "connected", greeted);
        let six: &[u8] = b"\x05\x01\0\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x25\x02\x4b";
        assert_eq!(request("[2001:db8::25]:587".parse().unwrap()), six);
        // It may name the address that it is bound to in either family, and by name.
        check(
            talk(
                Some(("relay", "secreto")),
                FOUR,
                &[
                    (b"\x05\x01\x02", b"\x05\x02"),
                    (b"\x01\x05relay\x07secreto", b"\x01\0"),
                    (ASKED, b"\x05\0\0\x04abcdefghijklmnop\0\x19220 hi\r\n"),
                ],
            )
            .await,
            "connected",
            b"220 hi\r\n",
        );
        check(
            talk(
                None,
                FOUR,
                &[(b"\x05\x01\0", b"\x05\0"), (ASKED, b"\x05\0\0\x03\x04m.pe\0\x19220 hi\r\n")],
            )
            .await,
            "connected",
            b"220 hi\r\n",
        );
    }

    #[tokio::test]
    async fn what_can_go_wrong() {
        let check = |(done, _): (String, Vec<u8>), expected: &str| {
            assert!(done.starts_with(expected), "{done} is not {expected}");
        };
        check(talk(None, FOUR, &[(b"\x05\x01\0", b"\x05\xff")]).await, "NoMethod");
        check(talk(None, FOUR, &[(b"\x05\x01\0", b"\x05\x02")]).await, "NoMethod");
        check(talk(Some(("r", "s")), FOUR, &[(b"\x05\x01\x02", b"\x05\0")]).await, "NoMethod");
        check(talk(None, FOUR, &[(b"\x05\x01\0", b"220 mx ready\r\n")]).await, "NotSocks");
        check(talk(None, FOUR, &[(b"\x05\x01\0", b"\x05")]).await, "Lost");
        check(
            talk(
                Some(("r", "s")),
                FOUR,
                &[(b"\x05\x01\x02", b"\x05\x02"), (b"\x01\x01r\x01s", b"\x01\x01")],
            )
            .await,
            "WrongPassword",
        );
        for (reply, expected) in [
            (&b"\x05\x02\0\x01\0\0\0\0\0\0"[..], "Refused(2)"),
            (b"\x05\x05\0\x01", "Refused(5)"),
            (b"\x04\0\0\x01", "NotSocks"),
            (b"\x05\0\0\x09", "NotSocks"),
            (b"\x05\0\0\x01\x0a\0", "Lost"),
        ] {
            let (mut ours, mut theirs) = duplex(64);
            theirs.write_all(reply).await.unwrap();
            theirs.shutdown().await.unwrap();
            let error = connect(&mut ours, FOUR.parse().unwrap()).await.unwrap_err();
            check((format!("{error:?}"), Vec::new()), expected);
        }
        for (name, password) in [("", "s"), ("r", ""), ("r", &"s".repeat(256))] {
            let (mut ours, _theirs) = duplex(64);
            let login = (name.to_owned(), password.to_owned());
            let error = log_in(&mut ours, Some(&login)).await.unwrap_err();
            check((format!("{error:?}"), Vec::new()), "Unspeakable");
        }
    }
}
