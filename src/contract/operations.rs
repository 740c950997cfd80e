//! The caller's operations, in one table: from it come [`Call`] and, by way of the addon, `ts/operations.ts`.

use super::operation::{Access, RecordKind};

/// What an operation takes, besides what it is called on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// An id.
    Id,
    /// An id, bytes, and when they cease to exist.
    Payload,
    /// An id, and when its record ceases to exist.
    Expiry,
    /// Several payloads.
    Payloads,
    /// Several ids.
    Ids,
    /// A list: names and ids first, in the order in which the file of the kind in `ts/kinds` gives them.
    List,
}

/// What a failed operation names as its `id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Its first argument.
    First,
    /// Its second argument.
    Second,
    /// None: it is about several records.
    Several,
}

/// Makes [`Call`] and its table.
macro_rules! operations {
    ($( $kind:ident { $( $call:ident $name:literal $access:ident $takes:ident $about:ident, )* } )*) => {
        /// An operation of the caller's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Call {
            $( $(
                #[doc = concat!("`", $name, "`")]
                $call,
            )* )*
        }

        impl Call {
            /// All of them, by their numbers.
            pub const ALL: &'static [Self] = &[$( $( Self::$call, )* )*];

            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            const ROWS: [(&'static str, RecordKind, Access, Takes, About); Self::COUNT] = [
                $( $( ($name, RecordKind::$kind, Access::$access, Takes::$takes, About::$about), )* )*
            ];
        }
    };
}

operations! {
    Payloads {
        Put "put" Write Payload First,
        Get "get" Read Id First,
        Find "find" Read Id First,
        Has "has" Read Id First,
        Delete "delete" Write Id First,
        Touch "touch" Write Expiry First,
        PutMany "putMany" Write Payloads Several,
        GetMany "getMany" Read Ids Several,
    }
    States {
        StateById "states.getById" Read List Second,
        StateByCorrelation "states.getByCorrelationId" Read List Second,
        StateInsert "states.insert" Write List Second,
        StateUpdate "states.update" Write List Second,
        StateDelete "states.delete" Write List Second,
        StateDeleteByCorrelation "states.deleteByCorrelationId" Write List Second,
        StateList "states.findByName" Read List Several,
        StateCount "states.countByName" Read List Several,
        StateDeleteCompleted "states.deleteCompletedBefore" Write List Several,
        StateTimedOut "states.findTimedOut" Read List Several,
        StateClaimTimedOut "states.claimTimedOut" Write List Several,
    }
}

impl Call {
    const fn row(self) -> &'static (&'static str, RecordKind, Access, Takes, About) {
        &Self::ROWS[self as usize]
    }

    /// Its name in errors, logs and statistics.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// Which kind of records it is about.
    pub const fn kind(self) -> RecordKind {
        self.row().1
    }

    /// Whether it changes anything.
    pub const fn access(self) -> Access {
        self.row().2
    }

    /// What it takes.
    pub const fn takes(self) -> Takes {
        self.row().3
    }

    /// What a failed one names as its `id`.
    pub const fn about(self) -> About {
        self.row().4
    }

    /// The operation of this number.
    pub fn numbered(number: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_places_in_the_table() {
        for (number, call) in (0..).zip(Call::ALL) {
            assert_eq!(Call::numbered(number), Some(*call));
            assert_eq!(*call as usize, number as usize);
        }
        assert_eq!(Call::numbered(u32::try_from(Call::COUNT).unwrap()), None);
        assert_eq!(Call::numbered(u32::MAX), None);
    }

    #[test]
    fn names_tell_operations_apart() {
        let mut names: Vec<&str> = Call::ALL.iter().map(|call| call.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Call::COUNT);
    }
}
