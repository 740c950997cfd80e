//! `numeric`: decimal text to PostgreSQL's binary form (groups of four digits) and back, exactly.

/// The most digits before the decimal point.
const MAX_BEFORE: i64 = 131_072;
/// The most digits behind it.
const MAX_BEHIND: i64 = 16_383;

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;

/// Encodes decimal text.
pub(super) fn encode(text: &str, out: &mut Vec<u8>) -> Result<(), &'static str> {
    const NO_NUMBER: &str = "text that is no decimal number";
    let text = text.trim_ascii();
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let special = match &*unsigned.to_ascii_lowercase() {
        "nan" => Some(NAN),
        "infinity" | "inf" if negative => Some(NEGATIVE_INFINITY),
        "infinity" | "inf" => Some(INFINITY),
        _ => None,
    };
    if let Some(sign) = special {
        head(0, 0, sign, 0, out);
        return Ok(());
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| NO_NUMBER)?),
        None => (unsigned, 0),
    };
    let (before, behind) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if mantissa.len() < 1 + usize::from(mantissa.contains('.')) || !is_digits(before) || !is_digits(behind) {
        return Err(NO_NUMBER);
    }
    // The number is 0.DIGITS times ten to the power of `point`.
    let digits = before.bytes().chain(behind.bytes()).map(|byte| u16::from(byte - b'0'));
    let zeros = digits.clone().take_while(|digit| *digit == 0).count();
    let digits: Vec<u16> = digits.skip(zeros).collect();
    let length = |count: usize| i64::try_from(count).unwrap_or(i64::MAX / 4);
    let point = length(before.len()) + i64::from(exponent) - length(zeros);
    let scale = (length(behind.len()) - i64::from(exponent)).max(0);
    let scale = u16::try_from(scale).ok().filter(|scale| i64::from(*scale) <= MAX_BEHIND);
    let scale = scale.ok_or("a number with more digits behind the decimal point than numeric has")?;
    if digits.is_empty() {
        head(0, 0, 0, scale, out);
        return Ok(());
    }
    if point > MAX_BEFORE {
        return Err("a number out of the range of numeric");
    }
    let groups_before = point.div_euclid(4) + i64::from(point.rem_euclid(4) != 0);
    let padding = usize::try_from(groups_before * 4 - point).unwrap_or_default();
    let mut groups: Vec<u16> = Vec::with_capacity(digits.len() / 4 + 2);
    let padded: Vec<u16> = std::iter::repeat_n(0, padding).chain(digits).collect();
    for four in padded.chunks(4) {
        groups.push((0..4).fold(0, |group, at| group * 10 + four.get(at).copied().unwrap_or(0)));
    }
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let count = u16::try_from(groups.len()).map_err(|_| "a number with too many digits")?;
    let weight = i16::try_from(groups_before - 1).map_err(|_| "a number out of the range of numeric")?;
    head(count, weight, if negative { NEGATIVE } else { 0 }, scale, out);
    for group in groups {
        out.extend(group.to_be_bytes());
    }
    Ok(())
}

fn head(count: u16, weight: i16, sign: u16, scale: u16, out: &mut Vec<u8>) {
    out.extend(count.to_be_bytes());
    out.extend(weight.to_be_bytes());
    out.extend(sign.to_be_bytes());
    out.extend(scale.to_be_bytes());
}

/// Decodes to text, as PostgreSQL itself writes it.
pub(super) fn decode(bytes: &[u8]) -> Option<String> {
    let mut shorts = bytes.chunks(2).map(|pair| <[u8; 2]>::try_from(pair).ok().map(u16::from_be_bytes));
    let mut next = || shorts.next().flatten();
    let (count, weight, sign, scale) = (next()?, next()?.cast_signed(), next()?, next()?);
    let groups = (0..count).map(|_| next()).collect::<Option<Vec<u16>>>()?;
    let mut text = String::from(match sign {
        NAN => return Some(String::from("NaN")),
        INFINITY => return Some(String::from("Infinity")),
        NEGATIVE_INFINITY => return Some(String::from("-Infinity")),
        NEGATIVE => "-",
        _ => "",
    });
    // The group whose last digit is that of ten thousand to the power of `power`.
    let group = |power: i32| {
        let at = usize::try_from(i32::from(weight) - power).ok();
        at.and_then(|at| groups.get(at)).copied().unwrap_or(0)
    };
    text.push_str(&group(i32::from(weight).max(0)).to_string());
    for power in (0..i32::from(weight)).rev() {
        text.extend(format!("{:04}", group(power)).chars());
    }
    if scale > 0 {
        text.push('.');
        let whole = text.len();
        for power in 1..=i32::from(scale.div_ceil(4)) {
            text.extend(format!("{:04}", group(-power)).chars());
        }
        text.truncate(whole + usize::from(scale));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn there_and_back(text: &str) -> Result<String, &'static str> {
        let mut bytes = Vec::new();
        encode(text, &mut bytes)?;
        Ok(decode(&bytes).unwrap())
    }

    #[test]
    fn the_binary_form_is_postgresqls() {
        // What `select encode(numeric_send(...), 'hex')` shows.
        for (text, hex) in [
            ("0", "0000000000000000"),
            ("0.00", "0000000000000002"),
            ("1", "00010000000000000001"),
            ("-12345.678", "0003000140000003000109291a7c"),
            ("0.0001", "0001ffff000000040001"),
            ("0.00001", "0001fffe0000000503e8"),
            ("100000000", "00010002000000000001"),
            ("NaN", "00000000c0000000"),
        ] {
            let mut bytes = Vec::new();
            encode(text, &mut bytes).unwrap();
            let found: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(found.concat(), hex, "{text}");
            assert_eq!(decode(&bytes).as_deref(), Some(text));
        }
    }

    #[test]
    fn every_way_of_writing_it_is_read() {
        for (text, expected) in [
            ("+1", "1"),
            (" 1.50 ", "1.50"),
            (".5", "0.5"),
            ("5.", "5"),
            ("007", "7"),
            ("-0.0", "0.0"),
            ("1e3", "1000"),
            ("1.5E+3", "1500"),
            ("1.2345e2", "123.45"),
            ("12e-4", "0.0012"),
            ("0e5", "0"),
            ("infinity", "Infinity"),
            ("-inf", "-Infinity"),
            ("nan", "NaN"),
        ] {
            assert_eq!(there_and_back(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "-", ".", "1.2.3", "1e", "1e1.5", "e5", "0x10", "1_000", "1 2", "--1", "١", "1e999999999999"]
        {
            assert!(there_and_back(text).is_err(), "{text}");
        }
        assert!(there_and_back("1e131071").is_ok_and(|text| text.len() == 131_072));
        assert!(there_and_back("1e131072").is_err());
        assert!(there_and_back("1e-16383").is_ok_and(|text| text.len() == 16_385));
        assert!(there_and_back("1e-16384").is_err());
        assert!(there_and_back("1e2147483647").is_err() && there_and_back("1e-2147483648").is_err());
    }

    #[test]
    fn what_is_cut_off_is_no_number() {
        assert_eq!(decode(&[0, 1, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(decode(&[0, 1, 0]), None);
    }

    proptest! {
        #[test]
        fn digits_come_back_as_they_were(negative: bool, before in "0|[1-9][0-9]{0,40}", behind in "[0-9]{0,40}") {
            let unsigned = if behind.is_empty() { before } else { format!("{before}.{behind}") };
            let is_zero = unsigned.bytes().all(|byte| byte == b'0' || byte == b'.');
            let text = if negative && !is_zero { format!("-{unsigned}") } else { unsigned };
            prop_assert_eq!(there_and_back(&text), Ok(text));
        }

        #[test]
        fn doubles_keep_their_value(number in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO) {
            prop_assert_eq!(there_and_back(&number.to_string()).unwrap().parse(), Ok(number + 0.0));
        }

        #[test]
        fn an_exponent_moves_the_point(digits in "[1-9][0-9]{0,12}", exponent in -30_i32..30) {
            let text = there_and_back(&format!("{digits}e{exponent}")).unwrap();
            prop_assert_eq!(text.parse::<f64>(), format!("{digits}e{exponent}").parse::<f64>());
        }
    }
}
