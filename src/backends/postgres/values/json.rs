//! JSON, read and written as JavaScript does it: properties keep their order and the last of a
//! name counts; any number is the nearest double. (serde_json sorts the properties, and refuses
//! or misses numbers by a bit, unless features are set that would hold for the whole program.)

use std::collections::HashMap;

use crate::contract::dynamic::Dynamic;

/// Deeper than this neither side goes: reading and writing are recursive.
const MAX_DEPTH: usize = 500;

/// The largest whole number that every number below it is told apart from.
const MAX_SAFE: i64 = 9_007_199_254_740_991;

const TOO_DEEP: &str = "JSON that is nested too deeply";

/// Reads JSON that PostgreSQL has checked.
pub(super) fn read(text: &str) -> Result<Dynamic, &'static str> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    if reader.peek().is_some() { Err(NO_JSON) } else { Ok(value) }
}

const NO_JSON: &str = "text that is no JSON";

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        let blanks = rest.iter().take_while(|byte| b" \t\n\r".contains(byte)).count();
        self.at += blanks;
        rest.get(blanks).copied()
    }

    fn take(&mut self, expected: u8) -> bool {
        let is = self.peek() == Some(expected);
        self.at += usize::from(is);
        is
    }

    fn expect(&mut self, expected: u8) -> Result<(), &'static str> {
        if self.take(expected) { Ok(()) } else { Err(NO_JSON) }
    }

    fn value(&mut self, depth: usize) -> Result<Dynamic, &'static str> {
        if depth > MAX_DEPTH {
            return Err(TOO_DEEP);
        }
        match self.peek().ok_or(NO_JSON)? {
            b'"' => self.string().map(Dynamic::Text),
            b'[' => self.list(depth),
            b'{' => self.object(depth),
            b't' => self.word("true", Dynamic::Bool(true)),
            b'f' => self.word("false", Dynamic::Bool(false)),
            b'n' => self.word("null", Dynamic::Null),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str, value: Dynamic) -> Result<Dynamic, &'static str> {
        if !self.text[self.at..].starts_with(word) {
            return Err(NO_JSON);
        }
        self.at += word.len();
        Ok(value)
    }

    fn number(&mut self) -> Result<Dynamic, &'static str> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !c.is_ascii_digit() && !"+-.eE".contains(c)).unwrap_or(rest.len());
        let number = &rest[..end];
        self.at += end;
        match number.parse::<i64>() {
            Ok(whole) if whole.unsigned_abs() <= MAX_SAFE.unsigned_abs() && number != "-0" => Ok(Dynamic::Int(whole)),
            _ => number.parse().map(Dynamic::Number).map_err(|_| NO_JSON),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Dynamic, &'static str> {
        self.expect(b'[')?;
        let mut elements = Vec::new();
        if !self.take(b']') {
            loop {
                elements.push(self.value(depth + 1)?);
                if !self.take(b',') {
                    self.expect(b']')?;
                    break;
                }
            }
        }
        Ok(Dynamic::List(elements))
    }

    fn object(&mut self, depth: usize) -> Result<Dynamic, &'static str> {
        self.expect(b'{')?;
        let mut properties: Vec<(String, Dynamic)> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        if !self.take(b'}') {
            loop {
                if self.peek() != Some(b'"') {
                    return Err(NO_JSON);
                }
                let name = self.string()?;
                self.expect(b':')?;
                let value = self.value(depth + 1)?;
                if let Some(at) = known.get(&name) {
                    properties[*at].1 = value;
                } else {
                    known.insert(name.clone(), properties.len());
                    properties.push((name, value));
                }
                if !self.take(b',') {
                    self.expect(b'}')?;
                    break;
                }
            }
        }
        Ok(Dynamic::Map(properties))
    }

    fn string(&mut self) -> Result<String, &'static str> {
        self.at += 1;
        let mut string = String::new();
        loop {
            let rest = &self.text[self.at..];
            let end = rest.find(['"', '\\']).ok_or(NO_JSON)?;
            string.push_str(&rest[..end]);
            self.at += end + 1;
            if rest.as_bytes()[end] == b'"' {
                return Ok(string);
            }
            let escape = *self.text.as_bytes().get(self.at).ok_or(NO_JSON)?;
            self.at += 1;
            string.push(match escape {
                b'b' => '\x08',
                b'f' => '\x0c',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => self.code_point()?,
                b'"' | b'\\' | b'/' => char::from(escape),
                _ => return Err(NO_JSON),
            });
        }
    }

    fn code_point(&mut self) -> Result<char, &'static str> {
        let mut units = vec![self.unit()?];
        if (0xD800..0xDC00).contains(&units[0]) && self.text[self.at..].starts_with("\\u") {
            self.at += 2;
            units.push(self.unit()?);
        }
        let text = String::from_utf16(&units).map_err(|_| "JSON with half of a surrogate pair")?;
        text.chars().next().ok_or(NO_JSON)
    }

    fn unit(&mut self) -> Result<u16, &'static str> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(NO_JSON)?;
        self.at += 4;
        u16::from_str_radix(digits, 16).map_err(|_| NO_JSON)
    }
}

/// Writes JSON as `JSON.stringify` does.
pub(super) fn write(value: &Dynamic, out: &mut String) -> Result<(), &'static str> {
    element(value, 0, out)
}

fn element(value: &Dynamic, depth: usize, out: &mut String) -> Result<(), &'static str> {
    if depth > MAX_DEPTH {
        return Err(TOO_DEEP);
    }
    match value {
        Dynamic::Null => out.push_str("null"),
        Dynamic::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Dynamic::Int(number) => out.push_str(&number.to_string()),
        // Neither NaN nor the infinities are JSON.
        Dynamic::Number(number) => {
            out.push_str(&serde_json::Number::from_f64(*number).map_or_else(|| "null".into(), |n| n.to_string()));
        }
        Dynamic::Text(text) => string(text, out),
        Dynamic::Time(at) => string(&at.iso().ok_or("a Date that ISO 8601 has no four-digit year for")?, out),
        Dynamic::Bytes(_) => return Err("bytes, which JSON does not have"),
        Dynamic::List(elements) => {
            for (index, value) in elements.iter().enumerate() {
                out.push(if index == 0 { '[' } else { ',' });
                element(value, depth + 1, out)?;
            }
            out.push_str(if elements.is_empty() { "[]" } else { "]" });
        }
        Dynamic::Map(properties) => {
            for (index, (name, value)) in properties.iter().enumerate() {
                out.push(if index == 0 { '{' } else { ',' });
                string(name, out);
                out.push(':');
                element(value, depth + 1, out)?;
            }
            out.push_str(if properties.is_empty() { "{}" } else { "}" });
        }
    }
    Ok(())
}

fn string(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::Millis;

    fn written(value: &Dynamic) -> Result<String, &'static str> {
        let mut text = String::new();
        write(value, &mut text).map(|()| text)
    }

    #[test]
    fn it_is_read_as_javascript_reads_it() {
        let int = Dynamic::Int;
        for (text, value) in [
            (" null ", Dynamic::Null),
            ("true", Dynamic::Bool(true)),
            ("-12", int(-12)),
            ("9007199254740991", int(9_007_199_254_740_991)),
            ("9007199254740993", Dynamic::Number(9_007_199_254_740_992.0)),
            ("123456789012345678901234567890", Dynamic::Number(1.234_567_890_123_456_8e29)),
            ("1e400", Dynamic::Number(f64::INFINITY)),
            ("1.0", Dynamic::Number(1.0)),
            ("[]", Dynamic::List(vec![])),
            ("[1, [2] ]", Dynamic::List(vec![int(1), Dynamic::List(vec![int(2)])])),
            ("{ }", Dynamic::Map(vec![])),
            (r#"{"b": 1, "a": 2, "b": 3}"#, Dynamic::map([("b", int(3)), ("a", int(2))])),
            (r#""\u00e9\ud83d\ude00\n\/\\\"é""#, Dynamic::text("é😀\n/\\\"é")),
        ] {
            assert_eq!(read(text), Ok(value), "{text}");
        }
        for text in [
            "",
            "nul",
            "[1",
            "[1,]",
            "{\"a\"}",
            "{a:1}",
            "\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "1 2",
            "é",
            "-",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read(&format!("{}{}", "[".repeat(400), "]".repeat(400))).is_ok());
        assert!(read(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn it_is_written_as_javascript_writes_it() {
        let value = Dynamic::map([
            ("b\"", Dynamic::List(vec![Dynamic::Null, Dynamic::Number(f64::NAN), Dynamic::Number(0.1)])),
            ("a", Dynamic::Time(Millis(-1))),
            ("c", Dynamic::Map(vec![])),
        ]);
        let text = r#"{"b\"":[null,null,0.1],"a":"1969-12-31T23:59:59.999Z","c":{}}"#;
        assert_eq!(written(&value).as_deref(), Ok(text));
        assert!(written(&Dynamic::List(vec![Dynamic::Bytes("x".into())])).is_err());
        let deep = (0..1_000).fold(Dynamic::Null, |inner, _| Dynamic::List(vec![inner]));
        assert!(written(&deep).is_err());
    }

    fn json() -> impl Strategy<Value = Dynamic> {
        let leaf = prop_oneof![
            Just(Dynamic::Null),
            any::<bool>().prop_map(Dynamic::Bool),
            (-MAX_SAFE..=MAX_SAFE).prop_map(Dynamic::Int),
            (proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL)
                .prop_filter("whole numbers are the case before", |number| number.fract() != 0.0)
                .prop_map(Dynamic::Number),
            any::<String>().prop_map(Dynamic::Text),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Dynamic::List),
                proptest::collection::hash_map(any::<String>(), inner, 0..5)
                    .prop_map(|properties| Dynamic::Map(properties.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value in json()) {
            let text = written(&value).unwrap();
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
            prop_assert_eq!(read(&text), Ok(value));
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = read(&text);
        }

        #[test]
        fn nothing_like_json_makes_it_panic(text in r#"[\[\]{}",:\\u0-9a-f.eE+ \-]{0,30}"#) {
            let _ = read(&text);
        }
    }
}
