//! One call, from its headers to its answer.
//!
//! A check nearly always is decided as soon as its message is there. It can wait for the rest of that, for a directory, or for its
//! record; all of these waits are bounded, by the caller's deadline too, and so is the number of those who wait: whoever needs not wait
//! finds a place even while somebody fills all the places of those who do. See [`Place`].

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::Body;
use prometheus::IntGauge;

use super::message::{self, NoMessage};
use super::{Asking, AuthorizationServer, Unanswered, Waiting, deadline};
use crate::pdp::decision::Reason;

/// How often directories are asked for one check at most: a route names few targets.
const MAX_QUESTIONS: usize = 8;
/// A check that lay about for this long because there was no processor for it is refused rather than decided: whoever set no deadline
/// does not wait forever either.
const MAX_QUEUED: Duration = Duration::from_secs(1);
/// A message often comes a moment after the headers. Who has none after this is one of those who wait.
const MOMENT: Duration = Duration::from_millis(100);

/// A call for a decision. To drop it before it is answered is to say that its client went away.
#[derive(Debug)]
pub struct Call {
    server: AuthorizationServer,
    arrived: Instant,
    /// By when it has to be answered; `None`: whenever.
    answer_by: Result<Option<Instant>, deadline::Unreadable>,
    place: Place,
    is_answered: bool,
    /// What it waits with: its message, and what was decided so far.
    begun: Option<(Bytes, Box<Unanswered>)>,
}

/// What a call takes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing: it is refused, or answered.
    None,
    /// One of the places for checks, of which there are as many as the configuration says. It has one from the beginning, as long as
    /// there is something to do for it.
    InFlight,
    /// Its message is about to come. Of these there may be twice as many.
    Arriving,
    /// A place for checks, and one of the places for those who wait, which are half as many.
    Waiting,
}

impl AuthorizationServer {
    /// Takes a call in, at its headers.
    #[must_use]
    pub fn begin(&self, headers: &HeaderMap) -> Call {
        let arrived = Instant::now();
        self.begin_by(arrived, deadline::answer_by(headers, arrived))
    }

    /// Takes a call in whose caller waits for so long, and does not say so itself.
    #[must_use]
    pub fn begin_within(&self, timeout: Duration) -> Call {
        let arrived = Instant::now();
        self.begin_by(arrived, Ok(Some(deadline::before(timeout, arrived))))
    }

    fn begin_by(&self, arrived: Instant, answer_by: Result<Option<Instant>, deadline::Unreadable>) -> Call {
        let mut call = Call { server: self.clone(), arrived, answer_by, place: Place::None, is_answered: false, begun: None };
        call.take(Place::InFlight);
        call
    }

    /// Whether nothing is in flight.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let metrics = &self.inner.metrics;
        metrics.checks_in_flight.get() == 0 && metrics.checks_arriving.get() == 0
    }

    /// Takes a place if there is one. Two who take the last one at once may both go without; never do both get it.
    fn enter(&self, place: Place) -> bool {
        let inner = &*self.inner;
        let counted = |gauge: &IntGauge, most: i64| {
            gauge.inc();
            let is_free = gauge.get() <= most;
            if !is_free {
                gauge.dec();
            }
            is_free
        };
        match place {
            Place::None => true,
            Place::InFlight => counted(&inner.metrics.checks_in_flight, inner.most_checks),
            Place::Arriving => counted(&inner.metrics.checks_arriving, inner.most_checks.saturating_mul(2)),
            Place::Waiting => {
                let is_free = self.enter(Place::InFlight);
                let both = is_free && counted(&inner.metrics.checks_waiting, inner.most_waiting);
                if is_free && !both {
                    self.leave(Place::InFlight);
                }
                both
            }
        }
    }

    fn leave(&self, place: Place) {
        let metrics = &self.inner.metrics;
        match place {
            Place::None => {}
            Place::InFlight => metrics.checks_in_flight.dec(),
            Place::Arriving => metrics.checks_arriving.dec(),
            Place::Waiting => {
                metrics.checks_waiting.dec();
                metrics.checks_in_flight.dec();
            }
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
            self.refuse_what_broke()
        });
        self.is_answered = true;
        answer
    }

    /// The answer to a call whose work panicked. If that happened while it waited, its route can ask for a record.
    fn refuse_what_broke(&mut self) -> Bytes {
        let begun = self.begun.take();
        let given_up =
            catch_unwind(AssertUnwindSafe(|| begun.map(|(message, check)| self.server.give_up(check, &message, Reason::InternalError))));
        given_up.ok().flatten().unwrap_or_else(|| self.server.refuse(Reason::InternalError))
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
        if self.place == Place::None {
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
                let until = |span| answer_by.map_or(self.arrived + span, |by| by.min(self.arrived + span)).into();
                let (moment, latest) = (until(MOMENT), until(self.server.inner.bounds.request_timeout));
                if !self.take(Place::Arriving) {
                    return self.server.shed();
                }
                let mut message = tokio::time::timeout_at(moment, reading.as_mut()).await;
                if message.is_err() {
                    if !self.take(Place::Waiting) {
                        return self.server.shed();
                    }
                    message = tokio::time::timeout_at(latest, reading).await;
                }
                let Ok(message) = message else { return self.server.refuse(Reason::DeadlineExceeded) };
                if !self.take(Place::InFlight) {
                    return self.server.shed();
                }
                now = Instant::now();
                message
            }
        };
        let message = match message {
            Ok(message) => message,
            Err(NoMessage::Malformed) => return self.server.refuse(Reason::RequestMalformed),
            Err(NoMessage::Broken) => return self.server.broken(),
        };
        match self.server.attempt(&message, now, Asking::Possible) {
            Ok(answer) => answer,
            Err(waiting) if !self.take(Place::Waiting) => self.server.give_up(waiting.into_check(), &message, Reason::Overloaded),
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
                #[cfg(test)]
                super::tests::stumble("wait", &message);
                // From here on the next attempt sees to the record.
                let begun = self.begun.take();
                if let (false, Some((_, check))) = (is_in_time, begun) {
                    return server.give_up(check, &message, Reason::DeadlineExceeded);
                }
                questions += 1;
                asked = Some(wanted);
            }
            match server.attempt(&message, started, asking) {
                Ok(answer) => return answer,
                Err(next) => waiting = next,
            }
        }
    }

    /// Gives up its place for another one, if there is one.
    fn take(&mut self, place: Place) -> bool {
        self.server.leave(std::mem::replace(&mut self.place, Place::None));
        let is_free = self.server.enter(place);
        if is_free {
            self.place = place;
        }
        is_free
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.server.leave(self.place);
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
