//! Enums whose variants have names, as they are stored and as callers give them.

/// Makes an enum whose variants have names.
macro_rules! named {
    ($(#[$meta:meta])* $name:ident $what:literal { $( $(#[$doc:meta])* $variant:ident $text:literal, )* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $( $(#[$doc])* $variant, )*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )*];

            /// As it is stored.
            pub const fn name(self) -> &'static str {
                match self {
                    $( Self::$variant => $text, )*
                }
            }

            /// The one of this name; capitals, which other software writes, do not matter.
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().find(|known| known.name().eq_ignore_ascii_case(name)).copied()
            }

            /// The one of this name, as a caller gives it.
            pub fn given(name: &str) -> $crate::error::Result<Self> {
                Self::ALL.iter().find(|known| known.name() == name).copied().ok_or_else(|| {
                    let names: Vec<&str> = Self::ALL.iter().map(|known| known.name()).collect();
                    $crate::error::Error::invalid(format!("{} must be one of '{}'", $what, names.join("', '")))
                })
            }

            /// The one of this name, as it is stored.
            pub fn stored(name: &str) -> $crate::error::Result<Self> {
                let unknown = || $crate::error::Error::new($crate::error::Kind::CorruptData, format!("{} '{name}' is not one that is known", $what));
                Self::named(name).ok_or_else(unknown)
            }
        }
    };
}

pub(crate) use named;
