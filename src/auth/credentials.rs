//! The texts of keys: how they are made, told apart, and hashed.

use super::crypto::{Secret, credential_hash};
use crate::domain::SecretHash;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// What kind of key a text is, by its prefix.
pub enum Credential {
    /// `mvi_pub_…`, by its hash.
    Publishable(SecretHash),
    /// `mvi_priv_…`, by its hash.
    Private(SecretHash),
    /// `mvi_sign_…`: never a credential of a request; someone is leaking it.
    Signing,
    /// Anything else.
    Unknown,
}

const PUBLISHABLE: &str = "mvi_pub_";
const PRIVATE: &str = "mvi_priv_";
const SIGNING: &str = "mvi_sign_";
/// Base64url length of 32 bytes without padding.
const BODY_CHARS: usize = 43;

impl Credential {
    /// The hash of a sign-in's cookie; `None` for what can't be one.
    pub fn cookie_hash(text: &str) -> Option<SecretHash> {
        (text.len() == BODY_CHARS).then(|| credential_hash(text))
    }

    /// The hashes of what may be private keys, wherever they stand in a text.
    pub fn private_in(text: &str) -> impl Iterator<Item = SecretHash> {
        let found = text.match_indices(PRIVATE);
        found.filter_map(|(at, _)| text.get(at..at + PRIVATE.len() + BODY_CHARS)).map(credential_hash)
    }

    /// Tells what `text` is. A text of the wrong length is `Unknown` before it is hashed.
    pub fn parse(text: &str) -> Self {
        let is_key = |prefix: &str| text.strip_prefix(prefix).is_some_and(|body| body.len() == BODY_CHARS);
        if is_key(PUBLISHABLE) {
            Self::Publishable(credential_hash(text))
        } else if is_key(PRIVATE) {
            Self::Private(credential_hash(text))
        } else if is_key(SIGNING) {
            Self::Signing
        } else {
            Self::Unknown
        }
    }
}

/// Making new keys of 32 random bytes, which are handed in.
pub mod mint {
    use super::{
        BASE64_URL_SAFE_NO_PAD, BODY_CHARS, Engine, PRIVATE, PUBLISHABLE, SIGNING, Secret, SecretHash, credential_hash,
    };

    /// A new credential: the text that is shown once, and what is stored of it.
    pub struct Minted {
        /// The whole key.
        pub text: Secret<String>,
        /// Its hash.
        pub hash: SecretHash,
        /// Its last four characters.
        pub hint: String,
    }

    /// A publishable key.
    pub fn publishable(random: [u8; 32]) -> Minted {
        minted(PUBLISHABLE, random)
    }

    /// A private key.
    pub fn private(random: [u8; 32]) -> Minted {
        minted(PRIVATE, random)
    }

    /// Characters of a signing key's secret.
    pub const SIGNING_CHARS: usize = SIGNING.len() + BODY_CHARS;

    /// A signing key's secret. The HMAC key is the whole text, prefix included.
    pub fn signing(random: [u8; 32]) -> Secret<String> {
        minted(SIGNING, random).text
    }

    /// The value of a sign-in's cookie.
    pub fn cookie(random: [u8; 32]) -> Minted {
        minted("", random)
    }

    fn minted(prefix: &str, random: [u8; 32]) -> Minted {
        let text = format!("{prefix}{}", BASE64_URL_SAFE_NO_PAD.encode(random));
        let hint = text.get(text.len() - 4..).unwrap_or_default().to_owned();
        Minted { hash: credential_hash(&text), hint, text: Secret::new(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Credential, mint};

    #[test]
    fn a_minted_key_is_recognised_by_its_prefix_and_length() {
        let key = mint::private([3; 32]);
        assert!(matches!(Credential::parse(key.text.expose()), Credential::Private(hash) if hash == key.hash));
        let key = mint::publishable([3; 32]);
        assert!(matches!(Credential::parse(key.text.expose()), Credential::Publishable(hash) if hash == key.hash));
        assert!(matches!(Credential::parse(mint::signing([3; 32]).expose()), Credential::Signing));
        for text in
            ["", "mvi_priv_", "mvi_sign_", "mvi_pub_short", "Mvi_pub_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]
        {
            assert!(matches!(Credential::parse(text), Credential::Unknown), "{text}");
        }
    }

    #[test]
    fn private_keys_are_found_wherever_they_stand() {
        let (one, other) = (mint::private([3; 32]), mint::private([4; 32]));
        let text = format!("mvi_priv_é&a={}&b=mvi_priv_{}", one.text.expose(), other.text.expose());
        let found: Vec<_> = Credential::private_in(&text).collect();
        assert!(found.contains(&one.hash) && found.contains(&other.hash));
        assert_eq!(Credential::private_in("key=mvi_priv_short").count(), 0);
    }
}
