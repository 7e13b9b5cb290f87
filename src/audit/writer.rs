//! The thread that writes. It alone knows the end of the chain, so records get their numbers and hashes here, in the order in which
//! they are written.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};

use tokio::sync::oneshot;

use super::Shared;
use super::chain::{ChainKey, Link};
use super::file::{Change, TrailFile};
use super::record::{self, Event, Outcome};
use crate::clock;
use crate::pdp::decision::Reason;

/// How many records wait together for the disk (`sync: true`).
const MAX_BATCH: usize = 64;
/// How many records about the trail itself wait for it to be writable. There is one for each configuration that comes into force.
const MAX_OWED: usize = 64;

/// What the thread is told.
pub(super) enum Message {
    /// Record a check.
    Check(Entry),
    /// Record something about the trail itself.
    Event(String),
    /// Look whether the file is still there.
    Follow,
    /// The run ends; say when that is written.
    Close(SyncSender<()>),
}

/// A check to be recorded.
pub(super) struct Entry {
    pub id: String,
    /// What the record says, up to what came of the check.
    pub members: String,
    pub outcome: Outcome,
    /// What comes of it if nobody waits any more.
    pub unavailable: Outcome,
    /// Who waits for the record to be written; `None`: nobody.
    pub waits: Option<oneshot::Sender<bool>>,
}

/// A record that was written, and who waits for that.
struct Unsettled {
    id: String,
    waits: oneshot::Sender<bool>,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    file: TrailFile,
    key: ChainKey,
    link: Link,
    /// Whether an answer waits for the disk as well.
    sync: bool,
    /// What has to be said before the next check.
    owed: VecDeque<String>,
    /// What happened to the file, until that is written.
    change: Change,
    unsettled: Vec<Unsettled>,
}

impl Writer {
    /// Goes on from the end of the chain in this file, beginning with `first`.
    pub fn new(shared: Arc<Shared>, (file, link): (TrailFile, Link), key: ChainKey, sync: bool, first: String) -> Self {
        Self { shared, file, key, link, sync, owed: [first].into(), change: Change::None, unsettled: Vec::new() }
    }

    /// Writes until it is told to end.
    pub fn run(mut self, messages: &Receiver<Message>) {
        // What is owed from the start. If it cannot be written now, it comes before the first check.
        self.write(None);
        loop {
            let message = match messages.try_recv() {
                Ok(message) => message,
                Err(TryRecvError::Empty) => {
                    self.settle();
                    let Ok(message) = messages.recv() else { return };
                    message
                }
                Err(TryRecvError::Disconnected) => return,
            };
            match message {
                Message::Check(entry) => {
                    self.shared.queued.fetch_sub(1, Ordering::Relaxed);
                    self.check(entry);
                }
                Message::Event(members) => {
                    self.owe(members);
                    self.write(None);
                }
                Message::Follow => {
                    self.write(None);
                }
                Message::Close(done) => {
                    self.settle();
                    self.owe(record::event(&Event::Stop {}, clock::now()));
                    self.write(None);
                    if let Err(error) = self.file.sync() {
                        self.failed(&error);
                    }
                    // Whoever asked may not wait any more.
                    let _ = done.send(());
                    return;
                }
            }
            if !self.sync || self.unsettled.len() >= MAX_BATCH {
                self.settle();
            }
        }
    }

    fn check(&mut self, entry: Entry) {
        let Entry { id, members, outcome, unavailable, waits } = entry;
        // Nobody waits any more: the deadline has passed, or Envoy ended the check. Then it was not let through.
        let given_up = waits.as_ref().is_some_and(oneshot::Sender::is_closed);
        let outcome = if given_up { record::outcome(unavailable, Some(outcome.reason)) } else { record::outcome(outcome, None) };
        let written = self.write(Some(&format!("{members},{outcome}")));
        let counter = if written { &self.shared.written } else { &self.shared.dropped };
        counter.fetch_add(1, Ordering::Relaxed);
        if !written {
            self.shared.unreported.fetch_add(1, Ordering::Relaxed);
        }
        match waits {
            Some(_) if given_up => {}
            Some(waits) if written => self.unsettled.push(Unsettled { id, waits }),
            Some(waits) => {
                let _ = waits.send(false);
            }
            None => {}
        }
    }

    /// Tells those who wait that their records are written.
    fn settle(&mut self) {
        if self.unsettled.is_empty() {
            return;
        }
        let durable = !self.sync || self.file.sync().map_err(|error| self.failed(&error)).is_ok();
        let mut withdrawn = false;
        for Unsettled { id, waits } in std::mem::take(&mut self.unsettled) {
            if waits.send(durable).is_err() || !durable {
                self.owe(record::event(&Event::Withdrawn { decision_id: &id }, clock::now()));
                withdrawn = true;
            }
        }
        if withdrawn {
            self.write(None);
        }
    }

    fn owe(&mut self, members: String) {
        if self.owed.len() == MAX_OWED {
            self.owed.pop_front();
            self.shared.unreported.fetch_add(1, Ordering::Relaxed);
        }
        self.owed.push_back(members);
    }

    /// Writes what is owed, and then a record. Says whether all of that succeeded.
    fn write(&mut self, members: Option<&str>) -> bool {
        self.try_write(members).map_err(|error| self.failed(&*error)).is_ok()
    }

    fn failed(&self, error: &dyn fmt::Display) {
        self.shared.failed(&error.to_string());
    }

    fn try_write(&mut self, members: Option<&str>) -> Result<(), Box<dyn fmt::Display>> {
        match self.file.follow(&self.link).map_err(boxed)? {
            Change::None => {}
            change => self.change = change,
        }
        let notice = match self.change {
            Change::None => None,
            // Where nothing was recorded yet, there is nothing to continue.
            Change::New if self.link == Link::NONE => None,
            Change::New => Some(Event::Continues {}),
            Change::Altered { expected, found } => {
                tracing::error!(expected, found, "somebody else changed the length of the audit trail's file");
                Some(Event::Altered { expected_bytes: expected, found_bytes: found })
            }
        };
        if let Some(notice) = notice {
            self.put(&record::event(&notice, clock::now()))?;
        }
        self.change = Change::None;
        let records = self.shared.unreported.load(Ordering::Relaxed);
        if records > 0 {
            self.put(&record::event(&Event::Unrecorded { records }, clock::now()))?;
            self.shared.unreported.fetch_sub(records, Ordering::Relaxed);
        }
        while let Some(owed) = self.owed.front().cloned() {
            self.put(&owed)?;
            self.owed.pop_front();
        }
        members.map_or(Ok(()), |members| self.put(members))
    }

    fn put(&mut self, members: &str) -> Result<(), Box<dyn fmt::Display>> {
        let (line, link) = self.key.compose(&self.link, members, self.file.damage().as_ref());
        self.file.append(line.as_bytes()).map_err(boxed)?;
        self.link = link;
        self.shared.recorded(link);
        Ok(())
    }
}

fn boxed<E: fmt::Display + 'static>(error: E) -> Box<dyn fmt::Display> {
    Box::new(error)
}

/// What comes of a check whose record is not written.
pub(super) fn unavailable(status: fn(Reason) -> Option<u16>) -> Outcome {
    Outcome { reason: Reason::AuditUnavailable, status: status(Reason::AuditUnavailable) }
}

#[cfg(test)]
mod tests;
