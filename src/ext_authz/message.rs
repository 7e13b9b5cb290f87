//! Messages in their frames: a flag, a length of four bytes, and the message. A call brings one, and gets one.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use prost::Message;
use tonic::Status;

/// The flag and the length.
const HEAD: usize = 5;

/// Why there is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoMessage {
    /// What came is not one uncompressed message of a bearable length.
    Malformed,
    /// The call ended before it was whole.
    Broken,
}

/// Reads a call's one message. Nothing is kept of more than `most` bytes.
pub(super) async fn read<B>(body: B, most: usize) -> Result<Bytes, NoMessage>
where
    B: Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let mut received = Received::default();
    while let Some(frame) = body.frame().await {
        // Trailers say nothing about a request.
        if let Ok(data) = frame.map_err(|_| NoMessage::Broken)?.into_data() {
            received.add(data, most)?;
        }
    }
    received.message()
}

/// Nearly always, everything comes at once and need not be copied.
#[derive(Default)]
struct Received {
    first: Bytes,
    rest: BytesMut,
}

impl Received {
    fn add(&mut self, data: Bytes, most: usize) -> Result<(), NoMessage> {
        if self.rest.is_empty() && self.first.is_empty() {
            self.first = data;
        } else {
            if self.rest.is_empty() {
                self.rest.extend_from_slice(&self.first);
            }
            self.rest.extend_from_slice(&data);
        }
        let bytes = self.bytes();
        // What is too long, or announces to be, need not be waited for.
        if bytes.len() > most + HEAD || announced(bytes).is_some_and(|length| length > most) {
            return Err(NoMessage::Malformed);
        }
        Ok(())
    }

    fn bytes(&self) -> &[u8] {
        if self.rest.is_empty() { &self.first } else { &self.rest }
    }

    fn message(self) -> Result<Bytes, NoMessage> {
        let bytes = if self.rest.is_empty() { self.first } else { self.rest.freeze() };
        let is_one = announced(&bytes).is_some_and(|length| length == bytes.len() - HEAD);
        // A flag other than 0 says that the message is compressed, which nobody agreed on, or is unknown.
        if is_one && bytes.first() == Some(&0) { Ok(bytes.slice(HEAD..)) } else { Err(NoMessage::Malformed) }
    }
}

/// The length in a frame's head, once that is there.
fn announced(bytes: &[u8]) -> Option<usize> {
    let [_, length @ ..] = bytes.first_chunk::<HEAD>()?;
    usize::try_from(u32::from_be_bytes(*length)).ok()
}

/// A message in its frame.
pub(super) fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(HEAD + length);
    frame.put_u8(0);
    // Answers are far from four gibibytes.
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // A `BytesMut` grows, so there is always place.
    let _ = message.encode(&mut frame);
    frame.freeze()
}

/// The message in a frame of ours.
pub(super) fn unframed(frame: &Bytes) -> Bytes {
    frame.slice(HEAD.min(frame.len())..)
}

/// The body of a call that succeeded: one message in its frame, and the status in the trailers.
#[derive(Debug)]
pub struct AnswerBody {
    message: Option<Bytes>,
    has_ended: bool,
}

/// The answer to a call that succeeded.
#[must_use]
pub fn answer(frame: Bytes) -> http::Response<AnswerBody> {
    let mut response = http::Response::new(AnswerBody { message: Some(frame), has_ended: false });
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(message) = self.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        if self.has_ended {
            return Poll::Ready(None);
        }
        self.has_ended = true;
        let mut trailers = HeaderMap::with_capacity(1);
        // Denials are answers like others.
        trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::StreamBody;

    use super::*;

    fn read_all(chunks: &[&[u8]], most: usize) -> Result<Bytes, NoMessage> {
        let frames: Vec<_> = chunks.iter().map(|chunk| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(chunk)))).collect();
        let body = StreamBody::new(tokio_stream::iter(frames));
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(read(body, most))
    }

    #[test]
    fn one_message_is_read_however_it_is_cut() {
        let whole: &[u8] = &[0, 0, 0, 0, 3, b'a', b'b', b'c'];
        assert_eq!(read_all(&[whole], 3).unwrap(), "abc");
        for cut in 0..=whole.len() {
            let (first, rest) = whole.split_at(cut);
            assert_eq!(read_all(&[first, &[], rest], 3).unwrap(), "abc", "cut at {cut}");
        }
        let single: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(read_all(&single, 3).unwrap(), "abc");
        assert_eq!(read_all(&[&[0, 0, 0, 0, 0]], 3).unwrap(), "");
    }

    #[test]
    fn what_is_not_one_message_is_none() {
        for bytes in [
            &[][..],
            &[0, 0, 0, 0],
            &[0, 0, 0, 0, 1],
            &[1, 0, 0, 0, 1, b'a'],
            &[7, 0, 0, 0, 1, b'a'],
            &[0, 0, 0, 0, 1, b'a', b'b'],
            &[0, 0, 0, 0, 1, b'a', 0, 0, 0, 0, 1, b'b'],
            &[0, 0, 0, 0, 4, b'a', b'b', b'c', b'd'],
            &[0, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert_eq!(read_all(&[bytes], 3), Err(NoMessage::Malformed), "{bytes:?}");
        }
    }
}
