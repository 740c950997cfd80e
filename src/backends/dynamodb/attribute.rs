//! Items as such: attributes by name, in the two forms in which they travel. The SDK for Rust takes
//! its own types; clients of the application take `{ S: text }`, `{ N: digits }` and `{ B: bytes }`.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;

use crate::contract::dynamic::Dynamic;

/// DynamoDB's limit of an item: 400 KB. It counts all attributes with their names.
pub(super) const MAX_ITEM_BYTES: u64 = 409_600;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Attribute {
    /// Text.
    S(String),
    /// A number, in digits.
    N(String),
    /// Bytes.
    B(Bytes),
    /// A list.
    L(Vec<Attribute>),
    /// Attributes by name.
    M(Item),
    /// Of a type that is none of ours.
    Other,
}

impl Attribute {
    pub(super) fn number(value: i64) -> Self {
        Self::N(value.to_string())
    }

    pub(super) fn as_s(&self) -> Option<&str> {
        if let Self::S(text) = self { Some(text) } else { None }
    }

    pub(super) fn as_n(&self) -> Option<&str> {
        if let Self::N(digits) = self { Some(digits) } else { None }
    }

    pub(super) fn text(value: &str) -> Self {
        Self::S(value.to_owned())
    }

    pub(super) fn as_m(&self) -> Option<&Item> {
        if let Self::M(item) = self { Some(item) } else { None }
    }

    /// AWS's rule: the bytes, of a number about one for two digits and one more, of what contains others three and one
    /// for each of them.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::S(text) => text.len(),
            Self::N(digits) => {
                let significant = digits.trim_start_matches('-').trim_end_matches('0').len();
                significant.div_ceil(2) + 1 + usize::from(digits.starts_with('-'))
            }
            Self::B(data) => data.len(),
            Self::L(list) => 3 + list.iter().map(|value| value.size() + 1).sum::<usize>(),
            Self::M(item) => 3 + item.0.iter().map(|(name, value)| name.len() + value.size() + 1).sum::<usize>(),
            Self::Other => 0,
        }
    }

    fn of_sdk(value: AttributeValue) -> Self {
        match value {
            AttributeValue::S(text) => Self::S(text),
            AttributeValue::N(digits) => Self::N(digits),
            AttributeValue::B(blob) => Self::B(Bytes::from(blob.into_inner())),
            AttributeValue::L(list) => Self::L(list.into_iter().map(Self::of_sdk).collect()),
            AttributeValue::M(map) => Self::M(Item::of_sdk(map).unwrap_or_default()),
            _ => Self::Other,
        }
    }

    fn into_sdk(self) -> AttributeValue {
        match self {
            Self::S(text) => AttributeValue::S(text),
            Self::N(digits) => AttributeValue::N(digits),
            Self::B(data) => AttributeValue::B(Blob::new(data)),
            Self::L(list) => AttributeValue::L(list.into_iter().map(Self::into_sdk).collect()),
            Self::M(item) => AttributeValue::M(item.into_sdk()),
            Self::Other => AttributeValue::Null(true),
        }
    }

    fn of_client(value: Dynamic) -> Self {
        let Dynamic::Map(properties) = value else { return Self::Other };
        let typed = |(name, value): (String, Dynamic)| match (name.as_str(), value) {
            ("S", Dynamic::Text(text)) => Some(Self::S(text)),
            ("N", Dynamic::Text(digits)) => Some(Self::N(digits)),
            ("B", Dynamic::Bytes(data)) => Some(Self::B(data)),
            ("L", Dynamic::List(list)) => Some(Self::L(list.into_iter().map(Self::of_client).collect())),
            ("M", map @ Dynamic::Map(_)) => Some(Self::M(Item::of_client(map).unwrap_or_default())),
            _ => None,
        };
        properties.into_iter().find_map(typed).unwrap_or(Self::Other)
    }

    fn into_client(self) -> Dynamic {
        match self {
            Self::S(text) => Dynamic::map([("S", Dynamic::Text(text))]),
            Self::N(digits) => Dynamic::map([("N", Dynamic::Text(digits))]),
            Self::B(data) => Dynamic::map([("B", Dynamic::Bytes(data))]),
            Self::L(list) => Dynamic::map([("L", Dynamic::List(list.into_iter().map(Self::into_client).collect()))]),
            Self::M(item) => Dynamic::map([("M", item.into_client())]),
            Self::Other => Dynamic::map([("NULL", Dynamic::Bool(true))]),
        }
    }
}

/// Attributes by name: an item, a part of one, or the values of an expression.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Item(Vec<(String, Attribute)>);

impl Item {
    pub(super) fn get(&self, name: &str) -> Option<&Attribute> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Adds an attribute that is not there yet.
    pub(super) fn set(&mut self, name: &str, value: Attribute) {
        self.0.push((name.to_owned(), value));
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Attribute> {
        let place = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(place).1)
    }

    /// In the order in which they were set.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Attribute)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// With those of another.
    pub(super) fn with(mut self, mut other: Self) -> Self {
        self.0.append(&mut other.0);
        self
    }

    /// What DynamoDB counts: names and values.
    pub(super) fn size(&self) -> u64 {
        self.0.iter().map(|(name, value)| name.len() + value.size()).sum::<usize>() as u64
    }

    /// From the SDK's form; none if it is empty.
    pub(super) fn of_sdk(item: HashMap<String, AttributeValue>) -> Option<Self> {
        let attributes: Vec<_> = item.into_iter().map(|(name, value)| (name, Attribute::of_sdk(value))).collect();
        (!attributes.is_empty()).then_some(Self(attributes))
    }

    /// In the SDK's form.
    pub(super) fn into_sdk(self) -> HashMap<String, AttributeValue> {
        self.0.into_iter().map(|(name, value)| (name, value.into_sdk())).collect()
    }

    /// From the form of the application's clients; none if it is empty.
    pub(super) fn of_client(item: Dynamic) -> Option<Self> {
        let Dynamic::Map(properties) = item else { return None };
        let attributes: Vec<_> =
            properties.into_iter().map(|(name, value)| (name, Attribute::of_client(value))).collect();
        (!attributes.is_empty()).then_some(Self(attributes))
    }

    /// In the form of the application's clients.
    pub(super) fn into_client(self) -> Dynamic {
        Dynamic::Map(self.0.into_iter().map(|(name, value)| (name, value.into_client())).collect())
    }
}

impl<const N: usize> From<[(&str, Attribute); N]> for Item {
    fn from(attributes: [(&str, Attribute); N]) -> Self {
        Self(attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Item {
        Item::from([
            ("id", Attribute::S(String::from("a"))),
            ("data", Attribute::B(Bytes::from_static(b"\x00\xff"))),
            ("empty", Attribute::B(Bytes::new())),
            ("at", Attribute::number(-5)),
        ])
    }

    #[test]
    fn what_contains_others_comes_back() {
        let inner = || Attribute::M(Item::from([("a", Attribute::text("b"))]));
        let item = || Item::from([("list", Attribute::L(vec![inner(), Attribute::L(Vec::new())]))]);
        assert_eq!(Item::of_client(item().into_client()), Some(item()));
        assert_eq!(Item::of_sdk(item().into_sdk()), Some(item()));
        assert_eq!(item().size(), 4 + 3 + (3 + 1 + 1 + 1 + 1) + (3 + 1));
    }

    #[test]
    fn both_forms_come_back_as_they_went() {
        assert_eq!(Item::of_client(sample().into_client()), Some(sample()));
        let mut returned = Item::of_sdk(sample().into_sdk()).unwrap();
        for (name, value) in sample().0 {
            assert_eq!(returned.take(&name), Some(value), "{name}");
        }
        assert_eq!(returned, Item::default());
        assert_eq!(Item::of_sdk(HashMap::new()), None);
        assert_eq!(Item::of_client(Dynamic::Map(Vec::new())), None);
        assert_eq!(Item::of_client(Dynamic::Null), None);
    }

    #[test]
    fn bytes_on_their_way_to_a_client_are_the_same_memory() {
        let data = Bytes::from(vec![7; 100]);
        let sent = Item::from([("data", Attribute::B(data.clone()))]).into_client();
        let Some(Dynamic::Bytes(carried)) = sent.get("data").and_then(|value| value.get("B")) else {
            panic!("{sent:?}")
        };
        assert_eq!((carried.as_ptr(), carried.len()), (data.as_ptr(), data.len()));
    }

    #[test]
    fn what_is_none_of_ours_is_told_apart() {
        for value in [Dynamic::map([("SS", Dynamic::List(Vec::new()))]), Dynamic::Null, Dynamic::map([])] {
            assert_eq!(Attribute::of_client(value.clone()), Attribute::Other, "{value:?}");
        }
        assert_eq!(Attribute::of_sdk(AttributeValue::Bool(true)), Attribute::Other);
    }

    #[test]
    fn sizes_are_those_of_names_and_values() {
        assert_eq!(sample().size(), (2 + 1) + (4 + 2) + 5 + (2 + 3));
    }
}
