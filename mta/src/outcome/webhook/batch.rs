//! What one request carries, how it is signed, and when the next one comes after a failure. Pure.

use std::time::Duration;

use aws_lc_rs::hmac;
use bytes::Bytes;

use crate::message::{Id, Timestamp};

/// First wait after a failure; each is twice the one before.
const RETRY: Duration = Duration::from_secs(1);
/// The longest: a server that is mended hears from us soon.
const RETRY_MAX: Duration = Duration::from_mins(5);
/// Waits differ by this part of themselves, so that a server which comes back is not met by all at once.
const JITTER: f64 = 0.2;
/// What a server may ask for (Retry-After).
const ASKED_MAX: Duration = Duration::from_hours(1);

/// Events that go together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Batch {
    /// As they are stored: JSON.
    pub lines: Vec<Bytes>,
    /// The last id that was looked at: the place, once they are taken.
    pub end: Option<Id>,
    /// When the first of them happened.
    pub oldest: Option<Timestamp>,
    /// Events that were too old.
    pub passed_over: u64,
}

impl Batch {
    /// A JSON array.
    pub fn body(&self) -> Vec<u8> {
        let size: usize = self.lines.iter().map(|line| line.len() + 2).sum();
        let mut body = Vec::with_capacity(size + 2);
        body.push(b'[');
        for (number, line) in self.lines.iter().enumerate() {
            if number > 0 {
                body.extend_from_slice(b",\n");
            }
            body.extend_from_slice(line);
        }
        body.push(b']');
        body
    }
}

/// `v1=` and the HMAC-SHA256 in hexadecimal over the time, a full stop, and the body.
pub(super) fn signature(secret: &[u8], time: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut context = hmac::Context::with_key(&key);
    context.update(time.as_bytes());
    context.update(b".");
    context.update(body);
    let mut text = String::from("v1=");
    for octet in context.sign().as_ref() {
        text.push_str(&format!("{octet:02x}"));
    }
    text
}

/// How long to wait after so many failures in a row; `random` is from 0 to 1, `asked` what the server wants.
pub(super) fn pause(failures: u32, random: f64, asked: Option<Duration>) -> Duration {
    let doubled = RETRY.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let jittered = doubled.min(RETRY_MAX).mul_f64(1.0 + JITTER * (2.0 * random - 1.0));
    jittered.max(asked.unwrap_or_default().min(ASKED_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_an_array_and_its_signature_is_that_of_others() {
        let lines =
            vec![Bytes::from_static(b"{\"id\":\"a\"}"), Bytes::from_static(b"{\"id\":\"b\"}")];
        let batch = Batch { lines, ..Batch::default() };
        let value: serde_json::Value = serde_json::from_slice(&batch.body()).unwrap();
        assert_eq!(value[1]["id"], "b");
        assert_eq!(Batch::default().body(), b"[]");
        // printf '1795525500.[]' | openssl dgst -sha256 -hmac 'a secret of 16 octets'
        let expected = "v1=485855b37f226d141f8c9ed4d15b320d20eab11faaadcd65a3e5ed860b1c28e0";
        assert_eq!(signature(b"a secret of 16 octets", "1795525500", b"[]"), expected);
    }

    #[test]
    fn waits_grow_and_differ_and_have_an_end() {
        let millis = |failures, random| pause(failures, random, None).as_millis();
        assert_eq!((millis(1, 0.5), millis(4, 0.5), millis(100, 0.5)), (1_000, 8_000, 300_000));
        assert_eq!((millis(4, 0.0), millis(4, 1.0)), (6_400, 9_600));
        let asked = |seconds| pause(1, 0.5, Some(Duration::from_secs(seconds))).as_secs();
        assert_eq!((asked(0), asked(60), asked(1_000_000)), (1, 60, 3600));
    }
}
