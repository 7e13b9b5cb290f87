//! The certificate that the webhook shows, from files which somebody may replace at any time: cert-manager writes a Secret anew, and the
//! kubelet swaps the folder that it is mounted as.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::time::MissedTickBehavior;

use super::metrics::Metrics;
use super::validity::{Validity, written};
use crate::clock;
use crate::pip::disk::Disk;

/// The longest file, in bytes. A chain has a few KiB.
const MAX_BYTES: u64 = 256 * 1024;
/// How often the files are looked at. They are short, and a look costs next to nothing.
const LOOK: Duration = Duration::from_millis(500);

/// Where a certificate with its chain, and its private key, are kept in PEM (RFC 7468).
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// What is in the files.
#[derive(Clone, PartialEq, Eq)]
struct Content {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// A certificate and the key that belongs to it.
pub(super) struct Pair {
    certified: Arc<CertifiedKey>,
    pub validity: Validity,
    content: Content,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").field("validity", &self.validity).finish_non_exhaustive()
    }
}

/// What new connections are shown.
#[derive(Debug)]
pub(super) struct Certificates(ArcSwap<Pair>);

impl Certificates {
    pub fn new(pair: Pair) -> Self {
        Self(ArcSwap::from_pointee(pair))
    }

    /// From when to when the one that is shown now is valid.
    pub fn validity(&self) -> Validity {
        self.0.load().validity
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.load().certified))
    }
}

impl Files {
    async fn read(&self, disk: &Disk) -> Result<Content, String> {
        let certificate = disk.read(&self.certificate, MAX_BYTES).await?;
        let key = disk.read(&self.key, MAX_BYTES).await?;
        Ok(Content { certificate, key })
    }

    /// Reads a certificate and its key.
    ///
    /// # Errors
    /// They cannot be read, are not well-formed, or do not belong to each other; in words, with the file and without any of the key.
    pub async fn load(&self) -> Result<Pair, String> {
        let content = self.read(&Disk::default()).await?;
        self.pair(content)
    }

    fn pair(&self, content: Content) -> Result<Pair, String> {
        let failed = |path: &Path, why: &str| format!("{}: {why}", path.display());
        let chain = CertificateDer::pem_slice_iter(&content.certificate).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| failed(&self.certificate, &format!("it is not well-formed PEM: {error}")))?;
        let Some(leaf) = chain.first() else {
            return Err(failed(&self.certificate, "there is no certificate in PEM in it"));
        };
        let validity = Validity::of(leaf).ok_or_else(|| failed(&self.certificate, "its first certificate cannot be read"))?;
        // What is wrong with a key is told without any of it.
        let private = PrivateKeyDer::from_pem_slice(&content.key).map_err(|_| failed(&self.key, "there is no private key in PEM in it"))?;
        let certified = CertifiedKey::from_der(chain, private, &default_provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                failed(&self.key, &format!("the key does not belong to the certificate in {}", self.certificate.display()))
            }
            error => failed(&self.key, &format!("the key or the certificate cannot be used: {error}")),
        })?;
        Ok(Pair { certified: Arc::new(certified), validity, content })
    }
}

/// Follows the files for as long as this is polled. What is not good is told, and the last good pair stays.
pub(super) async fn follow(files: Files, certificates: Arc<Certificates>, metrics: Arc<Metrics>) {
    let disk = Disk::default();
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failures = Failures::default();
    let mut expired = false;
    loop {
        looks.tick().await;
        let current = certificates.0.load_full();
        let look = files.read(&disk).await.and_then(|content| match content == current.content {
            true => Ok(None),
            false => files.pair(content).and_then(|pair| better(&current, pair)).map(Some),
        });
        match look {
            Ok(Some(pair)) => {
                tracing::info!(not_after = written(pair.validity.not_after), "a new certificate is shown from now on");
                metrics.certificate_loaded(Some(&pair.validity));
                certificates.0.store(Arc::new(pair));
                failures = Failures::default();
            }
            Ok(None) => {
                if failures.told.is_some() {
                    tracing::info!("the files of the certificate are good again, and as they were before");
                    metrics.certificate_loaded(Some(&current.validity));
                }
                failures = Failures::default();
            }
            Err(problem) => {
                if let Some(problem) = failures.news(problem) {
                    let not_after = written(current.validity.not_after);
                    tracing::error!(problem, not_after, "the certificate cannot be loaded again; the last good one is still shown");
                    metrics.certificate_loaded(None);
                }
            }
        }
        let problem = certificates.validity().problem(clock::now());
        if let (Some(problem), false) = (&problem, expired) {
            tracing::error!(problem, "API servers refuse this webhook, and with it the pods that it should look at");
        }
        expired = problem.is_some();
    }
}

/// A pair that cannot be used now takes the place of none that can.
fn better(current: &Pair, new: Pair) -> Result<Pair, String> {
    let now = clock::now();
    match new.validity.problem(now) {
        Some(problem) if current.validity.problem(now).is_none() => Err(problem),
        _ => Ok(new),
    }
}

/// What is wrong with the files is told once, and only when a second look finds the same: they may have been just about to change.
#[derive(Default)]
struct Failures {
    seen: Option<String>,
    told: Option<String>,
}

impl Failures {
    fn news(&mut self, problem: String) -> Option<String> {
        let is_settled = self.seen.as_ref() == Some(&problem);
        let is_news = is_settled && self.told.as_ref() != Some(&problem);
        self.seen = Some(problem.clone());
        if is_news {
            self.told = Some(problem.clone());
        }
        is_news.then_some(problem)
    }
}
