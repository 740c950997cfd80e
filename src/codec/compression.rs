//! Payloads in fewer bytes than they were given in.
//!
//! What is compressed carries a header: seven bytes of magic and the number of the algorithm,
//! behind it one frame of it. A payload without the header is what it is, so nothing that was
//! stored before becomes unreadable; one that begins with the magic by itself is stored behind a
//! header too. Reading needs no option: the header tells all.

use std::cell::RefCell;

use bytes::{BufMut, Bytes, BytesMut};
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{CParameter, compress_bound, get_frame_content_size};

use crate::error::{Error, Kind, Result};
use crate::options::OptionReader;

/// What no text and no usual format begins with.
const MAGIC: &[u8; 7] = b"\x89SagaZ\x1a";
const HEADER: usize = MAGIC.len() + 1;

/// What a frame of Zstandard begins with.
const FRAME: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Behind the magic: the bytes as they are.
const STORED: u8 = 0;
/// Behind the magic: one frame of Zstandard (RFC 8878), with its content's size and checksum.
const ZSTD: u8 = 1;

/// Their names in the options; the first is the default.
const ALGORITHMS: [&str; 2] = ["none", "zstd"];

/// How payloads are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// Zstandard's level; none: nothing is compressed.
    level: Option<i32>,
    /// Payloads with fewer bytes stay as they are.
    min_bytes: u64,
    /// A payload that would become larger than this is refused.
    max_decompressed: u64,
}

impl Compression {
    /// Takes `compression` and `maxDecompressedBytes`.
    pub fn read(options: &mut OptionReader) -> Result<Self> {
        options.word_for("compression", "algorithm", &ALGORITHMS)?;
        let (level, min_bytes) = options.nested("compression", "compression.", |compression| {
            let algorithm = compression.choice("algorithm", &ALGORITHMS)?;
            let level = i32::try_from(compression.number("level", 1, 1..=19)?).unwrap_or(1);
            let min_bytes = compression.number("minBytes", 1_024, 0..=u64::MAX)?;
            Ok(((algorithm == "zstd").then_some(level), min_bytes))
        })?;
        let max_decompressed = options.number("maxDecompressedBytes", 256 * 1024 * 1024, 0..=u64::MAX)?;
        Ok(Self { level, min_bytes, max_decompressed })
    }

    /// Whether payloads are compressed at all. They are always read, compressed or not.
    pub fn is_on(&self) -> bool {
        self.level.is_some()
    }

    /// The level for this payload. What could not be read again is left as it is.
    fn level_for(&self, data: &[u8]) -> Option<i32> {
        let size = data.len() as u64;
        self.level.filter(|_| size >= self.min_bytes && size <= self.max_decompressed)
    }

    /// How many bytes will be stored; none where only compressing it tells.
    pub fn stored_bytes(&self, data: &[u8]) -> Option<u64> {
        let header = if data.starts_with(MAGIC) { HEADER } else { 0 };
        self.level_for(data).is_none().then_some((data.len() + header) as u64)
    }

    /// Bytes to work through before the payload can be stored; 0: it is stored as it is.
    pub fn work_to_encode(&self, data: &[u8]) -> usize {
        if self.level_for(data).is_some() || data.starts_with(MAGIC) { data.len() } else { 0 }
    }

    /// The bytes to store.
    pub fn encode(&self, data: &Bytes) -> Result<Bytes> {
        if let Some(level) = self.level_for(data)
            && let Some(compressed) = compress(data, level)?
        {
            return Ok(compressed);
        }
        if !data.starts_with(MAGIC) {
            return Ok(data.clone());
        }
        let mut stored = BytesMut::with_capacity(HEADER + data.len());
        stored.put_slice(MAGIC);
        stored.put_u8(STORED);
        stored.put_slice(data);
        Ok(stored.freeze())
    }

    /// Bytes to work through before a stored payload can be handed out; 0: it is handed out as it is.
    pub fn work_to_decode(&self, stored: &[u8]) -> usize {
        match split(stored) {
            None => 0,
            Some((ZSTD, frame)) => content_size(frame).map_or(1, |size| {
                if size > self.max_decompressed { 1 } else { usize::try_from(size).unwrap_or(usize::MAX).max(1) }
            }),
            // Only the header is left out.
            Some(_) => 1,
        }
    }

    /// The payload as it was given. Damage is `CORRUPT_DATA`, more than there may be
    /// `PAYLOAD_TOO_LARGE`.
    pub fn decode(&self, stored: Bytes) -> Result<Bytes> {
        match split(&stored) {
            None => Ok(stored),
            Some((STORED, _)) => Ok(stored.slice(HEADER..)),
            Some((ZSTD, frame)) => self.decompress(frame),
            Some((unknown, _)) => {
                Err(corrupt(format!("its compression has the number {unknown}, which this version does not know")))
            }
        }
    }

    fn decompress(&self, frame: &[u8]) -> Result<Bytes> {
        let size = content_size(frame).ok_or_else(|| corrupt("the size in the header is missing"))?;
        if size > self.max_decompressed {
            let limit = self.max_decompressed;
            let message = format!("the payload would have {size} bytes; maxDecompressedBytes is {limit}");
            return Err(Error::too_large(message, size, limit));
        }
        let size = usize::try_from(size).map_err(|_| corrupt("its size does not fit this machine"))?;
        let decompressed = DECOMPRESSOR.with_borrow_mut(|kept| {
            let failed = |error| Error::new(Kind::Backend, "nothing can be decompressed").with_source(error);
            let decompressor = kept.take().map_or_else(Decompressor::new, Ok).map_err(failed)?;
            let decompressed = kept.insert(decompressor).decompress(frame, size);
            decompressed.map_err(|error| corrupt("it cannot be decompressed").with_source(error))
        })?;
        if decompressed.len() != size {
            return Err(corrupt(format!("{} bytes came out of it in place of {size}", decompressed.len())));
        }
        Ok(Bytes::from(decompressed))
    }
}

/// The algorithm and what stands behind the header, where there is one.
fn split(stored: &[u8]) -> Option<(u8, &[u8])> {
    stored.strip_prefix(MAGIC)?.split_first().map(|(algorithm, rest)| (*algorithm, rest))
}

/// What the beginning of a stored payload of so many bytes tells: whether it is compressed, and how many bytes it had.
pub fn outline(head: &[u8], bytes: u64) -> (bool, Option<u64>) {
    match split(head) {
        None => (false, Some(bytes)),
        Some((STORED, _)) => (false, bytes.checked_sub(HEADER as u64)),
        Some((ZSTD, frame)) => (true, content_size(frame)),
        Some(_) => (true, None),
    }
}

/// None: it is no frame that says how much is in it. A frame that readers skip has nothing in it, and is none of ours.
fn content_size(frame: &[u8]) -> Option<u64> {
    if !frame.starts_with(&FRAME) {
        return None;
    }
    get_frame_content_size(frame).ok().flatten()
}

fn corrupt(why: impl std::fmt::Display) -> Error {
    Error::new(Kind::CorruptData, format!("the stored payload is damaged: {why}"))
}

thread_local! {
    // Each has buffers of several hundred KiB, which are worth keeping.
    static COMPRESSOR: RefCell<Option<(i32, Compressor<'static>)>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Header and frame; none if that would not be shorter.
fn compress(data: &[u8], level: i32) -> Result<Option<Bytes>> {
    let failed = |error| Error::new(Kind::Backend, "the payload cannot be compressed").with_source(error);
    COMPRESSOR.with_borrow_mut(|kept| {
        let (_, compressor) = if let Some(same) = kept.take_if(|(of, _)| *of == level) {
            kept.insert(same)
        } else {
            let mut made = Compressor::new(level).map_err(failed)?;
            made.set_parameter(CParameter::ChecksumFlag(true)).map_err(failed)?;
            kept.insert((level, made))
        };
        let mut stored = vec![0; HEADER + compress_bound(data.len())];
        let length = compressor.compress_to_buffer(data, &mut stored[HEADER..]).map_err(failed)?;
        if HEADER + length >= data.len() {
            return Ok(None);
        }
        stored[..MAGIC.len()].copy_from_slice(MAGIC);
        stored[MAGIC.len()] = ZSTD;
        stored.truncate(HEADER + length);
        // What was reserved for the worst case may be many times as much.
        stored.shrink_to_fit();
        Ok(Some(Bytes::from(stored)))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> Result<Compression> {
        let mut options = OptionReader::parse(json)?;
        let compression = Compression::read(&mut options)?;
        options.finish()?;
        Ok(compression)
    }

    fn on() -> Compression {
        read(r#"{"compression": "zstd"}"#).unwrap()
    }

    fn off() -> Compression {
        read("{}").unwrap()
    }

    fn slip(size: usize) -> Bytes {
        let step = br#"{"step":"charge","orderId":"o-17","amount":1299},"#;
        Bytes::from(step.iter().copied().cycle().take(size).collect::<Vec<_>>())
    }

    #[test]
    fn is_off_by_default_and_takes_a_word_or_an_object() {
        assert!(!off().is_on());
        assert!(!read(r#"{"compression": "none"}"#).unwrap().is_on());
        assert_eq!(read(r#"{"compression": {"algorithm": "zstd"}}"#).unwrap(), on());
        let all = read(r#"{"compression": {"algorithm": "zstd", "level": 19, "minBytes": 0}}"#).unwrap();
        assert_eq!((all.level, all.min_bytes), (Some(19), 0));
    }

    #[test]
    fn what_is_wrong_in_the_option_is_named() {
        for (json, part) in [
            (r#"{"compression": "gzip"}"#, "option 'compression' must be 'none', 'zstd' or an object"),
            (r#"{"compression": {"algorithm": "gzip"}}"#, "option 'compression.algorithm' must be 'none' or 'zstd'"),
            (r#"{"compression": {"algorithm": "zstd", "level": 20}}"#, "from 1 to 19"),
            (r#"{"compression": {"algorithm": "zstd", "levle": 3}}"#, "did you mean 'level'"),
            (r#"{"compression": true}"#, "option 'compression' must be 'none', 'zstd' or an object"),
            (r#"{"maxDecompressedBytes": -1}"#, "maxDecompressedBytes"),
        ] {
            let error = read(json).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidArgument);
            assert!(error.message().contains(part), "{json}: {error}");
        }
    }

    #[test]
    fn a_slip_becomes_smaller_and_comes_back() {
        let data = slip(100_000);
        let stored = on().encode(&data).unwrap();
        assert!(stored.len() < 5_000, "{}", stored.len());
        assert_eq!(off().decode(stored).unwrap(), data, "reading needs no option");
    }

    #[test]
    fn what_is_small_or_does_not_shrink_is_stored_as_it_is() {
        let noise = Bytes::from((0..50_000).map(|_| fastrand::u8(..)).collect::<Vec<_>>());
        for data in [slip(1_023), noise, Bytes::new()] {
            assert_eq!(on().encode(&data).unwrap(), data);
        }
        assert_ne!(on().encode(&slip(1_024)).unwrap(), slip(1_024));
    }

    #[test]
    fn what_looks_like_ours_is_wrapped_so_that_it_comes_back() {
        let compressed = on().encode(&slip(5_000)).unwrap();
        for data in [compressed, Bytes::from_static(MAGIC), Bytes::from([MAGIC.as_slice(), &[9, 9]].concat())] {
            for compression in [off(), on()] {
                assert!(compression.work_to_encode(&data) > 0);
                let stored = compression.encode(&data).unwrap();
                assert_ne!(stored, data);
                assert_eq!(compression.stored_bytes(&data).unwrap_or(stored.len() as u64), stored.len() as u64);
                assert_eq!(off().decode(stored).unwrap(), data);
            }
        }
    }

    #[test]
    fn damage_is_found() {
        let stored = on().encode(&slip(20_000)).unwrap();
        for at in HEADER..stored.len() {
            let mut damaged = stored.to_vec();
            damaged[at] ^= 0x10;
            match off().decode(Bytes::from(damaged)) {
                // A bit of the frame's header that means nothing.
                Ok(data) => assert!(data == slip(20_000), "byte {at}: other bytes came out"),
                // A size beyond the limit is one kind of damage.
                Err(error) => assert!(matches!(error.kind(), Kind::CorruptData | Kind::PayloadTooLarge), "{at}"),
            }
        }
        for cut in [HEADER, HEADER + 4, stored.len() / 2, stored.len() - 1] {
            let error = off().decode(stored.slice(..cut)).unwrap_err();
            assert_eq!(error.kind(), Kind::CorruptData, "{cut}");
        }
        let more = Bytes::from([&stored[..], b"more"].concat());
        assert_eq!(off().decode(more).unwrap_err().kind(), Kind::CorruptData);
        // A frame that readers skip: nothing would come out of it.
        let skipped = Bytes::from([MAGIC.as_slice(), &[ZSTD, 0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]].concat());
        assert_eq!(off().decode(skipped).unwrap_err().kind(), Kind::CorruptData);
        let unknown = Bytes::from([MAGIC.as_slice(), &[7, 1, 2]].concat());
        assert_eq!(off().decode(unknown).unwrap_err().kind(), Kind::CorruptData);
    }

    #[test]
    fn a_bomb_is_refused_before_it_goes_off() {
        let bomb = on().encode(&Bytes::from(vec![0; 10_000_000])).unwrap();
        assert!(bomb.len() < 2_000);
        let careful = read(r#"{"maxDecompressedBytes": 9999999}"#).unwrap();
        assert_eq!(careful.work_to_decode(&bomb), 1, "nothing to do but to refuse it");
        assert_eq!(careful.decode(bomb.clone()).unwrap_err().kind(), Kind::PayloadTooLarge);
        assert_eq!(read(r#"{"maxDecompressedBytes": 10000000}"#).unwrap().decode(bomb).unwrap().len(), 10_000_000);
    }

    #[test]
    fn what_could_not_be_read_again_is_not_compressed() {
        let careful = read(r#"{"compression": "zstd", "maxDecompressedBytes": 5000}"#).unwrap();
        assert_eq!(careful.encode(&slip(5_001)).unwrap(), slip(5_001));
        assert_ne!(careful.encode(&slip(5_000)).unwrap(), slip(5_000));
    }

    proptest! {
        #[test]
        fn everything_comes_back(
            data in prop::collection::vec(any::<u8>(), 0..3_000),
            repeat in 1_usize..20,
            looks_like_ours in any::<bool>(),
            level in 1..=19,
        ) {
            let head: &[u8] = if looks_like_ours { MAGIC } else { b"" };
            let data = Bytes::from([head, &data.repeat(repeat)].concat());
            let compression = Compression { level: Some(level), min_bytes: 0, max_decompressed: u64::MAX };
            for compression in [compression, off()] {
                let stored = compression.encode(&data).unwrap();
                prop_assert!(stored.len() <= data.len() + HEADER);
                prop_assert!(compression.work_to_encode(&data) > 0 || stored == data);
                prop_assert_eq!(off().decode(stored).unwrap(), data.clone());
            }
        }

        #[test]
        fn whatever_is_read_nothing_panics(tail in prop::collection::vec(any::<u8>(), 0..200), algorithm in 0_u8..3) {
            let stored = Bytes::from([MAGIC.as_slice(), &[algorithm], &tail].concat());
            off().work_to_decode(&stored);
            drop(off().decode(stored));
        }
    }
}
