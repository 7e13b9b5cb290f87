//! A stream, read from its beginning and then from where it was left.

use std::collections::HashMap;

use redis::{Value, cmd, from_redis_value};

use super::connection::Connection;
use super::{MAX_ENTRIES, News, PAGE, failure, invalid, members, missing, too_large};
use crate::pdp::revocation::Batch;
use crate::pip::refresh::Failure;

/// So many of the new entries' times are kept. They are for a histogram, which more would not make any truer.
const MAX_TIMES: usize = 10_000;

/// So many entries more than twice those of the stream may be held. A stream that is cut at its beginning leaves some behind.
const SPARE: u64 = 10_000;

/// The id of an entry: milliseconds since the epoch, and a number.
type Id = (u64, u64);

/// An entry: its id, and its fields with their values.
type Entry = (String, Vec<(Vec<u8>, Vec<u8>)>);

/// What a stream says of itself (`XINFO STREAM`). One that is not there is an empty one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The id of the last entry that was added.
    last: Id,
    length: u64,
    /// How many entries were ever added; `None` before Redis 7.
    added: Option<u64>,
    /// The greatest id of the entries that were taken out one by one; `None` before Redis 7.
    deleted: Option<Id>,
}

/// What has to be read.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    /// What was added.
    More,
    /// Everything, since it is another stream or entries were taken out.
    All,
}

impl State {
    /// What has to be read of a stream that was read when it was in another state.
    ///
    /// A stream that was cut at its beginning is the same stream: what was read of it stays, until it expires, or everything is
    /// read again because too much of it stayed.
    fn step_from(&self, known: &Self) -> Step {
        if self == known {
            return Step::Nothing;
        }
        let was_replaced = self.last < known.last || self.added < known.added;
        if was_replaced || self.deleted != known.deleted {
            return Step::All;
        }
        if self.last > known.last {
            return Step::More;
        }
        if self.added == known.added && self.length < known.length { Step::Nothing } else { Step::All }
    }

    /// Whether any change can be told from it.
    pub(super) fn counts_changes(&self) -> bool {
        self.added.is_some() && self.deleted.is_some()
    }

    /// Whether what was read is all that was added between two states.
    fn accounts_for(&self, known: &Self, read: u64) -> bool {
        match self.added.zip(known.added) {
            Some((now, then)) => now.checked_sub(then) == Some(read),
            None => self.length <= known.length.saturating_add(read),
        }
    }
}

/// Looks at a stream, and reads of it what is new or, if nothing is known of it or it has to be, everything. So many entries are
/// held of it by now.
pub(super) async fn look(
    connection: &Connection,
    key: &str,
    must_exist: bool,
    known: Option<&State>,
    held: usize,
) -> Result<(State, News), Failure> {
    let state = state(connection, key, must_exist).await?;
    if let Some(known) = known.filter(|_| held as u64 <= 2 * state.length + SPARE) {
        match state.step_from(known) {
            Step::Nothing => return Ok((state, News::None)),
            Step::More => {
                let (batch, read, times) = read(connection, key, Some(known.last), state.last).await?;
                if state.accounts_for(known, read) {
                    return Ok((state, News::More(batch, times)));
                }
                // Something else went on: entries were cut off before they were read, or the stream is another one.
            }
            Step::All => {}
        }
    }
    if state.length > MAX_ENTRIES {
        return Err(too_large(state.length));
    }
    let (batch, ..) = read(connection, key, None, state.last).await?;
    Ok((state, News::All(batch)))
}

async fn state(connection: &Connection, key: &str, must_exist: bool) -> Result<State, Failure> {
    let kind: String = connection.ask(cmd("TYPE").arg(key)).await?;
    match kind.as_str() {
        "none" if must_exist => return Err(missing(key)),
        "none" => return Ok(State::default()),
        "stream" => {}
        other => return Err(failure("wrong_type", format!("the key '{key}' is a {other}, and 'stream' reads streams"))),
    }
    let info: HashMap<String, Value> = connection.ask(cmd("XINFO").arg("STREAM").arg(key)).await?;
    parse_state(&info).ok_or_else(|| invalid(key, "Redis does not say how far the stream reaches"))
}

fn parse_state(info: &HashMap<String, Value>) -> Option<State> {
    let number = |name: &str| info.get(name).and_then(|value| from_redis_value::<u64>(value.clone()).ok());
    let id = |name: &str| info.get(name).and_then(|value| parse_id(&from_redis_value::<String>(value.clone()).ok()?));
    Some(State {
        last: id("last-generated-id")?,
        length: number("length")?,
        added: number("entries-added"),
        deleted: id("max-deleted-entry-id"),
    })
}

fn parse_id(text: &str) -> Option<Id> {
    let (millis, number) = text.split_once('-')?;
    Some((millis.parse().ok()?, number.parse().ok()?))
}

/// The id after this one; `None`: there is none.
fn following((millis, number): Id) -> Option<Id> {
    match number.checked_add(1) {
        Some(number) => Some((millis, number)),
        None => Some((millis.checked_add(1)?, 0)),
    }
}

/// Reads the entries after one up to another: what they revoke, how many they are, and when they were added.
async fn read(connection: &Connection, key: &str, after: Option<Id>, last: Id) -> Result<(Batch, u64, Vec<u64>), Failure> {
    let (mut batch, mut read, mut times) = (Batch::default(), 0_u64, Vec::new());
    let mut from = after.map_or(Some((0, 0)), following);
    while let Some((millis, number)) = from.filter(|from| *from <= last) {
        let range = [format!("{millis}-{number}"), format!("{}-{}", last.0, last.1)];
        let page: Vec<Entry> = connection.ask(cmd("XRANGE").arg(key).arg(&range).arg("COUNT").arg(PAGE)).await?;
        let is_last = page.len() < PAGE;
        for (id, fields) in &page {
            let entry = |message: &str| invalid(key, &format!("entry {id}: {message}"));
            batch.push(&members::fields(fields).map_err(|message| entry(&message))?);
            let id = parse_id(id).ok_or_else(|| entry("its id is none"))?;
            if times.len() < MAX_TIMES {
                times.push(id.0);
            }
            from = following(id);
        }
        read += page.len() as u64;
        if read > 2 * MAX_ENTRIES {
            return Err(too_large(read));
        }
        if is_last {
            break;
        }
    }
    Ok((batch, read, times))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(last: u64, length: u64, added: u64) -> State {
        State { last: (last, 0), length, added: Some(added), deleted: Some((0, 0)) }
    }

    #[test]
    fn only_a_stream_that_went_on_is_read_from_where_it_was_left() {
        let known = state(10, 5, 7);
        for (now, step) in [
            (state(10, 5, 7), Step::Nothing),
            (state(12, 7, 9), Step::More),
            // Cut at its beginning, and cut while it went on.
            (state(10, 3, 7), Step::Nothing),
            (state(12, 3, 9), Step::More),
            // Another stream: it is gone, it ends earlier, or fewer entries were ever added.
            (State::default(), Step::All),
            (state(9, 5, 7), Step::All),
            (state(12, 2, 2), Step::All),
            (state(10, 5, 8), Step::All),
            // An entry was taken out.
            (State { deleted: Some((4, 0)), ..state(10, 4, 7) }, Step::All),
            (State { deleted: Some((4, 0)), ..state(12, 4, 9) }, Step::All),
        ] {
            assert_eq!(now.step_from(&known), step, "{now:?}");
        }
        assert_eq!(state(1, 1, 1).step_from(&State::default()), Step::All, "the first entry of a stream that was not there");
    }

    #[test]
    fn what_was_read_has_to_be_what_was_added() {
        let (known, now) = (state(10, 5, 7), state(20, 8, 10));
        assert!(now.accounts_for(&known, 3));
        assert!(!now.accounts_for(&known, 2) && !now.accounts_for(&known, 4));
        // Before Redis 7, which does not count them.
        let old = |state: State| State { added: None, deleted: None, ..state };
        assert!(old(now.clone()).accounts_for(&old(known.clone()), 3));
        assert!(!old(now).accounts_for(&old(known), 2));
    }

    #[test]
    fn ids_follow_each_other() {
        assert_eq!(parse_id("1526919030474-55"), Some((1_526_919_030_474, 55)));
        assert_eq!(parse_id("1526919030474"), None);
        assert_eq!(following((1, 2)), Some((1, 3)));
        assert_eq!(following((1, u64::MAX)), Some((2, 0)));
        assert_eq!(following((u64::MAX, u64::MAX)), None);
    }
}
