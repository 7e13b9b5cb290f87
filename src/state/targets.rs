//! What directories said of people, and the questions to them.
//!
//! This is the one place where a request may wait for somebody else: on routes that ask for it, up to a deadline, and once for
//! all requests that ask the same.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use moka::Expiry;
use moka::sync::Cache;
use tokio::sync::{mpsc, oneshot};

use crate::pdp::target::{Target, TargetFact, TargetKey};
use crate::pdp::token::profile::SourceId;

/// How much memory answers may take, in bytes.
const ANSWER_BYTES: u64 = 32 * 1024 * 1024;
/// How many questions may wait for a directory to take them. More are not asked at all.
const MAX_QUESTIONS: usize = 1024;

/// An answer of a directory.
#[derive(Debug, Clone)]
pub enum TargetAnswer {
    /// Somebody.
    Known(Arc<Target>),
    /// Nobody.
    Unknown,
    /// None that counts. It is remembered for a moment, so that a directory that is down is not asked by every request.
    Failed,
}

#[derive(Debug, Clone)]
struct Entry {
    answer: TargetAnswer,
    good_for: Duration,
}

struct GoodFor;

impl Expiry<TargetKey, Entry> for GoodFor {
    fn expire_after_create(&self, _: &TargetKey, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.good_for)
    }

    fn expire_after_update(&self, _: &TargetKey, entry: &Entry, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(entry.good_for)
    }
}

/// A question, and where it is said that there is an answer.
#[derive(Debug)]
pub struct Question {
    /// Whom it is about.
    pub key: TargetKey,
    /// Completed, or dropped, when there is an answer.
    pub answered: oneshot::Sender<()>,
}

#[derive(Debug)]
struct Directory {
    questions: mpsc::Sender<Question>,
    deadline: Duration,
}

/// Answers and questions.
#[derive(Debug)]
pub struct Targets {
    answers: Cache<TargetKey, Entry>,
    directories: Mutex<HashMap<SourceId, Directory, RandomState>>,
}

impl Default for Targets {
    fn default() -> Self {
        let weigh = |key: &TargetKey, entry: &Entry| {
            let tenant = key.tenant.as_ref().map_or(0, |tenant| tenant.as_str().len());
            let answer = match &entry.answer {
                TargetAnswer::Known(target) => {
                    target.roles.iter().map(|role| role.len() + 16).sum::<usize>() + target.attributes.weight() + size_of::<Target>()
                }
                TargetAnswer::Unknown | TargetAnswer::Failed => 0,
            };
            // About what the cache itself adds for an entry.
            u32::try_from(key.user.len() + tenant + answer + 256).unwrap_or(u32::MAX)
        };
        let answers = Cache::builder().max_capacity(ANSWER_BYTES).weigher(weigh).expire_after(GoodFor).build();
        Self { answers, directories: Mutex::default() }
    }
}

impl Targets {
    /// What is known of somebody at the moment.
    #[must_use]
    pub fn get(&self, key: &TargetKey) -> TargetFact {
        match self.answers.get(key).map(|entry| entry.answer) {
            Some(TargetAnswer::Known(target)) => TargetFact::Known(target),
            Some(TargetAnswer::Unknown) => TargetFact::Unknown,
            Some(TargetAnswer::Failed) => TargetFact::Failed,
            None => TargetFact::NotAsked,
        }
    }

    /// Remembers an answer.
    pub fn publish(&self, key: TargetKey, answer: TargetAnswer, good_for: Duration) {
        self.answers.insert(key, Entry { answer, good_for });
    }

    /// Takes over the questions to a directory; requests wait for answers up to the deadline.
    pub fn serve(&self, directory: SourceId, deadline: Duration) -> mpsc::Receiver<Question> {
        let (questions, receiver) = mpsc::channel(MAX_QUESTIONS);
        self.directories().insert(directory, Directory { questions, deadline });
        receiver
    }

    /// A directory is not asked any more.
    pub fn forget(&self, directory: SourceId) {
        self.directories().remove(&directory);
    }

    /// Does what is due, so that the number of answers is right.
    pub fn settle(&self) {
        self.answers.run_pending_tasks();
    }

    /// How many answers are remembered.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.answers.entry_count()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Asks a directory and waits until it answered or the deadline passed; what it said is there then.
    pub async fn ask(&self, key: TargetKey) {
        let (answered, answer) = oneshot::channel();
        let deadline = {
            let directories = self.directories();
            let Some(directory) = directories.get(&key.directory) else { return };
            if directory.questions.try_send(Question { key, answered }).is_err() {
                return;
            }
            directory.deadline
        };
        // Either way, whoever asked looks at what is known then.
        let _ = tokio::time::timeout(deadline, answer).await;
    }

    fn directories(&self) -> std::sync::MutexGuard<'_, HashMap<SourceId, Directory, RandomState>> {
        self.directories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(user: &str) -> TargetKey {
        TargetKey { directory: SourceId(1), tenant: None, user: user.into() }
    }

    #[tokio::test]
    async fn whoever_asks_waits_until_there_is_an_answer() {
        let targets = Arc::new(Targets::default());
        let mut questions = targets.serve(SourceId(1), Duration::from_secs(60));
        let asking = tokio::spawn({
            let targets = Arc::clone(&targets);
            async move {
                targets.ask(key("bob")).await;
                targets.get(&key("bob"))
            }
        });
        let question = questions.recv().await.unwrap();
        assert!(matches!(targets.get(&question.key), TargetFact::NotAsked));
        targets.publish(question.key, TargetAnswer::Unknown, Duration::from_secs(60));
        question.answered.send(()).unwrap();
        assert!(matches!(asking.await.unwrap(), TargetFact::Unknown));
    }

    #[tokio::test]
    async fn nobody_waits_for_a_directory_that_is_not_there_or_has_no_room_or_does_not_answer() {
        let targets = Targets::default();
        targets.ask(key("bob")).await;
        let questions = targets.serve(SourceId(1), Duration::from_millis(1));
        for _ in 0..MAX_QUESTIONS + 1 {
            targets.ask(key("bob")).await;
        }
        drop(questions);
        targets.ask(key("bob")).await;
        assert!(matches!(targets.get(&key("bob")), TargetFact::NotAsked));
    }
}
