//! Zstandard a chunk at a time: for files, which do not fit into memory.

use bytes::Bytes;
use zstd::stream::raw::{Decoder, Encoder, InBuffer, Operation, OutBuffer};

use crate::error::{Error, Kind, Result};

/// Bytes that come out of one step at most: what is decompressed may be much larger than what it is made of.
const OUTPUT: usize = 1 << 20;

/// What a step came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input that are used up.
    pub consumed: usize,
    /// Nothing more comes out of this input: the next one is due. At the end: this is all.
    pub done: bool,
    /// What came out.
    pub output: Bytes,
}

/// Compresses or decompresses. After an error it is of no use any more.
pub enum Streamed {
    /// Into one frame.
    Compressing(Encoder<'static>),
    /// Out of any number of frames; whether the last one is whole.
    Decompressing(Decoder<'static>, bool),
}

impl Streamed {
    /// Compresses, at one of Zstandard's levels.
    pub fn compressing(level: i32) -> Result<Self> {
        Encoder::new(level).map(Self::Compressing).map_err(|error| failed(error, "nothing can be compressed"))
    }

    /// Decompresses.
    pub fn decompressing() -> Result<Self> {
        let decoder = Decoder::new().map_err(|error| failed(error, "nothing can be decompressed"))?;
        Ok(Self::Decompressing(decoder, true))
    }

    /// Takes some of the input. At the end (`is_end`) all that is left comes out, step by step.
    pub fn step(&mut self, input: &[u8], is_end: bool) -> Result<Step> {
        let mut memory = Vec::with_capacity(OUTPUT);
        let mut given = InBuffer::around(input);
        let mut output = OutBuffer::around(&mut memory);
        let done = match self {
            Self::Compressing(encoder) => {
                let failed = |error| failed(error, "it cannot be compressed");
                while given.pos() < input.len() && output.pos() < OUTPUT {
                    encoder.run(&mut given, &mut output).map_err(failed)?;
                }
                let is_taken = given.pos() == input.len() && output.pos() < OUTPUT;
                is_taken && (!is_end || encoder.finish(&mut output, true).map_err(failed)? == 0)
            }
            Self::Decompressing(decoder, is_whole) => {
                let corrupt = |error| Error::new(Kind::CorruptData, "what is compressed is damaged").with_source(error);
                loop {
                    let (before, out) = (given.pos(), output.pos());
                    let left = decoder.run(&mut given, &mut output).map_err(corrupt)?;
                    if given.pos() > before || output.pos() > out {
                        *is_whole = left == 0;
                    }
                    let is_stuck = given.pos() == before && output.pos() == out;
                    if output.pos() >= OUTPUT || is_stuck || given.pos() == input.len() {
                        break;
                    }
                }
                let done = given.pos() == input.len() && output.pos() < OUTPUT;
                if done && is_end && !*is_whole {
                    return Err(Error::new(Kind::CorruptData, "what is compressed is cut off: its end is missing"));
                }
                done
            }
        };
        let consumed = given.pos();
        Ok(Step { consumed, done, output: memory.into() })
    }
}

fn failed(error: std::io::Error, what: &str) -> Error {
    Error::new(Kind::Backend, what).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(streamed: &mut Streamed, chunks: &[&[u8]]) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        for (index, chunk) in chunks.iter().enumerate() {
            let mut rest = *chunk;
            loop {
                let step = streamed.step(rest, index + 1 == chunks.len())?;
                assert!(step.output.len() <= OUTPUT);
                out.extend_from_slice(&step.output);
                rest = &rest[step.consumed..];
                if step.done {
                    break;
                }
            }
        }
        Ok(out)
    }

    #[test]
    fn what_is_compressed_chunk_by_chunk_is_what_was_given() {
        let noise: Vec<u8> = (0..3_000_000).map(|_| fastrand::u8(..)).collect();
        let zeros = vec![0_u8; 20 << 20];
        for data in [Vec::new(), b"a".to_vec(), noise, zeros] {
            let chunks: Vec<&[u8]> = data.chunks(1 << 20).chain([&[][..]]).collect();
            let frame = all(&mut Streamed::compressing(3).unwrap(), &chunks).unwrap();
            for size in [7, 100_000, usize::MAX] {
                let some = &frame[..frame.len().min(if size == 7 { 5_000 } else { usize::MAX })];
                let parts: Vec<&[u8]> = some.chunks(size.min(some.len().max(1))).chain([&[][..]]).collect();
                let read = all(&mut Streamed::decompressing().unwrap(), &parts);
                if some.len() == frame.len() {
                    assert!(read.unwrap() == data);
                } else {
                    assert_eq!(read.unwrap_err().kind(), Kind::CorruptData);
                }
            }
        }
    }

    #[test]
    fn frames_follow_one_another_and_damage_is_told() {
        let frame = all(&mut Streamed::compressing(1).unwrap(), &[b"one", b""]).unwrap();
        let two = [frame.clone(), frame.clone()].concat();
        assert_eq!(all(&mut Streamed::decompressing().unwrap(), &[&two]).unwrap(), b"oneone");
        let cut = all(&mut Streamed::decompressing().unwrap(), &[&two[..two.len() - 1]]);
        assert_eq!(cut.unwrap_err().kind(), Kind::CorruptData);
        let other = all(&mut Streamed::decompressing().unwrap(), &[b"no frame at all"]);
        assert_eq!(other.unwrap_err().kind(), Kind::CorruptData);
        assert_eq!(all(&mut Streamed::decompressing().unwrap(), &[b""]).unwrap(), b"");
    }
}
