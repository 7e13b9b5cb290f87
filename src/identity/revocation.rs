//! The revocation feed: full, in steps, and held until there is something to say.

use std::time::Duration;

use tokio::time::Instant;

use super::Identity;
use super::error::ApiError;
use super::store::{Cursor, FeedPage};

/// The longest that a request is held. A longer wish is cut to this.
pub const MAX_WAIT: Duration = Duration::from_secs(60);

/// What a client knows of the feed, and how long it is willing to wait for more.
#[derive(Debug)]
pub struct FeedQuestion {
    /// The position up to which it knows the feed.
    pub since: Option<Cursor>,
    /// Whether it already holds the answer with this entity tag.
    pub holds: EntityTags,
    /// How long to wait for news.
    pub wait: Duration,
}

/// The entity tags of an `If-None-Match` header (RFC 9110 section 13.1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntityTags(Vec<String>);

impl EntityTags {
    /// Reads the header's values, all of its lines.
    pub fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        // Weak comparison ignores the W/ (RFC 9110 section 8.8.3.2).
        let tags = lines.flat_map(|line| line.split(',')).map(|tag| tag.trim()).map(|tag| tag.strip_prefix("W/").unwrap_or(tag).to_owned());
        Self(tags.collect())
    }

    /// Whether `tag` (quotes included) is among them; `*` is any.
    pub fn contain(&self, tag: &str) -> bool {
        self.0.iter().any(|known| known == tag || known == "*")
    }
}

/// The entity tag of the feed at a position: the position in quotes.
pub fn entity_tag(cursor: &Cursor) -> String {
    format!("\"{cursor}\"")
}

impl Identity {
    /// The feed as the client needs it. When it knows everything already, the answer waits for news, for the end of the
    /// client's patience, or for the end of the service, whichever comes first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revocations(&self, question: FeedQuestion) -> Result<FeedPage, ApiError> {
        let FeedQuestion { since, holds, wait } = question;
        let deadline = Instant::now() + wait.min(MAX_WAIT);
        // Subscribed before the first look, so that nothing falls between the look and the wait.
        let mut head = self.store.watch_head();
        loop {
            head.mark_unchanged();
            let page = self.store.feed(since.clone(), self.clock.now()).await?;
            let known = !page.full && since.as_ref() == Some(&page.cursor);
            let held = holds.contain(&entity_tag(&page.cursor));
            if !(known || held) || Instant::now() >= deadline {
                return Ok(page);
            }
            tokio::select! {
                changed = head.changed() => {
                    if changed.is_err() {
                        return Ok(page);
                    }
                }
                () = tokio::time::sleep_until(deadline) => return Ok(page),
                () = self.stopping.cancelled() => return Ok(page),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_are_read_from_lists_lines_and_weak_forms() {
        let tags = EntityTags::parse(["\"a-1\", W/\"b-2\"", "\"c-3\""].into_iter());
        for tag in ["\"a-1\"", "\"b-2\"", "\"c-3\""] {
            assert!(tags.contain(tag), "{tag}");
        }
        assert!(!tags.contain("\"d-4\""));
        assert!(!tags.contain("a-1"));
        assert!(EntityTags::parse(["*"].into_iter()).contain("\"a-1\""));
        assert!(!EntityTags::default().contain("\"a-1\""));
    }
}
