//! RESP 2, Redis' protocol: commands out, replies in.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};
use fred::error::{Error as FredError, ErrorKind};
use fred::prelude::Value;
use futures_util::future::{BoxFuture, FutureExt};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::command::{Request, Word};
use crate::buffers;

/// Data from here on is written from where it is and read to where it stays; less is copied once more, with
/// what stands around it.
const LARGE: usize = 8 << 10;
/// What is read at once.
const READ: usize = 64 << 10;
/// No simple reply is longer.
const LONGEST_LINE: usize = 1 << 20;
/// No reply that a store asks for is nested deeper.
const DEEPEST: u8 = 8;

/// Commands in the protocol, in order.
#[derive(Default)]
pub(super) struct Outgoing {
    parts: VecDeque<Bytes>,
    /// The end, which is still written to.
    open: BytesMut,
}

impl Outgoing {
    pub(super) fn push(&mut self, request: &Request) {
        let words = request.spelled();
        self.head(b'*', words.len());
        for word in words {
            match word {
                Word::Text(text) => self.word(text.as_bytes()),
                Word::Number(number) => self.word(itoa::Buffer::new().format(number).as_bytes()),
                Word::Bytes(data) if data.len() >= LARGE => {
                    self.head(b'$', data.len());
                    self.close();
                    self.parts.push_back(data.clone());
                    self.open.extend_from_slice(b"\r\n");
                }
                Word::Bytes(data) => self.word(data),
            }
        }
    }

    fn head(&mut self, kind: u8, count: usize) {
        self.open.extend_from_slice(&[kind]);
        self.open.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
        self.open.extend_from_slice(b"\r\n");
    }

    fn word(&mut self, word: &[u8]) {
        self.head(b'$', word.len());
        self.open.extend_from_slice(word);
        self.open.extend_from_slice(b"\r\n");
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.parts.push_back(self.open.split().freeze());
        }
    }

    /// All that is there, to be written.
    pub(super) fn take(&mut self) -> Parts {
        self.close();
        Parts(std::mem::take(&mut self.parts))
    }
}

/// What is being written.
pub(super) struct Parts(VecDeque<Bytes>);

impl Buf for Parts {
    fn remaining(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    fn has_remaining(&self) -> bool {
        !self.0.is_empty()
    }

    fn chunk(&self) -> &[u8] {
        self.0.front().map_or(&[], |part| part)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let filled = slices.iter_mut().zip(&self.0).map(|(slice, part)| *slice = IoSlice::new(part));
        filled.count()
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(part) = self.0.front_mut() {
            if count < part.len() {
                return part.advance(count);
            }
            count -= part.len();
            self.0.pop_front();
        }
    }
}

/// Replies as they come.
pub(super) struct Incoming<R> {
    stream: R,
    /// What has been read, and from where on nobody has looked at it.
    read: Vec<u8>,
    start: usize,
    /// So much is read at once.
    ahead: usize,
}

impl<R: AsyncRead + Unpin + Send> Incoming<R> {
    pub(super) fn new(stream: R) -> Self {
        Self { stream, read: Vec::new(), start: 0, ahead: READ }
    }

    /// Ready when there is something to read, or the other side has ended (`false`).
    pub(super) async fn is_there(&mut self) -> io::Result<bool> {
        Ok(self.start < self.read.len() || self.fill(self.ahead).await? > 0)
    }

    /// Reads so much more, if it is there already; how much, nothing at the end.
    async fn fill(&mut self, room: usize) -> io::Result<usize> {
        self.read.drain(..self.start);
        self.start = 0;
        self.read.reserve(room);
        (&mut self.stream).take(room as u64).read_buf(&mut self.read).await
    }

    async fn fill_some(&mut self, room: usize) -> io::Result<()> {
        if self.fill(room).await? == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// The next line without its end: from where to where.
    async fn line(&mut self) -> io::Result<Range<usize>> {
        let mut seen = 0;
        loop {
            let unseen = &self.read[self.start + seen..];
            if let Some(end) = unseen.iter().position(|byte| *byte == b'\n') {
                let line = self.start..self.start + seen + end + 1;
                self.start = line.end;
                return if self.read[line.clone()].ends_with(b"\r\n") {
                    Ok(line.start..line.end - 2)
                } else {
                    Err(invalid())
                };
            }
            seen += unseen.len();
            if seen > LONGEST_LINE {
                return Err(invalid());
            }
            self.fill_some(self.ahead).await?;
        }
    }

    /// The next reply; an error of the server is one. An array with an error in it is that error.
    pub(super) async fn next(&mut self) -> io::Result<Result<Value, FredError>> {
        self.reply(0).await
    }

    async fn reply(&mut self, depth: u8) -> io::Result<Result<Value, FredError>> {
        let line = self.line().await?;
        let Some((kind, rest)) = self.read[line].split_first() else { return Err(invalid()) };
        Ok(Ok(match kind {
            b'+' => match rest {
                b"OK" => Value::from_static_str("OK"),
                b"QUEUED" => Value::Queued,
                text => Value::Bytes(Bytes::copy_from_slice(text)),
            },
            b'-' => return Ok(Err(refusal(&String::from_utf8_lossy(rest)))),
            b':' => Value::Integer(number(rest)?),
            b'$' => match usize::try_from(number(rest)?) {
                Ok(length) => Value::Bytes(self.bulk(length).await?),
                Err(_) => Value::Null,
            },
            b'*' => match usize::try_from(number(rest)?) {
                Ok(length) if depth < DEEPEST => return self.array(length, depth + 1).await,
                Ok(_) => return Err(invalid()),
                Err(_) => Value::Null,
            },
            _ => return Err(invalid()),
        }))
    }

    fn array(&mut self, length: usize, depth: u8) -> BoxFuture<'_, io::Result<Result<Value, FredError>>> {
        async move {
            let mut elements = Vec::new();
            let mut refused = None;
            for _ in 0..length {
                match self.reply(depth).await? {
                    Ok(element) => elements.push(element),
                    Err(error) => refused = refused.or(Some(error)),
                }
            }
            Ok(refused.map_or(Ok(Value::Array(elements)), Err))
        }
        .boxed()
    }

    async fn bulk(&mut self, length: usize) -> io::Result<Bytes> {
        let mut memory = buffers::memory(length);
        loop {
            let missing = length - memory.len();
            let known = &self.read[self.start..];
            let known = &known[..known.len().min(missing)];
            memory.extend_from_slice(known);
            self.start += known.len();
            let missing = missing - known.len();
            if missing == 0 {
                break;
            }
            if missing < LARGE {
                self.fill_some(self.ahead.max(missing + buffers::MARGIN)).await?;
                continue;
            }
            // To where it stays, and with it what is behind it, as far as there is room: the head of the next reply.
            let spare = memory.capacity() - memory.len();
            let room = missing.max(spare.min(missing + buffers::MARGIN));
            if (&mut self.stream).take(room as u64).read_buf(&mut *memory).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(behind) = memory.get(length..) {
                self.read.clear();
                self.read.extend_from_slice(behind);
                self.start = 0;
                memory.truncate(length);
            }
        }
        self.ahead = if length < buffers::SMALLEST { READ } else { buffers::MARGIN };
        while self.read.len() - self.start < 2 {
            self.fill_some(self.ahead).await?;
        }
        self.start += 2;
        if self.read[self.start - 2..].starts_with(b"\r\n") { Ok(memory.into()) } else { Err(invalid()) }
    }
}

fn number(text: &[u8]) -> io::Result<i64> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or_else(invalid)
}

fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a reply of Redis")
}

/// An error reply, of the kinds that fred makes of them.
fn refusal(text: &str) -> FredError {
    let kind = match text.split_ascii_whitespace().next() {
        Some("NOAUTH" | "WRONGPASS") => ErrorKind::Auth,
        Some("WRONGTYPE") => ErrorKind::InvalidArgument,
        Some("MOVED" | "ASK" | "CLUSTERDOWN") => ErrorKind::Cluster,
        _ => ErrorKind::Unknown,
    };
    FredError::new(kind, text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    use super::super::command::Until;
    use super::*;

    fn written(requests: &[Request]) -> Vec<u8> {
        let mut outgoing = Outgoing::default();
        for request in requests {
            outgoing.push(request);
        }
        let mut parts = outgoing.take();
        assert!(!outgoing.take().has_remaining());
        parts.copy_to_bytes(parts.remaining()).into()
    }

    /// What is read of `text` that comes in pieces of so many bytes and then ends.
    fn read(text: &[u8], piece: usize) -> Vec<io::Result<Result<Value, FredError>>> {
        let (mut server, client) = tokio::io::duplex(piece);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (mut incoming, mut replies) = (Incoming::new(client), Vec::new());
        let reading = async {
            while incoming.is_there().await.unwrap() {
                replies.push(incoming.next().await);
                if replies.last().is_some_and(Result::is_err) {
                    break;
                }
            }
            drop(incoming);
        };
        let writing = async {
            let _gone = server.write_all(text).await;
            drop(server);
        };
        runtime.block_on(futures_util::future::join(reading, writing));
        replies
    }

    fn replies(text: &[u8], piece: usize) -> Vec<Result<Value, FredError>> {
        read(text, piece).into_iter().map(Result::unwrap).collect()
    }

    #[test]
    fn commands_are_arrays_of_strings() {
        let set = Request::Set { key: "p:a".into(), data: "xyz".into(), until: Some(Until::At(1_700_000_000_000)) };
        let get = Request::Get { key: "p:ü".into() };
        assert_eq!(
            written(&[set, get]),
            "*5\r\n$3\r\nSET\r\n$3\r\np:a\r\n$3\r\nxyz\r\n$4\r\nPXAT\r\n$13\r\n1700000000000\r\n\
             *2\r\n$3\r\nGET\r\n$4\r\np:ü\r\n"
                .as_bytes()
        );
    }

    #[test]
    fn large_data_is_written_from_where_it_is() {
        let data = Bytes::from(vec![7; LARGE]);
        let mut outgoing = Outgoing::default();
        for _ in 0..2 {
            outgoing.push(&Request::Set { key: "k".into(), data: data.clone(), until: None });
        }
        let mut parts = outgoing.take();
        let places: Vec<_> = parts.0.iter().map(|part| part.as_ptr()).collect();
        assert!(places.len() == 5 && places[1] == data.as_ptr() && places[3] == data.as_ptr());
        let mut slices = [IoSlice::new(&[]); 3];
        assert_eq!(parts.chunks_vectored(&mut slices), 3);
        let (length, second) = (parts.remaining(), parts.0[0].len() + 5);
        parts.advance(second);
        assert_eq!((parts.remaining(), parts.chunk().len()), (length - second, LARGE - 5));
    }

    #[test]
    fn replies_of_every_kind_in_pieces_of_any_size() {
        let text = b"+OK\r\n+QUEUED\r\n+PONG\r\n:-7\r\n$-1\r\n$0\r\n\r\n$5\r\na\r\nbc\r\n*-1\r\n*0\r\n\
            *3\r\n:1\r\n*1\r\n$1\r\nx\r\n$-1\r\n-ERR no\r\n*2\r\n+OK\r\n-WRONGTYPE a\r\n:9\r\n";
        let bytes = |text: &'static str| Value::Bytes(Bytes::from_static(text.as_bytes()));
        for piece in [1, 2, 3, 7, 1024] {
            let mut replies = replies(text, piece);
            assert_eq!(replies.pop().unwrap().unwrap(), Value::Integer(9), "what follows an error is read");
            let error = replies.pop().unwrap().unwrap_err();
            assert_eq!((error.kind(), error.details()), (&ErrorKind::InvalidArgument, "WRONGTYPE a"));
            assert_eq!(replies.pop().unwrap().unwrap_err().details(), "ERR no");
            let nested = vec![Value::Integer(1), Value::Array(vec![bytes("x")]), Value::Null];
            let replies: Vec<_> = replies.into_iter().map(Result::unwrap).collect();
            let (ok, empty) = (Value::from_static_str("OK"), Value::Array(Vec::new()));
            let simple =
                [ok, Value::Queued, bytes("PONG"), Value::Integer(-7), Value::Null, bytes(""), bytes("a\r\nbc")];
            assert_eq!(replies, [&simple[..], &[Value::Null, empty, Value::Array(nested)]].concat());
        }
    }

    #[test]
    fn what_is_no_reply_ends_the_connection() {
        let deep = [b"*1\r\n".repeat(100), b":1\r\n".to_vec()].concat();
        for text in
            [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"$x\r\n", b"*1x\r\n", b"$3\r\nabcd\r\n", b"+OK\n", b"\r\n", &deep]
        {
            assert!(read(text, 64)[0].is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_reply_that_breaks_off_is_none() {
        let large = [b"$9999999999\r\n".to_vec(), vec![b'x'; 100_000]].concat();
        for text in [&b"+O"[..], b"$5\r\nabc", b"$5\r\nabcde\r", b"*2\r\n:1\r\n", b"$", &large] {
            assert!(read(text, 64)[0].is_err(), "{}", String::from_utf8_lossy(&text[..text.len().min(20)]));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read(
            sizes in prop::collection::vec(prop::sample::select(vec![0, 1, 100, LARGE - 1, LARGE, 16_384, 70_000, 200_000]), 1..6),
            piece in prop::sample::select(vec![3_usize, 1_000, 65_536, 1 << 20]),
        ) {
            let requests: Vec<_> = sizes.iter().map(|size| {
                let data: Vec<u8> = (0..*size).map(|_| fastrand::u8(..)).collect();
                Request::Set { key: "k".into(), data: data.into(), until: None }
            }).collect();
            let read = replies(&written(&requests), piece);
            let spelled = requests.into_iter().map(|request| Value::Array(request.plain().into_iter().map(Value::Bytes).collect()));
            prop_assert_eq!(read.into_iter().map(Result::unwrap).collect::<Vec<_>>(), spelled.collect::<Vec<_>>());
        }
    }
}
