//! A DNS server for a handful of zones, over UDP and TCP.
//!
//! A zone is text, a record a line: `name MX preference host`, `name A address`, `name AAAA
//! address`, `name CNAME target`, `name PTR host`, `name TXT words` (cut into strings where it is long),
//! `name SERVFAIL`, `name SILENT` (never answered). `*.name` stands for all names below that are not written.
//! Other names do not exist. The zone may change while it is served.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

const TTL_SECS: u32 = 60;
/// Octets of one character string (RFC 1035 section 3.3).
const STRING_OCTETS_MAX: usize = 255;

/// Octets of an answer over UDP: what is longer is asked for again over TCP (RFC 1035 section 4.2.1). So
/// much everybody takes, with EDNS or without.
const UDP_OCTETS_MAX: usize = 512;

/// A server that runs until it is dropped.
pub struct DnsServer {
    /// Where it listens.
    pub address: SocketAddr,
    zone: Shared,
    _tasks: JoinSet<()>,
}

/// The zone as it is now.
type Shared = Arc<Mutex<Arc<Vec<Entry>>>>;

#[derive(Debug, Clone)]
enum Entry {
    Record(Name, RData),
    Servfail(Name),
    Silent(Name),
}

impl Entry {
    fn owner(&self) -> &Name {
        match self {
            Self::Record(owner, _) | Self::Servfail(owner) | Self::Silent(owner) => owner,
        }
    }
}

impl DnsServer {
    /// Serves the zone on a free port.
    pub async fn start(zone: &str) -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), zone).await
    }

    /// Serves the zone where another did before.
    pub async fn start_at(address: SocketAddr, zone: &str) -> Self {
        let entries: Shared = Arc::new(Mutex::new(entries(zone)));
        let tcp = TcpListener::bind(address).await.unwrap();
        let address = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(address).await.unwrap();
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&entries);
        let zone = Arc::clone(&entries);
        tasks.spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                let Ok((size, from)) = udp.recv_from(&mut buffer).await else { continue };
                if let Some(answer) = answer(&now(&zone), &buffer[..size]) {
                    let answer =
                        if answer.len() > UDP_OCTETS_MAX { truncated(&answer) } else { answer };
                    let _ = udp.send_to(&answer, from).await;
                }
            }
        });
        tasks.spawn(async move {
            loop {
                let Ok((stream, _)) = tcp.accept().await else { continue };
                tokio::spawn(serve_tcp(stream, Arc::clone(&entries)));
            }
        });
        Self { address, zone: shared, _tasks: tasks }
    }

    /// Serves this zone from now on in place of the other.
    pub fn set(&self, zone: &str) {
        *self.zone.lock().unwrap() = entries(zone);
    }
}

fn entries(zone: &str) -> Arc<Vec<Entry>> {
    Arc::new(zone.lines().map(str::trim).filter(|l| !l.is_empty()).map(entry).collect())
}

fn now(zone: &Shared) -> Arc<Vec<Entry>> {
    Arc::clone(&zone.lock().unwrap())
}

/// The answer without its records, which did not fit.
fn truncated(answer: &[u8]) -> Vec<u8> {
    let mut answer = Message::from_vec(answer).unwrap();
    answer.metadata.truncation = true;
    answer.answers.clear();
    answer.to_vec().unwrap()
}

async fn serve_tcp(mut stream: TcpStream, zone: Shared) {
    while let Ok(size) = stream.read_u16().await {
        let mut query = vec![0; usize::from(size)];
        if stream.read_exact(&mut query).await.is_err() {
            return;
        }
        let Some(answer) = answer(&now(&zone), &query) else { continue };
        let Ok(size) = u16::try_from(answer.len()) else { return };
        if stream.write_u16(size).await.is_err() || stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

fn entry(line: &str) -> Entry {
    let words: Vec<&str> = line.split_whitespace().collect();
    let name = |text: &str| Name::from_str(&format!("{}.", text.trim_end_matches('.'))).unwrap();
    let owner = name(words[0]);
    let data = match words[1] {
        "MX" => {
            let host = if words[3] == "." { Name::root() } else { name(words[3]) };
            RData::MX(MX::new(words[2].parse().unwrap(), host))
        }
        "A" => RData::A(A(words[2].parse().unwrap())),
        "AAAA" => RData::AAAA(AAAA(words[2].parse().unwrap())),
        "CNAME" => RData::CNAME(CNAME(name(words[2]))),
        "PTR" => RData::PTR(PTR(name(words[2]))),
        "TXT" => {
            let text = line.splitn(3, char::is_whitespace).nth(2).unwrap().trim().as_bytes();
            let strings = text.chunks(STRING_OCTETS_MAX).map(|it| String::from_utf8(it.to_vec()));
            RData::TXT(TXT::new(strings.map(Result::unwrap).collect()))
        }
        "SERVFAIL" => return Entry::Servfail(owner),
        "SILENT" => return Entry::Silent(owner),
        other => panic!("unknown record {other}"),
    };
    Entry::Record(owner, data)
}

fn answer(zone: &[Entry], query: &[u8]) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).ok()?;
    let question = query.queries.first()?.clone();
    let mut answer = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
    answer.metadata.recursion_desired = true;
    answer.metadata.recursion_available = true;
    answer.add_query(question.clone());
    let mut name = question.name().to_lowercase();
    let mut seen = BTreeSet::new();
    let mut exists = false;
    while seen.insert(name.clone()) {
        let mut next = None;
        let written = zone.iter().any(|entry| *entry.owner() == name);
        let has = |owner: &Name| {
            *owner == name || (!written && owner.is_wildcard() && owner.base_name().zone_of(&name))
        };
        for entry in zone {
            match entry {
                Entry::Silent(owner) if has(owner) => return None,
                Entry::Servfail(owner) if has(owner) => {
                    answer.metadata.response_code = ResponseCode::ServFail;
                    return answer.to_vec().ok();
                }
                Entry::Record(owner, data) if has(owner) => {
                    exists = true;
                    let kind = data.record_type();
                    if kind == question.query_type() || kind == RecordType::CNAME {
                        let record = Record::from_rdata(name.clone(), TTL_SECS, data.clone());
                        answer.add_answer(record);
                    }
                    if let RData::CNAME(target) = data {
                        next = Some(target.0.clone());
                    }
                }
                _ => {}
            }
        }
        let Some(target) = next else { break };
        name = target;
    }
    if !exists {
        answer.metadata.response_code = ResponseCode::NXDomain;
    }
    answer.to_vec().ok()
}
