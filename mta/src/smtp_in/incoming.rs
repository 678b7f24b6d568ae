//! A message while it arrives: its header section is examined as soon as it is whole, the body
//! goes to the spool in pieces when it is large.

use bytes::{Bytes, BytesMut};
use relay_config::config::{BareNewline, Listener, SessionLimits};

use crate::message::{Id, Reply, SubmittedBody};
use crate::metrics::limit_hit;
use crate::policy::{self, Grant, Headers};
use crate::queue::CHUNK_OCTETS;
use crate::smtp::{DataReceiver, Flaw, Received};

use super::replies::{self, reply};
use super::session::{Setup, Step};

/// Octets that a large message holds in memory at most: a piece that fills and what came with it.
const HELD_OCTETS_MAX: u64 = (CHUNK_OCTETS + 64 * 1024) as u64;
/// Room is asked for at least this much at a time.
const HELD_OCTETS_MIN: u64 = 4 * 1024;

/// A message that arrives.
#[derive(Debug)]
pub(super) struct Incoming {
    id: Id,
    receiver: DataReceiver,
    limits: SessionLimits,
    head: Head,
    pieces: Vec<Bytes>,
    pending: usize,
    chunks: u32,
    stored: u64,
    reserved: u64,
    refusal: Option<Reply>,
    /// The piece that arrives, when the message comes by BDAT.
    chunk: Option<Chunk>,
}

/// A piece of BDAT.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    /// Octets that have not come.
    left: u64,
    last: bool,
}

#[derive(Debug)]
enum Head {
    /// Not whole yet.
    Arriving(BytesMut),
    /// Known; the message has no header section when `headless`.
    Known { headers: Headers, headless: bool },
}

/// What happens next.
#[derive(Debug)]
pub(super) enum Move {
    /// More must come.
    Read,
    /// More memory is needed.
    Reserve(u64),
    /// A piece is full.
    Store(u32, Bytes),
    /// It is all there, and refused.
    Refuse(Reply),
    /// It is all there, and good.
    Finish,
}

impl Incoming {
    pub(super) fn new(
        id: Id,
        listener: &Listener,
        limits: &SessionLimits,
        size: Option<u64>,
    ) -> Self {
        let normalise = listener.bare_newline == BareNewline::Normalise;
        let line_max = usize::try_from(limits.line_length).unwrap_or(usize::MAX);
        Self {
            id,
            receiver: DataReceiver::new(normalise, line_max, limits.message_size.0),
            limits: limits.clone(),
            head: Head::Arriving(BytesMut::new()),
            pieces: Vec::new(),
            pending: 0,
            chunks: 0,
            stored: 0,
            reserved: Self::first_reservation(size),
            refusal: None,
            chunk: None,
        }
    }

    /// Octets to ask room for when a message of this announced size begins.
    pub(super) fn first_reservation(size: Option<u64>) -> u64 {
        size.unwrap_or(HELD_OCTETS_MAX).clamp(HELD_OCTETS_MIN, HELD_OCTETS_MAX)
    }

    pub(super) fn id(&self) -> Id {
        self.id
    }

    pub(super) fn eight_bit(&self) -> bool {
        self.receiver.eight_bit()
    }

    pub(super) fn leading_dots(&self) -> bool {
        self.receiver.leading_dots()
    }

    pub(super) fn receive(&mut self, input: &mut BytesMut) -> Received {
        // After a piece was stored this is called again with nothing new.
        if self.receiver.has_ended() {
            return Received::End;
        }
        let Some(chunk) = &mut self.chunk else { return self.receiver.receive(input) };
        let here = usize::try_from(chunk.left).map_or(input.len(), |left| left.min(input.len()));
        let octets = input.split_to(here);
        chunk.left -= here as u64;
        let ends = chunk.left == 0 && chunk.last;
        self.receiver.receive_chunk(&octets, ends);
        if ends { Received::End } else { Received::More }
    }

    /// A piece of this size comes next.
    pub(super) fn start_chunk(&mut self, size: u64, last: bool) {
        self.chunk = Some(Chunk { left: size, last });
    }

    /// A piece has come that is not the last.
    pub(super) fn chunk_has_come(&self) -> bool {
        self.chunk.is_some_and(|chunk| chunk.left == 0 && !chunk.last)
    }

    /// Why it will not be accepted.
    pub(super) fn refusal(&self) -> Option<&Reply> {
        self.refusal.as_ref()
    }

    /// It will not be accepted: the rest is read and thrown away.
    pub(super) fn refuse(&mut self, why: Reply) {
        self.refusal.get_or_insert(why);
        self.receiver.discard();
        self.pieces.clear();
        self.pending = 0;
    }

    /// The step that removes what was stored.
    pub(super) fn discard(&self) -> Option<Step> {
        (self.chunks > 0).then_some(Step::Discard { id: self.id, chunks: self.chunks })
    }

    /// What to do with what was received.
    pub(super) fn advance(&mut self, ended: bool, grant: Option<&Grant>, setup: &Setup) -> Move {
        let body = self.receiver.take_body();
        if self.refusal.is_none() {
            // A header section that is refused is refused also when a flaw of the body came with it.
            let whole = ended && self.receiver.flaw().is_none();
            self.take(body, whole, grant, setup);
        }
        if let Some(flaw) = self.receiver.flaw().filter(|_| self.refusal.is_none()) {
            let (line_length, size) = (self.limits.line_length, self.limits.message_size.0);
            if flaw == Flaw::TooBig {
                limit_hit("message_size");
            }
            self.refuse(replies::flaw(flaw, line_length, size));
        }
        if let Some(refusal) = &self.refusal {
            return if ended { Move::Refuse(refusal.clone()) } else { Move::Read };
        }
        let large = self.pending >= CHUNK_OCTETS;
        if large || (ended && self.chunks > 0 && self.pending > 0) {
            return self.store();
        }
        if ended { Move::Finish } else { self.want_room() }
    }

    pub(super) fn take_headers(&mut self) -> (Headers, bool) {
        match std::mem::replace(&mut self.head, Head::Arriving(BytesMut::new())) {
            Head::Known { headers, headless } => (headers, headless),
            Head::Arriving(_) => (Headers::default(), false),
        }
    }

    pub(super) fn take_body(&mut self) -> SubmittedBody {
        if self.chunks > 0 {
            SubmittedBody::Stored { chunks: self.chunks, size: self.stored }
        } else {
            SubmittedBody::Whole(std::mem::take(&mut self.pieces))
        }
    }

    fn take(&mut self, body: Bytes, ended: bool, grant: Option<&Grant>, setup: &Setup) {
        let Head::Arriving(head) = &mut self.head else { return self.keep(body) };
        head.extend_from_slice(&body);
        let head_size = head.len();
        match header_end(head) {
            Some(end) => {
                let mut head = std::mem::take(head);
                let rest = head.split_off(end).freeze();
                let headless = end == 0 && !rest.starts_with(b"\r\n");
                self.examine(&head.freeze(), rest, headless, grant, setup);
            }
            None if ended => {
                let head = std::mem::take(head).freeze();
                self.examine(&head, Bytes::new(), false, grant, setup);
            }
            None if head_size as u64 > self.limits.header_size.0 => {
                limit_hit("header_size");
                let max = self.limits.header_size.0;
                self.refuse(reply(
                    552,
                    (5, 3, 4),
                    format!("The headers are larger than {max} octets"),
                ));
            }
            None => {}
        }
    }

    fn examine(
        &mut self,
        section: &Bytes,
        rest: Bytes,
        headless: bool,
        grant: Option<&Grant>,
        setup: &Setup,
    ) {
        if section.len() as u64 > self.limits.header_size.0 {
            limit_hit("header_size");
            let max = self.limits.header_size.0;
            return self.refuse(reply(
                552,
                (5, 3, 4),
                format!("The headers are larger than {max} octets"),
            ));
        }
        let may = |address: &crate::message::Address| {
            grant.is_none_or(|grant| grant.may_send_as(address))
        };
        let bound: Option<&dyn Fn(&crate::message::Address) -> bool> =
            if grant.is_some_and(Grant::binds_senders) { Some(&may) } else { None };
        match policy::examine(section, grant.is_some_and(|grant| grant.allow_headers), bound) {
            Err(flaw) => self.refuse(replies::header_flaw(&flaw)),
            Ok(examined) => {
                let headers = examined.headers;
                if headers.hops >= self.limits.hops {
                    limit_hit("hops");
                    return self.refuse(reply(
                        554,
                        (5, 4, 6),
                        "The message is going in circles: too many Received lines",
                    ));
                }
                if headers.pool.as_ref().is_some_and(|pool| !setup.policy.has_pool(pool)) {
                    return self.refuse(reply(
                        550,
                        (5, 6, 0),
                        "X-Tambo-Pool names a pool that does not exist",
                    ));
                }
                self.head = Head::Known { headers, headless };
                self.keep(examined.kept);
                self.keep(rest);
            }
        }
    }

    fn keep(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.pending += piece.len();
            self.pieces.push(piece);
        }
    }

    fn store(&mut self) -> Move {
        let number = self.chunks;
        self.chunks += 1;
        self.stored += self.pending as u64;
        self.pending = 0;
        Move::Store(number, Bytes::from(std::mem::take(&mut self.pieces).concat()))
    }

    fn want_room(&mut self) -> Move {
        let held = self.pending as u64
            + match &self.head {
                Head::Arriving(head) => head.len() as u64,
                Head::Known { .. } => 0,
            };
        if held > self.reserved && self.reserved < HELD_OCTETS_MAX {
            let more = HELD_OCTETS_MAX - self.reserved;
            self.reserved = HELD_OCTETS_MAX;
            return Move::Reserve(more);
        }
        Move::Read
    }
}

/// Where the header section ends: before the first empty line, or at once when the first line
/// is no header field.
fn header_end(head: &[u8]) -> Option<usize> {
    if head.starts_with(b"\r\n") {
        return Some(0);
    }
    let first_line = memchr::memchr(b'\n', head)?;
    if !policy::is_field(&head[..=first_line]) {
        return Some(0);
    }
    memchr::memmem::find(head, b"\r\n\r\n").map(|place| place + 2)
}
