//! Keys that sign with a number, and fail once in a while.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use mta::outside::dkim::{KeyFlaw, OpenKeys, PublicKey};
use mta::outside::{DkimKeys, Signer, SigningError, Unsigned};
use relay_config::config::DkimKey;

use super::world::World;

/// The keys of one life of the relay.
#[derive(Clone)]
pub struct SimKeys {
    world: Arc<World>,
    signings: Arc<Mutex<Signings>>,
}

#[derive(Default)]
struct Signings {
    calls: u32,
    /// How often the same fields were signed.
    done: BTreeMap<Vec<u8>, u32>,
}

impl SimKeys {
    /// Nothing is signed yet.
    pub fn new(world: Arc<World>) -> Self {
        Self { world, signings: Arc::default() }
    }
}

impl DkimKeys for SimKeys {
    fn open(&self, _keys: &[Arc<DkimKey>]) -> Result<OpenKeys, Vec<KeyFlaw>> {
        Ok(OpenKeys { signer: Arc::new(self.clone()), warnings: Vec::new() })
    }
}

impl Signer for SimKeys {
    fn sign(&self, key: usize, unsigned: &Unsigned) -> Result<Bytes, SigningError> {
        let mut signings = self.signings.lock().unwrap();
        signings.calls += 1;
        if signings.calls.is_multiple_of(self.world.plan.signing_fails_every) {
            self.world.fault("signing failed");
            return Err(SigningError("the key is on holiday".to_owned()));
        }
        let times = signings.done.entry(unsigned.fields.clone()).or_default();
        *times += 1;
        if *times > 1 {
            let what = String::from_utf8_lossy(&unsigned.fields).into_owned();
            self.world.books().violated(format!("a message was signed {times} times: {what}"));
        }
        Ok(format!("DKIM-Signature: key={key}; t={}\r\n", unsigned.time.as_millis()).into())
    }

    fn public_key(&self, _key: usize) -> Option<&PublicKey> {
        None
    }
}
