//! Signing keys: RSA-2048, one that signs, all of them published.

use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use jsonwebtoken::DecodingKey;
use serde::Serialize;

use super::clock::UnixTime;
use super::error::StartError;
use super::settings::sha256;
use super::store::{KeyRemoval, Store, StoreError, StoredKey};

/// A key could not be made, read or used. The libraries tell nothing more, on purpose.
#[derive(Debug)]
pub struct KeyError(pub &'static str);

impl std::fmt::Display for KeyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for KeyError {}

impl From<KeyError> for StoreError {
    fn from(error: KeyError) -> Self {
        Self::Corrupt(error.to_string())
    }
}

/// One key as the JWK Set shows it (RFC 7517 section 4, RFC 7518 section 6.3.1).
#[derive(Clone, Debug, Serialize)]
struct Jwk {
    kty: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: &'static str,
    kid: String,
    n: String,
    e: String,
}

/// One key, ready for use.
pub struct Key {
    /// Its name in the header of tokens.
    pub kid: String,
    /// When it was made.
    pub created_at: UnixTime,
    /// The public half, for our own API.
    pub verification: DecodingKey,
    pair: RsaKeyPair,
    jwk: Jwk,
}

impl Key {
    fn read(pkcs8: &[u8], created_at: UnixTime) -> Result<Self, KeyError> {
        let pair = RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| KeyError("a stored signing key is unreadable"))?;
        let public = PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
        let (n, e) = (URL_SAFE_NO_PAD.encode(&public.n), URL_SAFE_NO_PAD.encode(&public.e));
        let kid = thumbprint(&n, &e);
        Ok(Self {
            verification: DecodingKey::from_rsa_raw_components(&public.n, &public.e),
            pair,
            created_at,
            jwk: Jwk { kty: "RSA", usage: "sig", alg: "RS256", kid: kid.clone(), n, e },
            kid,
        })
    }

    /// The RS256 signature of `message` (RFC 7518 section 3.3).
    ///
    /// # Errors
    /// When the library refuses.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let random = aws_lc_rs::rand::SystemRandom::new();
        self.pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(|_| KeyError("cannot sign"))?;
        Ok(signature)
    }
}

/// The name of a key: its JWK thumbprint (RFC 7638), so one key never has two names nor one name two keys.
fn thumbprint(n: &str, e: &str) -> String {
    // Members in lexicographic order, no white space: RFC 7638 section 3.
    let canonical = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
    URL_SAFE_NO_PAD.encode(sha256(canonical.as_bytes()))
}

/// All keys at one moment.
pub struct KeySet {
    /// Newest first.
    keys: Vec<Arc<Key>>,
    signing: Arc<Key>,
    jwks: Bytes,
    etag: String,
}

impl KeySet {
    fn read(stored: &[StoredKey]) -> Result<Self, StoreError> {
        let mut keys = Vec::with_capacity(stored.len());
        let mut signing = None;
        for StoredKey { kid, pkcs8, created_at, signing: signs } in stored {
            let key = Arc::new(Key::read(pkcs8, *created_at)?);
            if key.kid != *kid {
                return Err(KeyError("a stored signing key has the name of another one").into());
            }
            if *signs {
                signing = Some(Arc::clone(&key));
            }
            keys.push(key);
        }
        let signing = signing.ok_or(KeyError("no stored key is the one that signs"))?;

        #[derive(Serialize)]
        struct JwkSet<'a> {
            keys: Vec<&'a Jwk>,
        }
        let jwks = serde_json::to_vec(&JwkSet { keys: keys.iter().map(|key| &key.jwk).collect() })?;
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(sha256(&jwks)));
        Ok(Self { keys, signing, jwks: jwks.into(), etag })
    }

    /// The key that signs new tokens.
    pub fn signing(&self) -> &Key {
        &self.signing
    }

    /// The key of that name.
    pub fn find(&self, kid: &str) -> Option<&Key> {
        self.keys.iter().map(Arc::as_ref).find(|key| key.kid == kid)
    }

    /// All keys, newest first.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().map(Arc::as_ref)
    }

    /// The JWK Set document (RFC 7517 section 5).
    pub fn jwks(&self) -> Bytes {
        self.jwks.clone()
    }

    /// The document's entity tag, quotes included.
    pub fn etag(&self) -> &str {
        &self.etag
    }
}

/// The present keys, in memory as in the database.
pub struct KeyRing {
    current: RwLock<Arc<KeySet>>,
    /// Held from the change in the database to the change in memory.
    changing: tokio::sync::Mutex<()>,
}

impl KeyRing {
    /// Reads the keys from the database, where the first one is made if there is none.
    ///
    /// # Errors
    /// When a key cannot be made or read.
    pub async fn load(store: &Store, now: UnixTime) -> Result<Arc<Self>, StartError> {
        let mut stored = store.signing_keys().await?;
        if stored.is_empty() {
            let (kid, pkcs8) = generate().await?;
            stored = store.add_signing_key(kid, pkcs8, now).await?;
        }
        Ok(Arc::new(Self { current: RwLock::new(Arc::new(KeySet::read(&stored)?)), changing: tokio::sync::Mutex::new(()) }))
    }

    /// The keys as they are now.
    pub fn current(&self) -> Arc<KeySet> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a new key that signs from now on; the older ones stay published. Returns the new key's name.
    ///
    /// # Errors
    /// When the key cannot be made or stored; the old one signs on.
    pub async fn rotate(self: &Arc<Self>, store: &Store, now: UnixTime) -> Result<String, StoreError> {
        let (ring, store) = (Arc::clone(self), store.clone());
        to_the_end(async move {
            let (kid, pkcs8) = generate().await?;
            let _changing = ring.changing.lock().await;
            let stored = store.add_signing_key(kid.clone(), pkcs8, now).await?;
            ring.replace(KeySet::read(&stored)?);
            Ok(kid)
        })
        .await
    }

    /// Removes a key that does not sign: its tokens no longer verify.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn remove(self: &Arc<Self>, store: &Store, kid: String) -> Result<KeyRemoval, StoreError> {
        let (ring, store) = (Arc::clone(self), store.clone());
        to_the_end(async move {
            let _changing = ring.changing.lock().await;
            let (removal, stored) = store.remove_signing_key(kid).await?;
            if removal == KeyRemoval::Removed {
                ring.replace(KeySet::read(&stored)?);
            }
            Ok(removal)
        })
        .await
    }

    fn replace(&self, keys: KeySet) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }
}

/// Runs a change in a task of its own: a client that hangs up must not leave memory behind the database.
async fn to_the_end<T: Send + 'static>(change: impl Future<Output = Result<T, StoreError>> + Send + 'static) -> Result<T, StoreError> {
    tokio::spawn(change).await.map_err(|error| StoreError::Thread(error.to_string()))?
}

/// A new key: its name and its PKCS#8 form. Takes a noticeable fraction of a second.
async fn generate() -> Result<(String, Vec<u8>), StoreError> {
    tokio::task::spawn_blocking(|| {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyError("cannot generate a signing key"))?;
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyError("cannot encode a signing key"))?;
        let pkcs8 = pkcs8.as_ref().to_vec();
        Ok((Key::read(&pkcs8, 0)?.kid, pkcs8))
    })
    .await
    .map_err(|error| StoreError::Thread(error.to_string()))?
}

#[cfg(test)]
mod tests {
    use super::super::store::Database;
    use super::*;

    #[test]
    fn thumbprint_is_that_of_rfc_7638() {
        // RFC 7638 section 3.1.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        assert_eq!(thumbprint(n, "AQAB"), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[tokio::test]
    async fn rotation_and_removal_survive_a_restart() {
        let store = Store::open(&Database::Memory, 60).await.unwrap();
        let ring = KeyRing::load(&store, 1).await.unwrap();
        let first = ring.current().signing().kid.clone();
        let second = ring.rotate(&store, 2).await.unwrap();
        assert_ne!(first, second);
        assert_eq!(ring.current().signing().kid, second);
        assert!(ring.current().find(&first).is_some());

        let again = KeyRing::load(&store, 3).await.unwrap();
        assert_eq!(again.current().signing().kid, second);
        assert_eq!(again.current().jwks(), ring.current().jwks());

        assert_eq!(ring.remove(&store, second).await.unwrap(), KeyRemoval::Signing);
        assert_eq!(ring.remove(&store, first.clone()).await.unwrap(), KeyRemoval::Removed);
        assert_eq!(ring.remove(&store, first.clone()).await.unwrap(), KeyRemoval::Unknown);
        assert!(ring.current().find(&first).is_none());
        assert_ne!(again.current().etag(), ring.current().etag());
    }

    #[tokio::test]
    async fn jwks_shows_public_members_alone() {
        let store = Store::open(&Database::Memory, 60).await.unwrap();
        let ring = KeyRing::load(&store, 1).await.unwrap();
        let jwks: serde_json::Value = serde_json::from_slice(&ring.current().jwks()).unwrap();
        let key = jwks["keys"][0].as_object().unwrap();
        let mut members: Vec<&str> = key.keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, ["alg", "e", "kid", "kty", "n", "use"]);
        assert_eq!((&key["e"], key["n"].as_str().unwrap().len()), (&"AQAB".into(), 342));
    }
}
