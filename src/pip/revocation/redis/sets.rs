//! Sets and sorted sets, read in pieces.
//!
//! `SSCAN` and `ZSCAN` return every member that is there from the first call to the last, whatever else comes and goes; also when
//! the key is replaced by another set meanwhile, since one process scans all its sets in the same order. So a revocation that was
//! there when a read began is in what it brings. A member that came later may be missing, and then the next read brings it; one
//! may come twice, and counts once.

use redis::cmd;

use super::connection::Connection;
use super::{MAX_ENTRIES, PAGE, failure, invalid, members, missing, too_large};
use crate::config::{RedisScores, RevokedIds};
use crate::pdp::revocation::Batch;
use crate::pip::refresh::Failure;

/// What there is under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Nothing. Redis has no empty sets: this is one.
    Missing,
    /// A set of so many members.
    Set(u64),
    /// A sorted set of so many.
    Sorted(u64),
}

impl Shape {
    fn size(self) -> u64 {
        match self {
            Self::Missing => 0,
            Self::Set(size) | Self::Sorted(size) => size,
        }
    }
}

/// Looks what the keys are, without reading them.
pub(super) async fn look(
    connection: &Connection,
    keys: &[Box<str>],
    scores: Option<RedisScores>,
    must_exist: bool,
) -> Result<Vec<Shape>, Failure> {
    let mut shapes = Vec::with_capacity(keys.len());
    for key in keys {
        let kind: String = connection.ask(cmd("TYPE").arg(&**key)).await?;
        shapes.push(match kind.as_str() {
            "none" if must_exist => return Err(missing(key)),
            "none" => Shape::Missing,
            "set" => Shape::Set(connection.ask(cmd("SCARD").arg(&**key)).await?),
            // Taken for another thing than it is, a score would make entries vanish.
            "zset" if scores.is_none() => {
                let message =
                    format!("the key '{key}' is a sorted set: say what its scores are, with 'scores: expires', 'before' or 'ignored'");
                return Err(failure("wrong_type", message));
            }
            "zset" => Shape::Sorted(connection.ask(cmd("ZCARD").arg(&**key)).await?),
            "stream" => return Err(failure("wrong_type", format!("the key '{key}' is a stream; write 'stream' instead of 'set'"))),
            other => return Err(failure("wrong_type", format!("the key '{key}' is a {other}, and 'set' reads sets and sorted sets"))),
        });
    }
    let entries = shapes.iter().map(|shape| shape.size()).sum();
    if entries > MAX_ENTRIES { Err(too_large(entries)) } else { Ok(shapes) }
}

/// Reads all members of keys that were looked at.
pub(super) async fn read(
    connection: &Connection,
    keys: &[Box<str>],
    shapes: &[Shape],
    ids: RevokedIds,
    scores: Option<RedisScores>,
) -> Result<Batch, Failure> {
    let mut batch = Batch::default();
    for (key, shape) in keys.iter().zip(shapes) {
        match (shape, scores) {
            (Shape::Set(_), _) => read_set(connection, key, ids, &mut batch).await?,
            (Shape::Sorted(_), Some(scores)) => read_sorted(connection, key, ids, scores, &mut batch).await?,
            (Shape::Missing | Shape::Sorted(_), _) => {}
        }
    }
    Ok(batch)
}

async fn read_set(connection: &Connection, key: &str, ids: RevokedIds, batch: &mut Batch) -> Result<(), Failure> {
    let mut cursor = 0_u64;
    loop {
        let (next, page): (u64, Vec<Vec<u8>>) = connection.ask(cmd("SSCAN").arg(key).arg(cursor).arg("COUNT").arg(PAGE)).await?;
        for member in page {
            batch.push(&members::member(&member, ids).map_err(|message| invalid(key, &message))?);
        }
        cursor = next;
        if is_last(cursor, batch)? {
            return Ok(());
        }
    }
}

async fn read_sorted(connection: &Connection, key: &str, ids: RevokedIds, scores: RedisScores, batch: &mut Batch) -> Result<(), Failure> {
    let mut cursor = 0_u64;
    loop {
        let (next, page): (u64, Vec<(Vec<u8>, f64)>) = connection.ask(cmd("ZSCAN").arg(key).arg(cursor).arg("COUNT").arg(PAGE)).await?;
        for (member, score) in page {
            batch.push(&members::scored(&member, score, ids, scores).map_err(|message| invalid(key, &message))?);
        }
        cursor = next;
        if is_last(cursor, batch)? {
            return Ok(());
        }
    }
}

/// Whether a scan has ended. It may return members twice, so the bound is not exact.
fn is_last(cursor: u64, batch: &Batch) -> Result<bool, Failure> {
    let entries = batch.len() as u64;
    if entries > 2 * MAX_ENTRIES { Err(too_large(entries)) } else { Ok(cursor == 0) }
}
