//! Values of the application's statements, to PostgreSQL's binary formats and from them.
//!
//! What is known from node-postgres holds here too: `int8` and `numeric` are text, because a
//! JavaScript number would round them; `json` is parsed; arrays are lists. `timestamp` and `date`
//! have no time zone and are read and written as UTC. A type that is not here (`inet`, `interval`,
//! ranges, ...) crosses as text, by a cast in the statement.

mod array;
mod json;
mod moment;
mod numeric;

use std::cell::Cell;

use bytes::Bytes;
use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, PgTypeKind, Postgres};
use sqlx::{Type, TypeInfo};

use crate::contract::dynamic::Dynamic;
use moment::Moment;

// OIDs of built-in types (pg_type.dat); they never change.
pub(super) const BOOL: u32 = 16;
pub(super) const BYTEA: u32 = 17;
const CHAR: u32 = 18;
pub(super) const NAME: u32 = 19;
pub(super) const INT8: u32 = 20;
pub(super) const INT2: u32 = 21;
pub(super) const INT4: u32 = 23;
pub(super) const TEXT: u32 = 25;
const OID: u32 = 26;
const JSON: u32 = 114;
const FLOAT4: u32 = 700;
const FLOAT8: u32 = 701;
const UNKNOWN: u32 = 705;
pub(super) const BPCHAR: u32 = 1042;
pub(super) const VARCHAR: u32 = 1043;
const DATE: u32 = 1082;
const TIME: u32 = 1083;
const TIMESTAMP: u32 = 1114;
const TIMESTAMPTZ: u32 = 1184;
const NUMERIC: u32 = 1700;
const VOID: u32 = 2278;
const UUID: u32 = 2950;
const JSONB: u32 = 3802;

/// Types that the server gives OIDs of its own start here.
const FIRST_OWN: u32 = 16_384;

/// How a type's values are written.
#[derive(Clone, Copy)]
enum Form<'t> {
    /// As those of the built-in type of this OID.
    Of(u32),
    /// As an array of this type.
    ArrayOf(&'t PgTypeInfo),
}

/// How a type's values are written; nothing for a type that is not known here.
fn form(mut of: &PgTypeInfo) -> Option<Form<'_>> {
    loop {
        match of.oid().map_or(0, |oid| oid.0) {
            oid @ (BOOL | BYTEA | CHAR | NAME | INT8 | INT2 | INT4 | TEXT | OID | JSON | FLOAT4 | FLOAT8 | UNKNOWN
            | BPCHAR | VARCHAR | DATE | TIME | TIMESTAMP | TIMESTAMPTZ | NUMERIC | VOID | UUID | JSONB) => {
                return Some(Form::Of(oid));
            }
            // sqlx panics when it is asked for the kind of a type that it has not looked up.
            oid if of.name() == "?" => return array::element_of(oid).map(Form::ArrayOf),
            _ => {}
        }
        match of.kind() {
            PgTypeKind::Domain(base) => of = base,
            PgTypeKind::Enum(_) => return Some(Form::Of(TEXT)),
            PgTypeKind::Array(element) => return Some(Form::ArrayOf(element)),
            // An extension's, so its OID is not known; with the schema's name where that is not searched.
            PgTypeKind::Simple if of.name().rsplit('.').next() == Some("citext") => return Some(Form::Of(TEXT)),
            _ => return None,
        }
    }
}

/// Whether values of the type can be read and written.
pub(super) fn is_known(of: &PgTypeInfo) -> bool {
    match form(of) {
        Some(Form::Of(_)) => true,
        Some(Form::ArrayOf(element)) => is_known(element),
        None => false,
    }
}

/// The type's name as SQL has it.
pub(super) fn name(of: &PgTypeInfo) -> String {
    match of.oid() {
        Some(oid) if of.name() == "?" => format!("with OID {}", oid.0),
        Some(oid) if oid.0 < FIRST_OWN => of.name().to_lowercase(),
        _ => of.name().to_owned(),
    }
}

/// A value on its way into a parameter of a certain type. Encoding fails with what is wrong.
pub(super) struct Parameter<'a> {
    pub(super) value: &'a Dynamic,
    pub(super) of: &'a PgTypeInfo,
    /// Counts the bytes that were written.
    pub(super) sent: &'a Cell<usize>,
}

impl Type<Postgres> for Parameter<'_> {
    fn type_info() -> PgTypeInfo {
        // Never asked for: each says its own.
        PgTypeInfo::with_oid(Oid(0))
    }
}

impl Encode<'_, Postgres> for Parameter<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let before = buffer.len();
        let is_null = encode(self.value, self.of, buffer)?;
        self.sent.set(self.sent.get() + buffer.len() - before);
        Ok(if is_null { IsNull::Yes } else { IsNull::No })
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.of.clone())
    }

    fn size_hint(&self) -> usize {
        0
    }
}

/// The type that a value most likely means, for where the server cannot be asked. NULL has no
/// type, so that the server chooses it.
pub(super) fn guess(value: &Dynamic) -> PgTypeInfo {
    let oid = match value {
        Dynamic::Null => 0,
        Dynamic::Bool(_) => BOOL,
        Dynamic::Int(_) => INT8,
        Dynamic::Number(_) => FLOAT8,
        Dynamic::Text(_) => TEXT,
        Dynamic::Bytes(_) => BYTEA,
        Dynamic::Time(_) => TIMESTAMPTZ,
        Dynamic::Map(_) => JSONB,
        Dynamic::List(elements) => return array::guess(elements),
    };
    PgTypeInfo::with_oid(Oid(oid))
}

/// Writes a value; true if it is NULL, which has no bytes.
fn encode(value: &Dynamic, of: &PgTypeInfo, out: &mut Vec<u8>) -> Result<bool, String> {
    if *value == Dynamic::Null {
        return Ok(true);
    }
    match form(of) {
        Some(Form::Of(oid)) => encode_as(oid, value, out)?,
        Some(Form::ArrayOf(element)) => array::encode(value, element, out)?,
        None => return Err(format!("this type cannot be sent; send text and cast it: $n::text::{}", name(of))),
    }
    Ok(false)
}

fn encode_as(oid: u32, value: &Dynamic, out: &mut Vec<u8>) -> Result<(), String> {
    const RANGE: &str = "a number out of range";
    match oid {
        BOOL => out.push(u8::from(boolean(value)?)),
        INT2 => out.extend(i16::try_from(whole(value)?).map_err(|_| RANGE)?.to_be_bytes()),
        INT4 => out.extend(i32::try_from(whole(value)?).map_err(|_| RANGE)?.to_be_bytes()),
        INT8 => out.extend(whole(value)?.to_be_bytes()),
        OID => out.extend(u32::try_from(whole(value)?).map_err(|_| RANGE)?.to_be_bytes()),
        FLOAT4 => {
            let wide = float(value)?;
            #[allow(clippy::cast_possible_truncation)]
            let narrow = wide as f32;
            if (narrow.is_infinite() && wide.is_finite()) || (narrow == 0.0 && wide != 0.0) {
                return Err(RANGE.into());
            }
            out.extend(narrow.to_be_bytes());
        }
        FLOAT8 => out.extend(float(value)?.to_be_bytes()),
        NUMERIC => match value {
            Dynamic::Int(number) => numeric::encode(&number.to_string(), out)?,
            Dynamic::Number(number) => numeric::encode(&number.to_string(), out)?,
            Dynamic::Text(text) => numeric::encode(text, out)?,
            other => return Err(instead("a number or decimal text", other)),
        },
        BYTEA => match value {
            Dynamic::Bytes(bytes) => out.extend_from_slice(bytes),
            other => return Err(instead("a Buffer or Uint8Array", other)),
        },
        DATE => out.extend(moment::days_of_micros(micros(value)?).to_be_bytes()),
        TIMESTAMP | TIMESTAMPTZ => out.extend(micros(value)?.to_be_bytes()),
        TIME => {
            let time = match value {
                Dynamic::Time(at) => Some(moment::time_of(*at)),
                Dynamic::Text(text) => moment::time_of_text(text),
                other => return Err(instead("text like 13:47:18.120", other)),
            };
            out.extend(time.ok_or("text that is no time of day like 13:47:18.120")?.to_be_bytes());
        }
        UUID => match value {
            Dynamic::Text(text) => out.extend(uuid(text).ok_or("text that is no uuid")?.to_be_bytes()),
            other => return Err(instead("the text of a uuid", other)),
        },
        JSON | JSONB => {
            if oid == JSONB {
                out.push(1);
            }
            out.extend(json_text(value)?.as_bytes());
        }
        CHAR => match value {
            Dynamic::Text(text) if text.len() <= 1 => out.push(text.bytes().next().unwrap_or(0)),
            other => return Err(instead("one character", other)),
        },
        VOID => return Err("a value where there is no place for one".into()),
        _ => out.extend(text(value)?.as_bytes()),
    }
    Ok(())
}

fn instead(wanted: &str, found: &Dynamic) -> String {
    let found = match found {
        Dynamic::Null => "null",
        Dynamic::Bool(_) => "a boolean",
        Dynamic::Int(_) => "a whole number",
        Dynamic::Number(_) => "a number",
        Dynamic::Text(_) => "text",
        Dynamic::Bytes(_) => "bytes",
        Dynamic::Time(_) => "a Date",
        Dynamic::List(_) => "an array",
        Dynamic::Map(_) => "an object",
    };
    format!("{found} where {wanted} should be")
}

fn boolean(value: &Dynamic) -> Result<bool, String> {
    match value {
        Dynamic::Bool(flag) => Ok(*flag),
        Dynamic::Int(0) => Ok(false),
        Dynamic::Int(1) => Ok(true),
        Dynamic::Text(text) => match &*text.trim_ascii().to_ascii_lowercase() {
            "true" | "t" | "yes" | "y" | "on" | "1" => Ok(true),
            "false" | "f" | "no" | "n" | "off" | "0" => Ok(false),
            _ => Err("text that is no boolean".into()),
        },
        other => Err(instead("a boolean", other)),
    }
}

fn whole(value: &Dynamic) -> Result<i64, String> {
    match value {
        Dynamic::Int(number) => Ok(*number),
        Dynamic::Number(number) if number.fract() != 0.0 => Err(instead("a whole number", value)),
        // The doubles next to the ends of the range.
        #[allow(clippy::cast_possible_truncation)]
        Dynamic::Number(number) if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(number) => {
            Ok(*number as i64)
        }
        Dynamic::Number(_) => Err("a number out of range".into()),
        Dynamic::Text(text) => {
            text.trim_ascii().parse().map_err(|_| "text that is no whole number, or one out of range".into())
        }
        other => Err(instead("a whole number", other)),
    }
}

fn float(value: &Dynamic) -> Result<f64, String> {
    match value {
        #[allow(clippy::cast_precision_loss)]
        Dynamic::Int(number) => Ok(*number as f64),
        Dynamic::Number(number) => Ok(*number),
        Dynamic::Text(text) => match text.trim_ascii().parse::<f64>() {
            Ok(number) if number.is_infinite() && text.contains(|c: char| c.is_ascii_digit()) => {
                Err("a number out of range".into())
            }
            Ok(number) => Ok(number),
            Err(_) => Err("text that is no number".into()),
        },
        other => Err(instead("a number", other)),
    }
}

fn micros(value: &Dynamic) -> Result<i64, String> {
    match value {
        Dynamic::Time(at) => moment::micros_of(*at).ok_or_else(|| "a Date that PostgreSQL does not reach".into()),
        Dynamic::Text(text) => moment::micros_of_text(text).ok_or_else(|| {
            "text that is not ISO 8601; PostgreSQL reads other forms by a cast: $n::text::timestamptz".into()
        }),
        other => Err(instead("a Date or ISO 8601 text", other)),
    }
}

/// As PostgreSQL reads it: hyphens may be missing, braces may be there.
fn uuid(text: &str) -> Option<u128> {
    let text = text.trim_ascii();
    let bare = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text).replace('-', "");
    let is_hex = bare.len() == 32 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
    u128::from_str_radix(&bare, 16).ok().filter(|_| is_hex)
}

fn json_text(value: &Dynamic) -> Result<String, String> {
    if let Dynamic::Text(text) = value {
        return without_nul(text).map(str::to_owned);
    }
    let mut text = String::new();
    json::write(value, &mut text)?;
    Ok(text)
}

fn text(value: &Dynamic) -> Result<String, String> {
    match value {
        Dynamic::Text(text) => without_nul(text).map(str::to_owned),
        Dynamic::Int(number) => Ok(number.to_string()),
        Dynamic::Number(number) => Ok(number.to_string()),
        Dynamic::Bool(flag) => Ok(flag.to_string()),
        Dynamic::Time(at) => at.iso().ok_or_else(|| "a Date that ISO 8601 has no four-digit year for".into()),
        other => Err(instead("text", other)),
    }
}

fn without_nul(text: &str) -> Result<&str, String> {
    if text.contains('\0') {
        Err("text with a NUL character, which PostgreSQL does not store".into())
    } else {
        Ok(text)
    }
}

/// Reads a value that is not NULL. Bytes are `bytea` handed over by `share`, which may keep the
/// buffer that they are in; within arrays they are copied.
pub(super) fn decode(bytes: &[u8], of: &PgTypeInfo, share: impl FnOnce() -> Bytes) -> Result<Dynamic, String> {
    match form(of) {
        Some(Form::Of(BYTEA)) => Ok(Dynamic::Bytes(share())),
        Some(Form::Of(oid)) => decode_as(oid, bytes),
        Some(Form::ArrayOf(element)) => array::decode(bytes, element),
        None => Err("has a type that cannot be read".into()),
    }
}

fn decode_as(oid: u32, bytes: &[u8]) -> Result<Dynamic, String> {
    const BROKEN: &str = "holds bytes that are not of its type";
    fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], String> {
        bytes.try_into().map_err(|_| BROKEN.into())
    }
    let text = || std::str::from_utf8(bytes).map_err(|_| BROKEN);
    let when = |moment: Option<Moment>| match moment {
        Some(Moment::At(at)) => Ok(Dynamic::Time(at)),
        Some(Moment::Never(name)) => Ok(Dynamic::text(name)),
        None => Err("holds a time that no Date reaches"),
    };
    Ok(match oid {
        BOOL => Dynamic::Bool(fixed::<1>(bytes)? != [0]),
        INT2 => Dynamic::Int(i16::from_be_bytes(fixed(bytes)?).into()),
        INT4 => Dynamic::Int(i32::from_be_bytes(fixed(bytes)?).into()),
        INT8 => Dynamic::Text(i64::from_be_bytes(fixed(bytes)?).to_string()),
        OID => Dynamic::Int(u32::from_be_bytes(fixed(bytes)?).into()),
        // The shortest decimal number that means it, as text would say it: 0.1, not 0.10000000149.
        FLOAT4 => {
            let narrow = f32::from_be_bytes(fixed(bytes)?);
            Dynamic::Number(narrow.to_string().parse().unwrap_or_else(|_| f64::from(narrow)))
        }
        FLOAT8 => Dynamic::Number(f64::from_be_bytes(fixed(bytes)?)),
        NUMERIC => Dynamic::Text(numeric::decode(bytes).ok_or(BROKEN)?),
        BYTEA => Dynamic::Bytes(Bytes::copy_from_slice(bytes)),
        DATE => when(moment::moment_of_days(i32::from_be_bytes(fixed(bytes)?)))?,
        TIMESTAMP | TIMESTAMPTZ => when(moment::moment(i64::from_be_bytes(fixed(bytes)?)))?,
        TIME => Dynamic::Text(moment::time_text(i64::from_be_bytes(fixed(bytes)?))),
        UUID => {
            let hex = format!("{:032x}", u128::from_be_bytes(fixed(bytes)?));
            let (first, rest) = hex.split_at(8);
            Dynamic::Text(format!("{first}-{}-{}-{}-{}", &rest[..4], &rest[4..8], &rest[8..12], &rest[12..]))
        }
        JSON => json::read(text()?).map_err(|wrong| format!("holds {wrong}"))?,
        JSONB => {
            let json = text()?.strip_prefix('\x01').ok_or(BROKEN)?;
            json::read(json).map_err(|wrong| format!("holds {wrong}"))?
        }
        CHAR if bytes == [0] => Dynamic::text(""),
        VOID => Dynamic::Null,
        _ => Dynamic::text(text()?),
    })
}

#[cfg(test)]
mod tests;
