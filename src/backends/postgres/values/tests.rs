use proptest::prelude::*;

use super::*;
use crate::time::Millis;

fn of(oid: u32) -> PgTypeInfo {
    PgTypeInfo::with_oid(Oid(oid))
}

fn there_and_back(value: &Dynamic, of: &PgTypeInfo) -> Result<Dynamic, String> {
    let mut bytes = Vec::new();
    if encode(value, of, &mut bytes)? {
        return Ok(Dynamic::Null);
    }
    decode(&bytes, of, || Bytes::copy_from_slice(&bytes))
}

fn list(elements: impl IntoIterator<Item = i64>) -> Dynamic {
    Dynamic::List(elements.into_iter().map(Dynamic::Int).collect())
}

#[test]
fn values_become_those_of_the_parameters_type() {
    let (int, number, text) = (Dynamic::Int, Dynamic::Number, Dynamic::text);
    let at = Dynamic::Time(Millis(1_784_555_238_120));
    for (oid, value, back) in [
        (BOOL, Dynamic::Bool(true), Dynamic::Bool(true)),
        (BOOL, int(0), Dynamic::Bool(false)),
        (BOOL, text("Yes"), Dynamic::Bool(true)),
        (INT2, int(-32_768), int(-32_768)),
        (INT4, text(" 7 "), int(7)),
        (INT8, int(i64::MIN), text("-9223372036854775808")),
        (INT8, number(9_007_199_254_740_992.0), text("9007199254740992")),
        (INT8, text("9223372036854775807"), text("9223372036854775807")),
        (OID, int(4_294_967_295), int(4_294_967_295)),
        (FLOAT4, number(0.1), number(0.1)),
        (FLOAT8, int(3), number(3.0)),
        (FLOAT8, text("-Infinity"), number(f64::NEG_INFINITY)),
        (NUMERIC, number(0.1), text("0.1")),
        (NUMERIC, int(i64::MAX), text("9223372036854775807")),
        (NUMERIC, text("12345678901234567890.10"), text("12345678901234567890.10")),
        (TEXT, text("ü"), text("ü")),
        (VARCHAR, int(5), text("5")),
        (TEXT, Dynamic::Bool(true), text("true")),
        (TEXT, Dynamic::Time(Millis(-1)), text("1969-12-31T23:59:59.999Z")),
        (CHAR, text("x"), text("x")),
        (CHAR, text(""), text("")),
        (BYTEA, Dynamic::Bytes("\0\x01".into()), Dynamic::Bytes("\0\x01".into())),
        (TIMESTAMPTZ, at.clone(), at.clone()),
        (TIMESTAMP, text("2026-07-20T15:47:18.120+02:00"), at.clone()),
        (TIMESTAMPTZ, text("infinity"), text("infinity")),
        (DATE, at.clone(), Dynamic::Time(Millis(1_784_505_600_000))),
        (TIME, at, text("13:47:18.12")),
        (UUID, text("{A0EEBC99-9c0b4ef8-bb6d6bb9bd380a11}"), text("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
        (JSON, text("[1, 2]"), list([1, 2])),
        (JSONB, list([1]), list([1])),
        (JSONB, number(0.5), number(0.5)),
        (JSONB, Dynamic::Null, Dynamic::Null),
    ] {
        assert_eq!(there_and_back(&value, &of(oid)), Ok(back), "{oid}: {value:?}");
    }
}

#[test]
fn what_does_not_fit_is_told() {
    let (int, number, text) = (Dynamic::Int, Dynamic::Number, Dynamic::text);
    for (oid, value, wrong) in [
        (BOOL, int(2), "boolean"),
        (BOOL, text("maybe"), "no boolean"),
        (INT2, int(32_768), "out of range"),
        (INT4, int(-2_147_483_649), "out of range"),
        (INT8, number(1.5), "whole number"),
        (INT8, number(9_223_372_036_854_775_808.0), "out of range"),
        (INT8, number(f64::NAN), "whole number"),
        (INT8, text("9223372036854775808"), "out of range"),
        (INT4, Dynamic::Bool(true), "a boolean where a whole number"),
        (OID, int(-1), "out of range"),
        (FLOAT4, number(1e39), "out of range"),
        (FLOAT4, number(1e-60), "out of range"),
        (FLOAT8, text("1e400"), "out of range"),
        (FLOAT8, text("1,5"), "no number"),
        (NUMERIC, text("1,5"), "no decimal number"),
        (NUMERIC, Dynamic::Bool(true), "a boolean"),
        (TEXT, text("a\0b"), "NUL"),
        (TEXT, Dynamic::Bytes(Bytes::new()), "bytes where text"),
        (TEXT, list([]), "an array where text"),
        (TEXT, Dynamic::map([]), "an object where text"),
        (CHAR, text("xy"), "one character"),
        (BYTEA, text("\\x00"), "text where a Buffer"),
        (TIMESTAMPTZ, int(0), "a whole number where a Date"),
        (TIMESTAMPTZ, text("now"), "$n::text"),
        (TIMESTAMP, Dynamic::Time(Millis(-8_640_000_000_000_000)), "does not reach"),
        (TIME, text("noon"), "time of day"),
        (UUID, text("a0eebc99"), "no uuid"),
        (UUID, text("+0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), "no uuid"),
        (JSON, Dynamic::Bytes(Bytes::new()), "bytes"),
        (JSONB, Dynamic::map([("a", Dynamic::Bytes(Bytes::new()))]), "bytes"),
        (VOID, int(1), "no place"),
        (869, text("::1"), "$n::text"),
    ] {
        let told = there_and_back(&value, &of(oid)).expect_err("refused");
        assert!(told.contains(wrong), "{oid}: {value:?}: {told}");
    }
}

#[test]
fn bytes_that_are_not_of_the_type_are_told() {
    for oid in [BOOL, INT2, INT4, INT8, OID, FLOAT4, FLOAT8, NUMERIC, DATE, TIME, TIMESTAMP, TIMESTAMPTZ, UUID, JSONB] {
        assert!(decode_as(oid, b"\xff\xff\xff").is_err(), "{oid}");
    }
    assert!(decode_as(TEXT, b"\xff").is_err() && decode_as(JSON, b"{").is_err());
    let ints = <Vec<i32> as Type<Postgres>>::type_info();
    for broken in [&b"\0"[..], &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23, 0, 0, 0, 2, 0, 0, 0, 1, 255, 255, 255, 255]] {
        assert!(decode(broken, &ints, Bytes::new).is_err());
    }
}

#[test]
fn arrays_have_dimensions_and_nulls() {
    let ints = <Vec<i32> as Type<Postgres>>::type_info();
    let mut bytes = Vec::new();
    encode(&Dynamic::List(vec![Dynamic::Int(7), Dynamic::Null]), &ints, &mut bytes).unwrap();
    assert_eq!(
        bytes,
        [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 23, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 7, 255, 255, 255, 255]
    );
    for value in [
        list([]),
        list([1, 2, 3]),
        Dynamic::List(vec![Dynamic::Null, Dynamic::Int(1)]),
        Dynamic::List(vec![list([1, 2, 3]), list([4, 5, 6])]),
        Dynamic::List(vec![Dynamic::List(vec![list([1]), list([2])]); 3]),
    ] {
        assert_eq!(there_and_back(&value, &ints), Ok(value));
    }
    assert_eq!(there_and_back(&Dynamic::List(vec![list([]), list([])]), &ints), Ok(list([])));
    let seven = (0..7).fold(Dynamic::Int(1), |inner, _| Dynamic::List(vec![inner]));
    for (value, wrong) in [
        (Dynamic::List(vec![list([1]), list([1, 2])]), "different lengths"),
        (Dynamic::List(vec![list([1]), Dynamic::Int(1)]), "among arrays"),
        (Dynamic::List(vec![Dynamic::text("x")]), "an array that holds text that is no whole number"),
        (Dynamic::text("{1}"), "text where an array"),
        (seven, "dimensions"),
    ] {
        let told = there_and_back(&value, &ints).expect_err("refused");
        assert!(told.contains(wrong), "{value:?}: {told}");
    }
}

#[test]
fn without_the_server_types_follow_the_values() {
    let (int, text) = (Dynamic::Int, Dynamic::text);
    for (value, oid) in [
        (Dynamic::Null, 0),
        (int(1), INT8),
        (text("x"), TEXT),
        (Dynamic::map([]), JSONB),
        (list([]), 1009),
        (list([1]), 1016),
        (Dynamic::List(vec![Dynamic::Null, int(1), Dynamic::Number(0.5)]), 1022),
        (Dynamic::List(vec![text("x"), text("y")]), 1009),
        (Dynamic::List(vec![Dynamic::Bool(true)]), 1000),
        (Dynamic::List(vec![Dynamic::Bytes(Bytes::new())]), 1001),
        (Dynamic::List(vec![Dynamic::Time(Millis(0))]), 1185),
        (Dynamic::List(vec![text("x"), int(1)]), JSONB),
        (Dynamic::List(vec![list([1])]), JSONB),
        (Dynamic::List(vec![Dynamic::map([])]), JSONB),
    ] {
        let guessed = guess(&value);
        assert_eq!(guessed.oid(), Some(Oid(oid)), "{value:?}");
        if value != Dynamic::Null {
            assert!(encode(&value, &guessed, &mut Vec::new()) == Ok(false), "{value:?}");
        }
    }
}

proptest! {
    #[test]
    fn floats_of_four_bytes_come_back(number: f32) {
        prop_assume!(number.is_finite());
        let Ok(Dynamic::Number(back)) = decode_as(FLOAT4, &number.to_be_bytes()) else { panic!("no number") };
        #[allow(clippy::cast_possible_truncation)]
        let narrow = back as f32;
        prop_assert_eq!(narrow.to_bits(), number.to_bits());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        for oid in [BOOL, CHAR, INT8, NUMERIC, DATE, TIME, TIMESTAMPTZ, UUID, JSONB, TEXT] {
            let _ = decode_as(oid, &bytes);
        }
        let _ = decode(&bytes, &<Vec<String> as Type<Postgres>>::type_info(), Bytes::new);
    }
}
