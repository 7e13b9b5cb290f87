//! Passwords: Argon2id, off the async workers, and never more of it at once than the machine can bear.

use std::fmt;
use std::sync::Arc;

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _, phc};
use argon2::{Algorithm, Argon2, Params, Version};
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::id::random_secret;

/// The longest password, in bytes: far above any real one, far below what would be a burden to hash.
pub const MAX_PASSWORD: usize = 1024;

/// How many hashes may wait for their turn; beyond that a login is refused at once.
const MAX_WAITING: usize = 64;

/// A password as a client sent it. It is never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

impl Password {
    /// Whether it is too long to be considered.
    pub fn is_too_long(&self) -> bool {
        self.0.len() > MAX_PASSWORD
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Password {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// The cost of a hash.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Memory in KiB.
    memory: u32,
    /// Passes over the memory.
    passes: u32,
    /// Lanes.
    lanes: u32,
}

impl Cost {
    /// The OWASP Password Storage Cheat Sheet's choice for Argon2id: 19 MiB, 2 passes, 1 lane.
    pub const OWASP: Self = Self { memory: 19 * 1024, passes: 2, lanes: 1 };

    /// As cheap as Argon2 allows.
    #[cfg(test)]
    pub const TEST: Self = Self { memory: 8, passes: 1, lanes: 1 };
}

/// Why a password could not be hashed or compared.
#[derive(Debug)]
pub enum PasswordError {
    /// Too many are waiting already.
    Overloaded,
    /// The algorithm or its thread failed.
    Failed(String),
}

impl fmt::Display for PasswordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overloaded => f.write_str("too many password hashes are waiting"),
            Self::Failed(why) => write!(f, "cannot hash a password: {why}"),
        }
    }
}

impl std::error::Error for PasswordError {}

/// Hashes and compares passwords.
pub struct Passwords {
    argon2: Argon2<'static>,
    /// The hash of a password that nobody knows: what a login with an unknown e-mail address is compared with, so that it
    /// takes the same work.
    decoy: Arc<str>,
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Passwords {
    /// Prepares hashing at `cost`, as many at once as there are processors.
    ///
    /// # Errors
    /// When the decoy cannot be made.
    pub async fn new(cost: Cost) -> Result<Self, PasswordError> {
        let params = Params::new(cost.memory, cost.passes, cost.lanes, None).map_err(|error| PasswordError::Failed(error.to_string()))?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let unknown = random_secret().map_err(|error| PasswordError::Failed(error.to_string()))?;
        let mut passwords = Self {
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            decoy: Arc::from(""),
            running: Arc::new(Semaphore::new(processors)),
            waiting: Arc::new(Semaphore::new(MAX_WAITING + processors)),
        };
        passwords.decoy = passwords.hash(Password(unknown)).await?.into();
        Ok(passwords)
    }

    /// The hash of `password` with a new random salt, as a PHC string.
    ///
    /// # Errors
    /// When too many are waiting, or Argon2 fails.
    pub async fn hash(&self, password: Password) -> Result<String, PasswordError> {
        self.run(move |argon2| {
            let hash: phc::PasswordHash = argon2.hash_password(password.0.as_bytes())?;
            Ok(hash.to_string())
        })
        .await?
        .map_err(|error: argon2::password_hash::Error| PasswordError::Failed(error.to_string()))
    }

    /// Whether `password` is the one of `hash`. `None` (no such user) takes the same work and never matches.
    ///
    /// # Errors
    /// When too many are waiting, or Argon2 fails.
    pub async fn verify(&self, password: Password, hash: Option<String>) -> Result<bool, PasswordError> {
        let known = hash.is_some();
        let hash = hash.map_or_else(|| Arc::clone(&self.decoy), Arc::from);
        let matches = self.run(move |argon2| argon2.verify_password(password.0.as_bytes(), &*hash).is_ok()).await?;
        Ok(matches && known)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce(Argon2<'static>) -> T + Send + 'static) -> Result<T, PasswordError> {
        let place = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| PasswordError::Overloaded)?;
        let turn = Arc::clone(&self.running).acquire_owned().await.map_err(|_| PasswordError::Overloaded)?;
        let argon2 = self.argon2.clone();
        // The permits go along: work whose client hung up still runs, and still counts.
        tokio::task::spawn_blocking(move || {
            let result = work(argon2);
            drop((place, turn));
            result
        })
        .await
        .map_err(|error| PasswordError::Failed(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn matches_its_own_password_alone() {
        let passwords = Passwords::new(Cost::TEST).await.unwrap();
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        assert!(passwords.verify("correct horse".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("correct hors".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("".into(), Some(hash)).await.unwrap());
        assert!(!passwords.verify("correct horse".into(), None).await.unwrap());
        assert!(!passwords.verify("x".into(), Some("garbage".to_owned())).await.unwrap());
    }

    #[tokio::test]
    async fn decoy_costs_what_a_real_hash_costs() {
        let passwords = Passwords::new(Cost::TEST).await.unwrap();
        let hash = passwords.hash("x".into()).await.unwrap();
        let cost = |phc: &str| phc.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(cost(&hash), cost(&passwords.decoy));
        assert_ne!(hash, *passwords.decoy);
    }

    #[tokio::test]
    async fn production_cost_is_the_recommended_one() {
        let passwords = Passwords::new(Cost::OWASP).await.unwrap();
        assert!(passwords.decoy.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    }

    #[tokio::test]
    async fn refuses_when_too_many_wait() {
        let passwords = Passwords::new(Cost::TEST).await.unwrap();
        let places = passwords.waiting.available_permits();
        let _held = passwords.waiting.try_acquire_many(places as u32).unwrap();
        let refused = passwords.verify("x".into(), None).await;
        assert!(matches!(refused, Err(PasswordError::Overloaded)));
    }

    #[test]
    fn password_is_never_printed() {
        assert_eq!(format!("{:?}", Password::from("secret")), "Password(..)");
    }
}
