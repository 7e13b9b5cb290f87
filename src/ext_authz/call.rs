//! One call, from its headers to its answer.
//!
//! A check nearly always is there as a whole, and decided, when it is first looked at. It can wait for the rest of its message, for a
//! directory, or for its record; all of these waits are bounded, by the caller's deadline too, and so is the number of those who wait:
//! whoever needs not wait finds a place even while somebody fills all the places of those who do.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::Body;

use super::message::{self, NoMessage};
use super::{Asking, AuthorizationServer, Unanswered, Waiting, deadline};
use crate::pdp::decision::Reason;

/// How often directories are asked for one check at most: a route names few targets.
const MAX_QUESTIONS: usize = 8;
/// A check that lay about for this long because there was no processor for it is refused rather than decided: whoever set no deadline
/// does not wait forever either.
const MAX_QUEUED: Duration = Duration::from_secs(1);

/// A call for a decision. To drop it before it is answered is to say that its client went away.
#[derive(Debug)]
pub struct Call {
    server: AuthorizationServer,
    arrived: Instant,
    /// By when it has to be answered; `None`: whenever.
    answer_by: Result<Option<Instant>, deadline::Unreadable>,
    /// There was a place for it.
    is_admitted: bool,
    /// It holds one of the places for those who wait.
    is_waiting: bool,
    is_answered: bool,
    /// What it waits with: its message, and what was decided so far.
    begun: Option<(Bytes, Box<Unanswered>)>,
}

impl AuthorizationServer {
    /// Takes a call in, at its headers.
    #[must_use]
    pub fn begin(&self, headers: &HeaderMap) -> Call {
        let arrived = Instant::now();
        let in_flight = &self.inner.metrics.checks_in_flight;
        in_flight.inc();
        // Two who take the last place at once may both be refused; never are both let in.
        let is_admitted = in_flight.get() <= self.inner.most_checks;
        Call {
            server: self.clone(),
            arrived,
            answer_by: deadline::answer_by(headers, arrived),
            is_admitted,
            is_waiting: false,
            is_answered: false,
            begun: None,
        }
    }
}

impl Call {
    /// Reads the message, decides, and gives the answer in its frame. Whatever happens, there is one.
    pub async fn answer<B>(mut self, body: B) -> Bytes
    where
        B: Body<Data = Bytes>,
    {
        let answer = {
            let mut work = pin!(self.work(body));
            poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
                Ok(poll) => poll.map(Some),
                Err(_) => Poll::Ready(None),
            })
            .await
        };
        // One request that breaks something is refused; the process and everybody else's requests live.
        let answer = answer.unwrap_or_else(|| {
            tracing::error!("a check panicked and was refused");
            self.server.refuse(Reason::InternalError)
        });
        self.is_answered = true;
        answer
    }

    async fn work<B>(&mut self, body: B) -> Bytes
    where
        B: Body<Data = Bytes>,
    {
        let mut reading = pin!(message::read(body, self.server.inner.bounds.message_bytes));
        // Also where the message is of no use: what has arrived is taken off the connection that way.
        let at_once = poll_fn(|context| {
            Poll::Ready(match reading.as_mut().poll(context) {
                Poll::Ready(message) => Some(message),
                Poll::Pending => None,
            })
        })
        .await;
        let mut now = Instant::now();
        let Ok(answer_by) = self.answer_by else { return self.server.refuse(Reason::RequestMalformed) };
        let is_late = |now| answer_by.is_some_and(|by| by <= now);
        if !self.is_admitted {
            return self.server.shed();
        }
        if is_late(now) {
            return self.server.refuse(Reason::DeadlineExceeded);
        }
        if now.duration_since(self.arrived) > MAX_QUEUED {
            return self.server.shed();
        }
        let message = match at_once {
            Some(message) => message,
            None => {
                if !self.may_wait() {
                    return self.server.shed();
                }
                let latest = self.arrived + self.server.inner.bounds.request_timeout;
                let until = answer_by.map_or(latest, |by| by.min(latest));
                let Ok(message) = tokio::time::timeout_at(until.into(), reading).await else {
                    return self.server.refuse(Reason::DeadlineExceeded);
                };
                self.waits_no_more();
                now = Instant::now();
                message
            }
        };
        let message = match message {
            Ok(message) => message,
            Err(NoMessage::Malformed) => return self.server.refuse(Reason::RequestMalformed),
            Err(NoMessage::Broken) => return self.server.refuse(Reason::Cancelled),
        };
        match self.server.attempt(&message, now, Asking::Possible) {
            Ok(answer) => answer,
            Err(waiting) if !self.may_wait() => self.server.give_up(waiting.into_check(), &message, Reason::Overloaded),
            Err(waiting) => Box::pin(self.wait(message, waiting, answer_by, now)).await,
        }
    }

    /// Waits: for a directory, up to its deadline for each question, and for the record.
    async fn wait(&mut self, message: Bytes, mut waiting: Waiting, answer_by: Option<Instant>, started: Instant) -> Bytes {
        let server = self.server.clone();
        let mut questions = 0;
        let mut asked = None;
        loop {
            let (check, wanted) = match waiting {
                Waiting::ForTarget(check, wanted) => (check, wanted),
                Waiting::ForRecord(check, record) => {
                    self.begun = Some((message.clone(), check));
                    let record = match answer_by {
                        Some(by) => record.within(by.saturating_duration_since(Instant::now())),
                        None => record,
                    };
                    let is_recorded = record.is_written().await;
                    let is_late = answer_by.is_some_and(|by| by <= Instant::now());
                    return match self.begun.take() {
                        Some((_, check)) if !is_recorded && is_late => server.give_up(check, &message, Reason::DeadlineExceeded),
                        Some((_, check)) => server.answer(*check, is_recorded),
                        None => server.refuse(Reason::InternalError),
                    };
                }
            };
            // If it was asked before, the directory's deadline has passed. To ask once more would be to wait once more.
            let asking = if questions == MAX_QUESTIONS || asked.as_ref() == Some(&wanted) { Asking::Done } else { Asking::Possible };
            if asking == Asking::Possible {
                self.begun = Some((message.clone(), check));
                let answer = server.inner.live.targets().ask(wanted.clone());
                let is_in_time = match answer_by {
                    Some(by) => tokio::time::timeout_at(by.into(), answer).await.is_ok(),
                    None => {
                        answer.await;
                        true
                    }
                };
                let begun = self.begun.take();
                if let (false, Some((_, check))) = (is_in_time, begun) {
                    return server.give_up(check, &message, Reason::DeadlineExceeded);
                }
                questions += 1;
                asked = Some(wanted);
            }
            #[cfg(test)]
            super::tests::stumble("wait", &message);
            match server.attempt(&message, started, asking) {
                Ok(answer) => return answer,
                Err(next) => waiting = next,
            }
        }
    }

    /// Takes a place among those who wait, if there is one.
    fn may_wait(&mut self) -> bool {
        let waiting = &self.server.inner.metrics.checks_waiting;
        waiting.inc();
        self.is_waiting = true;
        if waiting.get() > self.server.inner.most_waiting {
            self.waits_no_more();
        }
        self.is_waiting
    }

    fn waits_no_more(&mut self) {
        if std::mem::take(&mut self.is_waiting) {
            self.server.inner.metrics.checks_waiting.dec();
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.waits_no_more();
        self.server.inner.metrics.checks_in_flight.dec();
        if self.is_answered {
            return;
        }
        // A decision that nobody waited for is one, too.
        match self.begun.take() {
            Some((message, check)) => drop(self.server.give_up(check, &message, Reason::Cancelled)),
            None => self.server.abandoned(),
        }
    }
}
