//! Values whose types are known only at run time: what crosses to a client of the application
//! and comes back from it, and the parameters and rows of the application's own statements.

use bytes::Bytes;

use crate::time::Millis;

/// A value, as JavaScript and databases both have it.
#[derive(Clone, Debug, PartialEq)]
pub enum Dynamic {
    /// `null`, NULL.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Number(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Bytes),
    /// A point in time (`Date`).
    Time(Millis),
    /// An array.
    List(Vec<Dynamic>),
    /// An object; its properties in their order.
    Map(Vec<(String, Dynamic)>),
}

impl Dynamic {
    /// Text.
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// An object with these properties.
    pub fn map<const N: usize>(properties: [(&str, Self); N]) -> Self {
        Self::Map(properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// The property `name` of an object.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(properties) => properties.iter().find(|(known, _)| known == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The elements of an array.
    pub fn into_list(self) -> Option<Vec<Self>> {
        match self {
            Self::List(elements) => Some(elements),
            _ => None,
        }
    }

    /// A whole number, also where a library hands it over as a string or as a float.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            #[allow(clippy::cast_possible_truncation)]
            Self::Number(number) if number.fract() == 0.0 && number.abs() < 9.2e18 => Some(*number as i64),
            Self::Text(text) => text.parse().ok(),
            Self::Bool(flag) => Some(i64::from(*flag)),
            _ => None,
        }
    }

    /// Text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl From<&str> for Dynamic {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<i64> for Dynamic {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}
