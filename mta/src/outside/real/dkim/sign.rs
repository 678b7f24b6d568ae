//! Puts keys to work: the field is written by mail-auth, around what `policy` has prepared.

use bytes::Bytes;
use mail_auth::common::crypto::{DkimKey, SigningKey as _};
use mail_auth::common::headers::{Writable, Writer};
use mail_auth::dkim::Signature;

use crate::outside::dkim::{PublicKey, Signer, SigningError, Unsigned};

/// A key at hand.
pub(super) struct OpenKey {
    pub domain: String,
    pub selector: String,
    pub signing: DkimKey,
    pub public: PublicKey,
}

/// Keys by their place.
pub(super) struct FileSigner(pub Vec<OpenKey>);

/// What is hashed: the signed fields, then the new one as it will be but for b= (RFC 6376
/// section 3.7).
struct Input<'a> {
    fields: &'a [u8],
    signature: &'a Signature,
}

impl Writable for Input<'_> {
    fn write(self, writer: &mut impl Writer) {
        writer.write(self.fields);
        self.signature.write(writer, false);
    }
}

impl Signer for FileSigner {
    fn sign(&self, key: usize, unsigned: &Unsigned) -> Result<Bytes, SigningError> {
        let key = self.0.get(key).ok_or_else(|| SigningError("there is no such key".to_owned()))?;
        // Both forms are relaxed by default; neither l= nor x= nor i= is set.
        let mut signature = Signature {
            v: 1,
            a: key.signing.algorithm(),
            d: key.domain.clone(),
            s: key.selector.clone(),
            h: unsigned.names.iter().map(|name| (*name).to_owned()).collect(),
            bh: unsigned.body_hash.to_vec(),
            t: unsigned.time.as_millis() / 1000,
            ..Signature::default()
        };
        let input = Input { fields: &unsigned.fields, signature: &signature };
        signature.b = key.signing.sign(input).map_err(|error| SigningError(error.to_string()))?;
        let mut field = Vec::with_capacity(1024);
        signature.write(&mut field, true);
        Ok(field.into())
    }

    fn public_key(&self, key: usize) -> Option<&PublicKey> {
        self.0.get(key).map(|key| &key.public)
    }
}
