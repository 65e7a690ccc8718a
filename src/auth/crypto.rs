//! The primitives: hashing, MACs, sealing of secrets at rest, and the type that keeps a secret from being printed.
//!
//! Relies on hmac and sha2 for what an outside verifier must be able to repeat, on aws-lc for authenticated
//! encryption. Never draws a random number: nonces are handed in.

use crate::domain::{Sealed, SecretHash, hex};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

/// A secret in memory: wiped when dropped; without `Debug`, `Display`, `Serialize` or `==`.
pub struct Secret<T: Zeroize>(Zeroizing<T>);

impl<T: Zeroize> Secret<T> {
    /// Takes `value` in.
    pub fn new(value: T) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value. Named so that a reviewer finds every place where a secret is looked at.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

/// SHA-256 of `bytes` in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// An id that follows from a text, for records that are found by what they are about.
pub fn derived_id(text: &str) -> Uuid {
    Uuid::from_bytes(*Sha256::digest(text).first_chunk::<16>().unwrap_or(&[0; 16]))
}

/// The hash under which a credential is stored.
pub(super) fn credential_hash(credential: &str) -> SecretHash {
    SecretHash(sha256_hex(credential.as_bytes()))
}

/// HMAC-SHA256 of `message` (RFC 2104, RFC 6234).
pub(super) fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    started(key, message).finalize().into_bytes().into()
}

/// Whether `tag` is the HMAC-SHA256 of `message`, compared in constant time.
pub(super) fn hmac_matches(key: &[u8], message: &[u8], tag: &[u8]) -> bool {
    started(key, message).verify_slice(tag).is_ok()
}

fn started(key: &[u8], message: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    mac
}

/// The appliance's master key: seals every secret that must be had back.
pub struct MasterKey(LessSafeKey);

/// A sealed secret that does not open: another master key, another owner, or damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsealable;

const NONCE_BYTES: usize = 12;

impl MasterKey {
    /// Length of a master key in bytes (AES-256).
    pub const BYTES: usize = 32;

    /// From its bytes.
    pub fn new(bytes: &[u8; Self::BYTES]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, bytes).expect("an AES-256 key is 32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// Encrypts `secret` for `owner` alone. `nonce` is 12 random bytes, used once: with the few thousand secrets an
    /// appliance holds, random 96-bit nonces stay far from the bound of NIST SP 800-38D §8.3.
    pub fn seal(&self, owner: &str, secret: &[u8], nonce: [u8; NONCE_BYTES]) -> Sealed {
        let mut bytes = secret.to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(owner.as_bytes()), &mut bytes)
            .expect("a secret is far below the length limit of AES-GCM");
        Sealed(BASE64_URL_SAFE_NO_PAD.encode([nonce.as_slice(), &bytes].concat()))
    }

    /// Decrypts what [`MasterKey::seal`] made for the same `owner`.
    pub fn open(&self, owner: &str, sealed: &Sealed) -> Result<Secret<Vec<u8>>, Unsealable> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(&sealed.0).map_err(|_| Unsealable)?;
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or(Unsealable)?;
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        let plain = self
            .0
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(owner.as_bytes()), &mut buffer)
            .map_err(|_| Unsealable)?;
        Ok(Secret::new(plain.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_secret_opens_for_its_owner_under_its_key_alone() {
        let key = MasterKey::new(&[1; 32]);
        let sealed = key.seal("kid-1", b"secret", [9; 12]);
        assert_eq!(key.open("kid-1", &sealed).ok().unwrap().expose(), b"secret");
        assert!(key.open("kid-2", &sealed).is_err());
        assert!(MasterKey::new(&[2; 32]).open("kid-1", &sealed).is_err());
        assert!(key.open("kid-1", &Sealed("AAAA".into())).is_err());
        assert!(!format!("{sealed:?}").contains(&sealed.0));
    }

    #[test]
    fn hmac_agrees_with_rfc_4231_test_case_2() {
        let tag = hmac_sha256(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(hex(&tag), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert!(hmac_matches(b"Jefe", b"what do ya want for nothing?", &tag));
        assert!(!hmac_matches(b"Jefe", b"what do ya want for nothing!", &tag));
    }
}
