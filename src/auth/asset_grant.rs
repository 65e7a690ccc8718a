//! The grant inside an asset URL: self-verifying, expiring, bound to one video. The format is published with test
//! vectors in `docs/asset-urls.md`; every input of the MAC stands in the URL itself.
//!
//! ```text
//! p1.<asset key>.<epoch>.<session>.<authority>.<started>.<expires>.<ends>.<mac>
//! ```

use super::Secret;
use super::crypto::{hmac_matches, hmac_sha256};
use crate::domain::{SessionId, SigningKeyId, Timestamp, VideoId};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// Stands before everything the MAC covers, so that no other use of the secret can produce the same input.
const LABEL: &str = "screener asset grant v1";
/// Longest text of a grant, in bytes: every field at its longest.
const MAX_CHARS: usize = 256;

/// What a grant is for. A class of URL takes no other purpose than its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Everything that playing one video needs.
    Play,
    /// Prolonging the session; never part of an asset URL.
    Renew,
}

impl Purpose {
    /// Purpose and version, the grant's first field.
    fn tag(self) -> &'static str {
        match self {
            Self::Play => "p1",
            Self::Renew => "r1",
        }
    }
}

/// What one viewing was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What it is for.
    pub purpose: Purpose,
    /// The video.
    pub video: VideoId,
    /// The video's access epoch at the time.
    pub epoch: u32,
    /// The playback session.
    pub session: SessionId,
    /// The signing key whose token opened the session; `None` for a public video.
    pub authority: Option<SigningKeyId>,
    /// When it was signed; for renewing, when the session began (whole seconds).
    pub started_at: Timestamp,
    /// Until when the grant is good by itself (whole seconds).
    pub expires_at: Timestamp,
    /// When the session ends whatever happens (whole seconds).
    pub ends_at: Timestamp,
    /// How the key is named that signed it; `None` in one that is yet to be signed.
    pub asset_key: Option<String>,
}

/// The server secrets that sign grants, newest first: the first signs, all verify.
pub struct AssetKeyring(Vec<(String, Secret<Vec<u8>>)>);

impl AssetKeyring {
    /// From pairs of short id and secret, newest first.
    pub fn new(keys: Vec<(String, Secret<Vec<u8>>)>) -> Self {
        Self(keys)
    }

    /// The grant as it stands in URLs; `None` while there is no key to sign with.
    pub fn sign(&self, grant: &Grant) -> Option<String> {
        let (id, secret) = self.0.first()?;
        let fields = grant.fields(id);
        let mac = hmac_sha256(secret.expose(), input(&grant.video.to_string(), &fields).as_bytes());
        Some(format!("{fields}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac)))
    }

    /// The grant that `text` is for `video`, both exactly as they stand in the URL; `None` unless its MAC holds.
    pub fn verify(&self, video: &str, text: &str) -> Option<Grant> {
        if text.len() > MAX_CHARS {
            return None;
        }
        let (fields, mac) = text.rsplit_once('.')?;
        let id = fields.split('.').nth(1)?;
        let (_, secret) = self.0.iter().find(|(other, _)| other == id)?;
        // Decoding refuses stray bits in the last character, so that each MAC has one spelling.
        let mac = BASE64_URL_SAFE_NO_PAD.decode(mac).ok()?;
        if !hmac_matches(secret.expose(), input(video, fields).as_bytes(), &mac) {
            return None;
        }
        Grant::read(video, fields)
    }
}

fn input(video: &str, fields: &str) -> String {
    format!("{LABEL}\n{video}\n{fields}")
}

impl Grant {
    /// Whether whatever takes the ground from one takes it from the other: they differ in their times at most.
    pub fn falls_with(&self, other: &Self) -> bool {
        (self.video, self.epoch, self.session, self.authority, &self.asset_key)
            == (other.video, other.epoch, other.session, other.authority, &other.asset_key)
    }

    fn fields(&self, key: &str) -> String {
        let authority = self.authority.map_or_else(|| "-".to_owned(), |id| id.to_string());
        format!(
            "{}.{key}.{}.{}.{}.{}.{}.{}",
            self.purpose.tag(),
            self.epoch,
            self.session,
            authority,
            self.started_at.secs(),
            self.expires_at.secs(),
            self.ends_at.secs()
        )
    }

    /// Reads fields whose MAC has been checked: we wrote them, so `None` means another version's format.
    fn read(video: &str, fields: &str) -> Option<Self> {
        let seconds = |text: &str| text.parse::<i64>().ok().map(Timestamp::from_secs);
        let mut field = fields.split('.');
        let tag = field.next()?;
        let purpose = [Purpose::Play, Purpose::Renew].into_iter().find(|purpose| purpose.tag() == tag)?;
        let asset_key = Some(field.next()?.to_owned());
        let grant = Self {
            purpose,
            video: VideoId::parse(video)?,
            epoch: field.next()?.parse().ok()?,
            session: SessionId::parse(field.next()?)?,
            authority: match field.next()? {
                "-" => None,
                id => Some(SigningKeyId::parse(id)?),
            },
            started_at: seconds(field.next()?)?,
            expires_at: seconds(field.next()?)?,
            ends_at: seconds(field.next()?)?,
            asset_key,
        };
        field.next().is_none().then_some(grant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant() -> Grant {
        Grant {
            purpose: Purpose::Play,
            video: VideoId::parse("0b9f3a52-6f0c-4a53-9d3e-0f8f4f5f7c11").unwrap(),
            epoch: 3,
            session: SessionId::parse("5d7f3c1e-9a44-4c1b-8b43-2d6a1f0e9b77").unwrap(),
            authority: Some(SigningKeyId::parse("c2a1e0d4-77b8-4f4e-b0cf-3b6f5a1d2e90").unwrap()),
            started_at: Timestamp::from_secs(1_795_500_000),
            expires_at: Timestamp::from_secs(1_795_500_300),
            ends_at: Timestamp::from_secs(1_795_543_200),
            asset_key: Some("a1b2c3d4".into()),
        }
    }

    fn ring() -> AssetKeyring {
        AssetKeyring::new(vec![("a1b2c3d4".into(), Secret::new((0..32).collect()))])
    }

    /// The published vectors: `docs/asset-urls.md` is held to them.
    #[test]
    fn the_published_test_vectors_hold() {
        let document = include_str!("../../docs/asset-urls.md");
        let public = Grant { authority: None, epoch: 0, ..grant() };
        let renew = Grant { purpose: Purpose::Renew, ..grant() };
        for grant in [grant(), public, renew] {
            let text = ring().sign(&grant).unwrap();
            assert!(document.contains(&text), "docs/asset-urls.md lacks the vector {text}");
            assert_eq!(ring().verify(&grant.video.to_string(), &text), Some(grant));
        }
    }

    #[test]
    fn changing_any_character_of_grant_or_video_breaks_it() {
        let (video, text) = (grant().video.to_string(), ring().sign(&grant()).unwrap());
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~%/";
        for (at, _) in text.char_indices() {
            for other in alphabet.chars().filter(|other| !text[at..].starts_with(*other)) {
                let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
                assert_eq!(ring().verify(&video, &changed), None, "{changed}");
            }
            let shortened = format!("{}{}", &text[..at], &text[at + 1..]);
            assert_eq!(ring().verify(&video, &shortened), None, "{shortened}");
        }
        for (at, _) in video.char_indices() {
            for other in alphabet.chars().filter(|other| !video[at..].starts_with(*other)) {
                let changed = format!("{}{other}{}", &video[..at], &video[at + 1..]);
                assert_eq!(ring().verify(&changed, &text), None, "{changed}");
            }
        }
    }

    #[test]
    fn several_keys_verify_and_the_newest_signs() {
        let old = ring().sign(&grant()).unwrap();
        let rotated = AssetKeyring::new(vec![
            ("ffffffff".into(), Secret::new(vec![7; 32])),
            ("a1b2c3d4".into(), Secret::new((0..32).collect())),
        ]);
        assert_eq!(rotated.verify(&grant().video.to_string(), &old), Some(grant()));
        assert!(rotated.sign(&grant()).unwrap().starts_with("p1.ffffffff."));
        assert_eq!(AssetKeyring::new(vec![]).sign(&grant()), None);
    }
}
