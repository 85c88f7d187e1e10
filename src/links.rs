//! Tokens of links (D7): derived whenever they are needed, never kept.
//!
//! A token is the base64url of HMAC-SHA-256 over purpose, link id and a 256-bit random nonce, under a key of
//! `security.link_key`. The database has the nonce, the key's fingerprint and the token's SHA-256, by which a token that comes
//! back is found; so nothing at rest opens a link, and comparing takes no secret-dependent time.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::store::entities::link;

/// What a link is for; part of what its token is derived from.
pub const PURPOSE_EMAIL: &str = "email_verification";
/// What a link is for with which a DA decides.
pub const PURPOSE_DECISION: &str = "da_decision";

/// The keys under which tokens are derived: the first signs, the others keep earlier links working.
#[derive(Debug, Clone)]
pub struct LinkKeys {
    keys: Vec<Key>,
}

#[derive(Debug, Clone)]
struct Key {
    id: String,
    secret: SecretString,
}

/// A link's secret parts, for the database.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The nonce in hexadecimal digits.
    pub nonce: String,
    /// The key's fingerprint.
    pub key_id: String,
    /// The token's digest.
    pub token_digest: String,
}

impl LinkKeys {
    /// The keys, the signing one first; `None` if there is none.
    pub fn new(secrets: Vec<SecretString>) -> Option<Self> {
        let keys: Vec<_> = secrets
            .into_iter()
            .map(|secret| Key {
                id: fingerprint(&secret),
                secret,
            })
            .collect();
        (!keys.is_empty()).then_some(Self { keys })
    }

    /// Makes the secret parts of the link `id` from the random `nonce`: each link has its own (R54).
    pub fn issue(&self, purpose: &str, id: Uuid, nonce: [u8; 32]) -> Issued {
        // `new` sees to it that there is a key.
        let key = &self.keys[0];
        let nonce = hex(&nonce);
        Issued {
            token_digest: digest(&token(key, purpose, id, &nonce)),
            key_id: key.id.clone(),
            nonce,
        }
    }

    /// Whether the link's key is still configured: without it the link is void.
    pub fn know(&self, link: &link::Model) -> bool {
        self.keys.iter().any(|key| key.id == link.key_id)
    }

    /// The token of a link; `None` when its key is configured no more, and so the link is void.
    pub fn token(&self, link: &link::Model) -> Option<String> {
        let key = self.keys.iter().find(|key| key.id == link.key_id)?;
        let id = Uuid::parse_str(&link.id).ok()?;
        Some(token(key, &link.purpose, id, &link.nonce))
    }
}

fn token(key: &Key, purpose: &str, id: Uuid, nonce: &str) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.secret.expose_secret().as_bytes()).expect("HMAC takes keys of any length");
    for part in [purpose.as_bytes(), b"\0", id.as_bytes(), b"\0", nonce.as_bytes()] {
        mac.update(part);
    }
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

/// What the database knows of a token.
pub fn digest(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

/// Tells keys apart without telling anything about them.
fn fingerprint(secret: &SecretString) -> String {
    let mut hash = Sha256::new();
    hash.update(b"enrolld link key\0");
    hash.update(secret.expose_secret().as_bytes());
    hex(&hash.finalize()[..8])
}

/// Hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid::from_u128(7);

    fn keys(secrets: &[&str]) -> LinkKeys {
        LinkKeys::new(secrets.iter().map(|&secret| SecretString::from(secret)).collect()).expect("there are keys")
    }

    fn stored(issued: Issued) -> link::Model {
        link::Model {
            id: ID.to_string(),
            registration_id: "reg-1".to_owned(),
            purpose: PURPOSE_EMAIL.to_owned(),
            nonce: issued.nonce,
            key_id: issued.key_id,
            token_digest: issued.token_digest,
            account_id: None,
            valid_until_ms: None,
            created_ms: 0,
        }
    }

    #[test]
    fn d7_a_token_is_derived_again_and_found_by_its_digest() {
        let keys = keys(&["first key of some length"]);
        let link = stored(keys.issue(PURPOSE_EMAIL, ID, [7; 32]));
        let token = keys.token(&link).expect("the key is there");
        assert_eq!(token.len(), 43, "256 bits in base64url");
        assert_eq!(digest(&token), link.token_digest);
    }

    #[test]
    fn d7_the_first_key_signs_and_the_others_still_open() {
        let old = keys(&["old key"]);
        let link = stored(old.issue(PURPOSE_EMAIL, ID, [1; 32]));
        let rotated = keys(&["new key", "old key"]);
        assert_eq!(rotated.token(&link), old.token(&link));
        assert_ne!(rotated.issue(PURPOSE_EMAIL, ID, [1; 32]).key_id, link.key_id);
        assert_eq!(keys(&["new key"]).token(&link), None);
    }

    #[test]
    fn d7_tokens_differ_by_purpose_id_and_nonce() {
        let keys = keys(&["key"]);
        let digests = [
            keys.issue(PURPOSE_EMAIL, ID, [1; 32]).token_digest,
            keys.issue("other", ID, [1; 32]).token_digest,
            keys.issue(PURPOSE_EMAIL, Uuid::from_u128(8), [1; 32]).token_digest,
            keys.issue(PURPOSE_EMAIL, ID, [2; 32]).token_digest,
        ];
        let distinct: std::collections::HashSet<_> = digests.iter().collect();
        assert_eq!(distinct.len(), digests.len());
    }
}
