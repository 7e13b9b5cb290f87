//! Reads a body within its bound, and undoes gzip (RFC 1952) on the way.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::GzDecoder;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::error::FetchError;
use super::headers::Coding;

/// The first allocation for a body.
const MIN_GROWTH: usize = 4096;

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
                    tokio::task::yield_now().await;
                }
            }
        }
    }
    match decoder {
        Decoder::Plain(whole) => Ok(Bytes::from(whole.bytes)),
        Decoder::Gzip(gzip) => {
            let whole = gzip.finish().map_err(|error| decoding(&error, limit))?;
            Ok(Bytes::from(whole.bytes))
        }
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

/// Bytes up to a bound. Copied into one buffer, not kept as frames: a frame of one byte would hold on to the buffer it was read into.
#[derive(Debug)]
struct Bounded {
    bytes: Vec<u8>,
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
        Self { bytes: Vec::new(), limit }
    }

    fn push(&mut self, data: &[u8]) -> Result<(), Full> {
        let room = self.limit.saturating_sub(self.bytes.len());
        if data.len() > room {
            return Err(Full);
        }
        if data.len() > self.bytes.capacity() - self.bytes.len() {
            // Doubling, but never beyond the limit.
            let growth = data.len().max(self.bytes.len()).max(MIN_GROWTH);
            self.bytes.reserve_exact(growth.min(room));
        }
        self.bytes.extend_from_slice(data);
        Ok(())
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
