//! What a page begins behind: a JSON list of the kind and of what the last record is known by.

use crate::contract::moving::foreign_cursor;
use crate::error::Result;

/// The text of a cursor.
pub(super) fn write(kind: &str, place: &[String]) -> String {
    let parts: Vec<&str> = std::iter::once(kind).chain(place.iter().map(String::as_str)).collect();
    serde_json::to_string(&parts).unwrap_or_default()
}

/// What a cursor of this kind says.
pub(super) fn read(kind: &str, text: &str) -> Result<Vec<String>> {
    let mut parts: Vec<String> = serde_json::from_str(text).map_err(|_| foreign_cursor())?;
    if parts.first().map(String::as_str) != Some(kind) {
        return Err(foreign_cursor());
    }
    parts.remove(0);
    Ok(parts)
}

/// The parts of a cursor that has so many.
pub(super) fn parts<const N: usize>(place: &[String]) -> Result<&[String; N]> {
    place.try_into().map_err(|_| foreign_cursor())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_of_its_kind() {
        let place = vec![String::from("a\"\n"), String::from("ü")];
        let text = write("states", &place);
        assert_eq!(read("states", &text).unwrap(), place);
        assert!(parts::<2>(&place).is_ok() && parts::<1>(&place).is_err());
        for foreign in ["", "7", "[]", "{}", "null", &write("inbox", &place), "[\"states\",1]"] {
            assert!(read("states", foreign).is_err(), "{foreign}");
        }
    }
}
