//! Revocations in a file: `{"entries": […]}`, each entry as in the feed.
//!
//! JSON, since what is cut short is no JSON: of a list in lines nobody could say whether it is whole. A file that is not there or
//! cannot be read changes nothing, and the last list stays within its bound.

use std::convert::Infallible;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use serde::Deserialize;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::feed::answer::Entries;
use crate::clock;
use crate::config::Source;
use crate::pdp::revocation::{Batch, RevocationData, RevocationList};
use crate::pdp::time::UnixTime;
use crate::pip::disk::{self, Disk, Stamp};
use crate::pip::refresh::{Context, Failure};
use crate::pip::warm_start::News;

/// The largest file: a list of a million entries fits.
const MAX_BYTES: u64 = 160 * 1024 * 1024;
/// How often it is looked at.
const INTERVAL: Duration = Duration::from_secs(1);
/// How soon it is looked at again if it changed while it was being read.
const AGAIN: Duration = Duration::from_millis(100);

/// Keeps what a file says fresh. The list counts as confirmed whenever the file is there and good.
pub async fn refresh(context: &Context, source: &Source, path: &Path, max_staleness: Duration) -> Infallible {
    let path: Arc<Path> = path.into();
    let mut known: Option<Known> = None;
    let (_, mut standby) = super::kept(context, source, max_staleness).await;
    let mut failures = 0;
    loop {
        let looked = Instant::now();
        let pause = match standby.during(look_in_time(&context.disk, &path, known.clone())).await {
            Ok((found, is_new)) => {
                failures = 0;
                context.live.publish_revocations(source.id, Arc::clone(&found.data), looked, max_staleness);
                let news = News { cursor: None, etag: None, confirmed: looked, bound: max_staleness, is_news: is_new };
                context.warm_start.keep_revocations(source.id, &found.list, &news);
                context.metrics.refreshed(&source.issuer, "revocations", if is_new { "ok" } else { "unchanged" });
                if is_new {
                    tracing::debug!(issuer = %source.issuer, file = %path.display(), entries = found.data.len(), "the file of revocations changed");
                }
                known = Some(found);
                INTERVAL
            }
            Err(failure) => {
                failures += 1;
                context.metrics.refreshed(&source.issuer, "revocations", failure.label);
                tracing::warn!(issuer = %source.issuer, file = %path.display(), failures, error = %failure.message, "the file of revocations cannot be used; the last list stays within its bound");
                if failure.label == "changing" { AGAIN } else { INTERVAL }
            }
        };
        sleep(pause.min(max_staleness / 4)).await;
    }
}

/// Whether a file is a list of revocations.
///
/// # Errors
/// It is none, in words.
pub fn check(path: &Path) -> Result<(), String> {
    look(path, None).map(|_| ()).map_err(|failure| failure.message)
}

/// Reads the file once, so that the list is there before the first check. Every failure is left to [`refresh`].
pub async fn read(context: &Context, source: &Source, path: &Path, max_staleness: Duration) {
    let looked = Instant::now();
    if let Ok((found, _)) = look_in_time(&context.disk, &path.into(), None).await {
        context.live.publish_revocations(source.id, found.data, looked, max_staleness);
    }
}

/// What was read.
#[derive(Debug, Clone)]
struct Known {
    stamp: Stamp,
    /// Whether it was read a while after the stamp was new. Two changes within one tick of the file system's clock look alike.
    settled: bool,
    hash: digest::Digest,
    list: RevocationList,
    /// The list as it is published.
    data: Arc<RevocationData>,
}

#[derive(Deserialize)]
struct Document {
    entries: Entries,
    /// An answer of the feed can be put into a file as it is, if it is a whole list.
    full: Option<bool>,
}

/// Looks at the file, reads it if it may have changed, and says whether it did.
fn look(path: &Path, known: Option<Known>) -> Result<(Known, bool), Failure> {
    let now = clock::now();
    read_if_changed(path, known, now).and_then(|read| read.understood(now))
}

/// The same where nobody is kept from answering checks, and with a bound on how long the disk may take.
async fn look_in_time(disk: &Disk, path: &Arc<Path>, known: Option<Known>) -> Result<(Known, bool), Failure> {
    let (path, now) = (Arc::clone(path), clock::now());
    let read = disk.wait(move || read_if_changed(&path, known, now)).await;
    let read = read.map_err(|message| failure("unreadable", format!("it cannot be read: {message}")))??;
    // A list of a million entries takes a second to sort, which is no fault of the disk's.
    let understood = spawn_blocking(move || read.understood(now)).await;
    understood.unwrap_or_else(|error| Err(failure("invalid", error.to_string())))
}

/// What there was to read.
enum Content {
    /// Nothing, since the file is as it was.
    Nothing(Known),
    /// All of it, and what was known before.
    All(Stamp, Vec<u8>, Option<Known>),
}

fn read_if_changed(path: &Path, known: Option<Known>, now: UnixTime) -> Result<Content, Failure> {
    let unreadable = |error: std::io::Error| failure("unreadable", format!("it cannot be read: {error}"));
    let file = disk::open(path).map_err(unreadable)?;
    let stamp = Stamp::of(&file.metadata().map_err(unreadable)?);
    // The clock may have been set back to where entries count again that were forgotten.
    let known = known.filter(|known| known.list.is_complete_at(now));
    let known = match known {
        Some(known) if known.settled && known.stamp == stamp => return Ok(Content::Nothing(known)),
        known => known,
    };
    let mut bytes = Vec::new();
    if stamp.length() <= MAX_BYTES {
        // It may grow meanwhile: one byte more than there may be tells "too large" from "just fits".
        (&file).take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    }
    if stamp.length().max(bytes.len() as u64) > MAX_BYTES {
        return Err(failure("too_large", format!("it has more than {} MiB", MAX_BYTES / (1024 * 1024))));
    }
    if Stamp::of(&file.metadata().map_err(unreadable)?) != stamp {
        return Err(failure("changing", "it changed while it was being read".into()));
    }
    Ok(Content::All(stamp, bytes, known))
}

impl Content {
    /// What the file says, and whether that is new.
    fn understood(self, now: UnixTime) -> Result<(Known, bool), Failure> {
        let (stamp, bytes, known) = match self {
            Self::Nothing(known) => return Ok((known.without_expired(now), false)),
            Self::All(stamp, bytes, known) => (stamp, bytes, known),
        };
        let hash = digest::digest(&digest::SHA256, &bytes);
        match known {
            Some(known) if known.hash.as_ref() == hash.as_ref() => {
                let settled = known.stamp == stamp;
                Ok((Known { stamp, settled, ..known }.without_expired(now), false))
            }
            _ => {
                let list = RevocationList::full(parse(&bytes)?, now);
                Ok((Known { stamp, settled: false, hash, data: Arc::new(list.clone().into()), list }, true))
            }
        }
    }
}

impl Known {
    fn without_expired(mut self, now: UnixTime) -> Self {
        if self.list.has_expired(now) {
            self.list = self.list.without_expired(now);
            self.data = Arc::new(self.list.clone().into());
        }
        self
    }
}

fn parse(bytes: &[u8]) -> Result<Batch, Failure> {
    let Document { entries, full } =
        serde_json::from_slice(bytes).map_err(|error| failure("invalid", format!("it is no list of revocations: {error}")))?;
    if full == Some(false) {
        return Err(failure("invalid", "it says 'full: false', and a file has to be the whole list".into()));
    }
    Ok(entries.batch)
}

fn failure(label: &'static str, message: String) -> Failure {
    Failure { label, message, retry_after: None }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    const ONE: &str = r#"{"entries":[{"type":"sid","id":"a"}]}"#;

    /// Looks twice, as happens within two seconds.
    fn settled(path: &Path) -> Known {
        let (known, is_new) = look(path, None).ok().unwrap();
        assert!(is_new && !known.settled);
        let (known, is_new) = look(path, Some(known)).ok().unwrap();
        assert!(!is_new && known.settled);
        known
    }

    fn label(path: &Path, known: Option<Known>) -> &'static str {
        look(path, known).err().unwrap().label
    }

    #[test]
    fn a_file_that_changed_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("revoked.json");
        fs::write(&path, ONE).unwrap();
        let known = settled(&path);
        assert_eq!(known.data.len(), 1);
        // In place, and by a rename.
        fs::write(&path, r#"{"cursor":"7","full":true,"entries":[{"type":"sid","id":"a"},{"type":"jti","id":"b","by":"me"}]}"#).unwrap();
        let (known, is_new) = look(&path, Some(known)).ok().unwrap();
        assert_eq!((known.data.len(), is_new), (2, true));
        let other = folder.path().join("other.json");
        fs::write(&other, r#"{"entries":[]}"#).unwrap();
        fs::rename(&other, &path).unwrap();
        let (known, is_new) = look(&path, Some(known)).ok().unwrap();
        assert_eq!((known.data.len(), is_new), (0, true));
    }

    #[test]
    fn a_change_of_equal_length_within_one_tick_of_the_clock_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("revoked.json");
        fs::write(&path, ONE).unwrap();
        let (mut known, _) = look(&path, None).ok().unwrap();
        fs::write(&path, ONE.replace('a', "b")).unwrap();
        // As if the file system's clock had not gone on.
        known.stamp = Stamp::of(&fs::metadata(&path).unwrap());
        let (known, is_new) = look(&path, Some(known)).ok().unwrap();
        assert!(is_new && !known.settled);
    }

    #[test]
    fn what_is_no_whole_list_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("revoked.json");
        assert_eq!(label(&path, None), "unreadable");
        assert_eq!(label(folder.path(), None), "unreadable");
        fs::write(&path, ONE).unwrap();
        let known = settled(&path);
        for end in 0..ONE.len() {
            fs::write(&path, &ONE[..end]).unwrap();
            assert_eq!(label(&path, Some(known.clone())), "invalid", "{end}");
        }
        for wrong in [
            "[]",
            "{}",
            "null",
            "sid:a
",
            r#"{"entries":[]}{"entries":[]}"#,
            r#"{"entries":[],"entries":[]}"#,
            r#"{"entries":[],"full":false}"#,
            r#"{"entries":[{"type":"sid","id":"a"},{"type":"user","id":"b"}]}"#,
        ] {
            fs::write(&path, wrong).unwrap();
            assert_eq!(label(&path, Some(known.clone())), "invalid", "{wrong}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(label(&path, Some(known)), "unreadable");
        File::create(&path).unwrap().set_len(MAX_BYTES + 1).unwrap();
        assert_eq!(label(&path, None), "too_large");
    }
}
