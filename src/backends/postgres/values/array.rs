//! Arrays of any number of dimensions; NULLs among the elements.

use bytes::Buf;
use sqlx::postgres::PgTypeInfo;
use sqlx::postgres::types::Oid;

use super::{BOOL, BYTEA, FLOAT8, Form, INT8, JSON, JSONB, TEXT, TIMESTAMPTZ, form, instead};
use crate::contract::dynamic::Dynamic;

/// PostgreSQL's own limit.
const MAX_DIMENSIONS: usize = 6;

/// Types that are guessed, which nobody has looked up: an array's and its elements'.
static GUESSED: [(u32, PgTypeInfo); 6] = [
    (1000, PgTypeInfo::with_oid(Oid(BOOL))),
    (1001, PgTypeInfo::with_oid(Oid(BYTEA))),
    (1009, PgTypeInfo::with_oid(Oid(TEXT))),
    (1016, PgTypeInfo::with_oid(Oid(INT8))),
    (1022, PgTypeInfo::with_oid(Oid(FLOAT8))),
    (1185, PgTypeInfo::with_oid(Oid(TIMESTAMPTZ))),
];

/// The element's type of an array that was guessed.
pub(super) fn element_of(array: u32) -> Option<&'static PgTypeInfo> {
    GUESSED.iter().find(|(known, _)| *known == array).map(|(_, element)| element)
}

/// The type that a list most likely means: an array of what all its elements are, else JSON.
pub(super) fn guess(elements: &[Dynamic]) -> PgTypeInfo {
    let mut found = None;
    for element in elements.iter().filter(|element| **element != Dynamic::Null) {
        let of = super::guess(element).oid().map_or(0, |oid| oid.0);
        found = match found {
            None => Some(of),
            Some(known) if known == of => Some(of),
            Some(INT8 | FLOAT8) if [INT8, FLOAT8].contains(&of) => Some(FLOAT8),
            Some(_) => Some(JSONB),
        };
    }
    let element = found.unwrap_or(TEXT);
    let array = GUESSED.iter().find(|(_, known)| known.oid() == Some(Oid(element))).map_or(JSONB, |(array, _)| *array);
    PgTypeInfo::with_oid(Oid(array))
}

/// Writes a list as an array of `of`.
pub(super) fn encode(value: &Dynamic, of: &PgTypeInfo, out: &mut Vec<u8>) -> Result<(), String> {
    let Dynamic::List(elements) = value else { return Err(instead("an array", value)) };
    let dimensions = dimensions(elements, of);
    if dimensions.len() > MAX_DIMENSIONS {
        return Err(format!("an array of more than {MAX_DIMENSIONS} dimensions"));
    }
    let dimensions = if dimensions.contains(&0) { Vec::new() } else { dimensions };
    out.extend(count(dimensions.len())?.to_be_bytes());
    // Set to 1 below, if there are NULLs.
    let has_null_at = out.len();
    out.extend(0_i32.to_be_bytes());
    out.extend(of.oid().map_or(0, |oid| oid.0).to_be_bytes());
    for length in &dimensions {
        out.extend(count(*length)?.to_be_bytes());
        out.extend(1_i32.to_be_bytes());
    }
    let mut has_null = false;
    if !dimensions.is_empty() {
        write(elements, &dimensions, of, &mut has_null, out)?;
    }
    out[has_null_at + 3] = u8::from(has_null);
    Ok(())
}

fn count(count: usize) -> Result<i32, String> {
    i32::try_from(count).map_err(|_| "an array that is too long".into())
}

/// The lengths of a list, of its first element, and so on. Where an element may be a list itself
/// there is one dimension.
fn dimensions(elements: &[Dynamic], of: &PgTypeInfo) -> Vec<usize> {
    let mut lengths = vec![elements.len()];
    if matches!(form(of), Some(Form::Of(JSON | JSONB) | Form::ArrayOf(_))) {
        return lengths;
    }
    let mut first = elements.first();
    while let Some(Dynamic::List(inner)) = first {
        lengths.push(inner.len());
        first = inner.first();
    }
    lengths
}

fn write(
    elements: &[Dynamic],
    dimensions: &[usize],
    of: &PgTypeInfo,
    has_null: &mut bool,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    if elements.len() != dimensions[0] {
        return Err("an array whose inner arrays are of different lengths".into());
    }
    for element in elements {
        if dimensions.len() > 1 {
            let Dynamic::List(inner) = element else {
                return Err(format!("{}, among arrays", instead("an array", element)));
            };
            write(inner, &dimensions[1..], of, has_null, out)?;
            continue;
        }
        let at = out.len();
        out.extend((-1_i32).to_be_bytes());
        let is_null = super::encode(element, of, out).map_err(|wrong| format!("an array that holds {wrong}"))?;
        *has_null |= is_null;
        if !is_null {
            let length = count(out.len() - at - 4)?;
            out[at..at + 4].copy_from_slice(&length.to_be_bytes());
        }
    }
    Ok(())
}

/// Reads an array of `of`. Where it starts counting is not told.
pub(super) fn decode(mut bytes: &[u8], of: &PgTypeInfo) -> Result<Dynamic, String> {
    const BROKEN: &str = "holds an array that cannot be read";
    let bytes = &mut bytes;
    let number = |bytes: &mut &[u8]| bytes.try_get_i32().map_err(|_| BROKEN);
    let dimensions = number(bytes)?;
    let (_has_null, _element) = (number(bytes)?, number(bytes)?);
    let mut lengths = Vec::new();
    for _ in 0..dimensions {
        lengths.push(usize::try_from(number(bytes)?).map_err(|_| BROKEN)?);
        number(bytes)?;
    }
    if lengths.is_empty() || lengths.contains(&0) {
        return Ok(Dynamic::List(Vec::new()));
    }
    let mut elements = Vec::new();
    while bytes.has_remaining() {
        let Ok(length) = usize::try_from(number(bytes)?) else {
            elements.push(Dynamic::Null);
            continue;
        };
        let (element, rest) = bytes.split_at_checked(length).ok_or(BROKEN)?;
        *bytes = rest;
        elements.push(super::decode(element, of, || bytes::Bytes::copy_from_slice(element))?);
    }
    // From the innermost dimension outwards; what then is left over is the whole.
    for length in lengths[1..].iter().rev() {
        let mut left = elements.into_iter();
        let mut outer = Vec::new();
        loop {
            let inner: Vec<Dynamic> = left.by_ref().take(*length).collect();
            if inner.is_empty() {
                break;
            }
            outer.push(Dynamic::List(inner));
        }
        elements = outer;
    }
    if elements.len() == lengths[0] { Ok(Dynamic::List(elements)) } else { Err(BROKEN.into()) }
}
