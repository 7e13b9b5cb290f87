//! Reads a body within its bound, and undoes gzip (RFC 1952) on the way.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::GzDecoder;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::error::FetchError;
use super::headers::Coding;

/// The first allocation for a body, and the longest one while more may come.
const FIRST_PIECE: usize = 4096;
const LONGEST_PIECE: usize = 1024 * 1024;

/// Gzip that decodes to more than this many times what came is a bomb, unless it decodes to less than this. Lists of revocations, which
/// are alike, come to about twenty times.
const MOST_INFLATED: usize = 100;
const NO_BOMB: usize = 1024 * 1024;

/// How much is decoded between two looks at other tasks. A bomb makes a thousand times as much of it.
const DECODED_AT_ONCE: usize = 4096;

/// Reads the whole body, holding at most `limit` bytes of it: neither what came nor what it decodes to may be longer.
pub(super) async fn read(mut body: Incoming, coding: Coding, limit: usize) -> Result<Bytes, FetchError> {
    let too_large = || FetchError::TooLarge { limit };
    // The announced length is believed only when it is a reason to stop; memory grows with what has arrived.
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let mut decoder = match coding {
        Coding::Identity => Decoder::Plain(Bounded::new(limit)),
        Coding::Gzip => Decoder::Gzip(Box::new(GzDecoder::new(Bounded::new(limit)))),
    };
    let mut received = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| FetchError::from_body(&error))?;
        let Ok(data) = frame.into_data() else {
            continue; // trailers mean nothing here
        };
        received = received.saturating_add(data.len());
        if received > limit {
            return Err(too_large());
        }
        match &mut decoder {
            Decoder::Plain(whole) => whole.push(&data).map_err(|Full| too_large())?,
            Decoder::Gzip(gzip) => {
                for piece in data.chunks(DECODED_AT_ONCE) {
                    inflate(gzip, piece, limit)?;
                    let decoded = gzip.get_ref().length;
                    if decoded > NO_BOMB && decoded / MOST_INFLATED > received {
                        return Err(FetchError::Decoding(format!("it decodes to more than {MOST_INFLATED} times its length")));
                    }
                    tokio::task::yield_now().await;
                }
            }
        }
    }
    match decoder {
        Decoder::Plain(whole) => Ok(whole.finish()),
        Decoder::Gzip(gzip) => Ok(gzip.finish().map_err(|error| decoding(&error, limit))?.finish()),
    }
}

enum Decoder {
    Plain(Bounded),
    Gzip(Box<GzDecoder<Bounded>>),
}

fn inflate(gzip: &mut GzDecoder<Bounded>, mut piece: &[u8], limit: usize) -> Result<(), FetchError> {
    while !piece.is_empty() {
        let taken = gzip.write(piece).map_err(|error| decoding(&error, limit))?;
        if taken == 0 {
            return Err(FetchError::Decoding("there is something behind its end".into()));
        }
        piece = piece.get(taken..).unwrap_or_default();
    }
    Ok(())
}

fn decoding(error: &io::Error, limit: usize) -> FetchError {
    if error.get_ref().is_some_and(|inner| inner.is::<Full>()) {
        return FetchError::TooLarge { limit };
    }
    FetchError::Decoding(match error.kind() {
        io::ErrorKind::UnexpectedEof => "it breaks off".into(),
        _ => error.to_string(),
    })
}

/// Bytes up to a bound. Copied, not kept as frames: a frame of one byte would hold on to the buffer it was read into.
///
/// They are kept in pieces. One buffer that doubles would for a while take three times the bound, and that for a body which is refused
/// in the end; these take what has come.
#[derive(Debug)]
struct Bounded {
    pieces: Vec<Vec<u8>>,
    length: usize,
    limit: usize,
}

/// There is no room for more.
#[derive(Debug)]
struct Full;

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("too large")
    }
}

impl std::error::Error for Full {}

impl Bounded {
    fn new(limit: usize) -> Self {
        Self { pieces: Vec::new(), length: 0, limit }
    }

    fn push(&mut self, mut data: &[u8]) -> Result<(), Full> {
        if data.len() > self.limit.saturating_sub(self.length) {
            return Err(Full);
        }
        while !data.is_empty() {
            let room = self.pieces.last().map_or(0, |piece| piece.capacity() - piece.len());
            if room == 0 {
                // Doubling while the body is short.
                self.pieces.push(Vec::with_capacity(self.length.clamp(FIRST_PIECE, LONGEST_PIECE)));
                continue;
            }
            let (now, later) = data.split_at(room.min(data.len()));
            if let Some(piece) = self.pieces.last_mut() {
                piece.extend_from_slice(now);
                self.length += now.len();
            }
            data = later;
        }
        Ok(())
    }

    /// All of it in one piece.
    fn finish(self) -> Bytes {
        let mut whole = Vec::with_capacity(self.length);
        for piece in self.pieces {
            // Each one is given back as soon as it is copied.
            whole.extend_from_slice(&piece);
        }
        Bytes::from(whole)
    }
}

impl Write for Bounded {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.push(data).map_err(io::Error::other)?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
