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

/// What its first argument says about the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Its id.
    Id,
    /// The ids of several.
    Ids,
    /// A list: the name that it has in common with others, and its id.
    NameAndId,
    /// A list that begins with its id.
    IdInList,
    /// As the one before the last, with another id than that of the record.
    NameAndOtherId,
    /// Nothing: it is about no single one.
    Nothing,
}

impl By {
    /// As `ts/operations.ts` has it; none for nothing.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Id => Some("id"),
            Self::Ids => Some("ids"),
            Self::NameAndId => Some("name_and_id"),
            Self::IdInList => Some("id_in_list"),
            Self::NameAndOtherId => Some("name_and_other_id"),
            Self::Nothing => None,
        }
    }
}

/// Makes [`Call`] and its table.
macro_rules! operations {
    ($( $kind:ident { $( $call:ident $name:literal $access:ident $takes:ident $by:ident, )* } )*) => {
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

            const ROWS: [(&'static str, RecordKind, Access, Takes, By); Self::COUNT] = [
                $( $( ($name, RecordKind::$kind, Access::$access, Takes::$takes, By::$by), )* )*
            ];
        }
    };
}

operations! {
    Payloads {
        Put "put" Write Payload Id,
        Get "get" Read Id Id,
        Find "find" Read Id Id,
        Has "has" Read Id Id,
        Delete "delete" Write Id Id,
        Touch "touch" Write Expiry Id,
        PutMany "putMany" Write Payloads Ids,
        GetMany "getMany" Read Ids Ids,
    }
    States {
        StateById "states.getById" Read List NameAndId,
        StateByCorrelation "states.getByCorrelationId" Read List NameAndOtherId,
        StateInsert "states.insert" Write List NameAndId,
        StateUpdate "states.update" Write List NameAndId,
        StateDelete "states.delete" Write List NameAndId,
        StateDeleteByCorrelation "states.deleteByCorrelationId" Write List NameAndOtherId,
        StateList "states.findByName" Read List Nothing,
        StateCount "states.countByName" Read List Nothing,
        StateDeleteCompleted "states.deleteCompletedBefore" Write List Nothing,
        StateTimedOut "states.findTimedOut" Read List Nothing,
        StateClaimTimedOut "states.claimTimedOut" Write List Nothing,
        StateNames "states.names" Read List Nothing,
        StateStale "states.findStale" Read List Nothing,
    }
    Executions {
        ExecutionCreate "executions.create" Write List IdInList,
        ExecutionStart "executions.start" Write List IdInList,
        ExecutionLoad "executions.load" Read List IdInList,
        ExecutionFind "executions.find" Read List IdInList,
        ExecutionCheckpoint "executions.checkpoint" Write List IdInList,
        ExecutionUpdateContext "executions.updateContext" Write List IdInList,
        ExecutionUpdateStatus "executions.updateStatus" Write List IdInList,
        ExecutionLogStep "executions.logStep" Write List IdInList,
        ExecutionUpdateStep "executions.updateStep" Write List IdInList,
        ExecutionComplete "executions.complete" Write List IdInList,
        ExecutionCompensated "executions.compensated" Write List IdInList,
        ExecutionFail "executions.fail" Write List IdInList,
        ExecutionWaitUntil "executions.waitUntil" Write List IdInList,
        ExecutionRelease "executions.release" Write List IdInList,
        ExecutionIncrementAttempts "executions.incrementRecoveryAttempts" Write List IdInList,
        ExecutionSetAttempts "executions.setRecoveryAttempts" Write List IdInList,
        ExecutionHistory "executions.history" Read List IdInList,
        ExecutionSave "executions.save" Write List IdInList,
        ExecutionDelete "executions.delete" Write List IdInList,
        ExecutionList "executions.list" Read List Nothing,
        ExecutionCount "executions.count" Read List Nothing,
        ExecutionStatistics "executions.statistics" Read List Nothing,
        ExecutionCleanup "executions.cleanup" Write List Nothing,
        ExecutionClaim "executions.claim" Write List Nothing,
        ExecutionHeartbeat "executions.heartbeat" Write List Nothing,
        ExecutionRedrive "executions.redrive" Write List Nothing,
        ExecutionRecoverable "executions.findRecoverable" Read List Nothing,
    }
    Outbox {
        OutboxInsert "outbox.insert" Write List Nothing,
        OutboxGet "outbox.get" Read List IdInList,
        OutboxList "outbox.list" Read List Nothing,
        OutboxCount "outbox.count" Read List Nothing,
        OutboxClaim "outbox.claim" Write List Nothing,
        OutboxAck "outbox.ack" Write List Nothing,
        OutboxFail "outbox.fail" Write List Nothing,
        OutboxRelease "outbox.release" Write List Nothing,
        OutboxExtend "outbox.extend" Write List Nothing,
        OutboxUpdateStatus "outbox.updateStatus" Write List IdInList,
        OutboxStuck "outbox.findStuck" Read List Nothing,
        OutboxReleaseStuck "outbox.releaseStuck" Write List Nothing,
        OutboxRequeue "outbox.requeue" Write List Nothing,
        OutboxDiscard "outbox.discard" Write List Nothing,
        OutboxBlockedKeys "outbox.blockedKeys" Read List Nothing,
        OutboxArchive "outbox.archive" Write List Nothing,
        OutboxStatistics "outbox.statistics" Read List Nothing,
    }
    Inbox {
        InboxAccept "inbox.accept" Write List NameAndId,
        InboxHas "inbox.has" Read List NameAndId,
        InboxForget "inbox.forget" Write List NameAndId,
        InboxCleanup "inbox.cleanup" Write List Nothing,
    }
    Moving {
        Scan "scan" Read List Nothing,
        Fetch "fetch" Read List Nothing,
        CountRecords "count" Read List Nothing,
        PayloadList "list" Read List Nothing,
        PayloadStat "stat" Read List IdInList,
        Import "importRecords" Write List Nothing,
    }
}

/// What is done to a store as a whole; no part of a transaction. Their numbers are behind those of the operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upkeep {
    /// Creates what is missing.
    Initialize,
    /// Removes expired records.
    PurgeExpired,
    /// Whether the store can be used.
    Health,
    /// Counts.
    Statistics,
    /// Commits a transaction that a client takes as a whole.
    Commit,
    /// Finds sagas that other software has written.
    Reindex,
}

impl Upkeep {
    /// All of them, by their numbers.
    pub const ALL: [Self; 6] =
        [Self::Initialize, Self::PurgeExpired, Self::Health, Self::Statistics, Self::Commit, Self::Reindex];

    /// The number of the first.
    pub const FIRST: u32 = 1_000;

    /// The name in errors, logs and statistics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Initialize => "initialize",
            Self::PurgeExpired => "purgeExpired",
            Self::Health => "health",
            Self::Statistics => "statistics",
            Self::Commit => "transaction",
            Self::Reindex => "states.reindex",
        }
    }

    /// Whether it changes anything.
    pub const fn access(self) -> Access {
        match self {
            Self::Health | Self::Statistics => Access::Read,
            Self::Initialize | Self::PurgeExpired | Self::Commit | Self::Reindex => Access::Write,
        }
    }

    /// The one of this number.
    pub fn numbered(number: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(number.checked_sub(Self::FIRST)?).ok()?).copied()
    }
}

impl Call {
    const fn row(self) -> &'static (&'static str, RecordKind, Access, Takes, By) {
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

    /// What its first argument says about the record.
    pub const fn by(self) -> By {
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
        assert!(u32::try_from(Call::COUNT).unwrap() <= Upkeep::FIRST);
        for (number, upkeep) in (Upkeep::FIRST..).zip(Upkeep::ALL) {
            assert_eq!((Upkeep::numbered(number), upkeep as u32), (Some(upkeep), number - Upkeep::FIRST));
        }
        assert_eq!([0, Upkeep::FIRST - 1, Upkeep::FIRST + 6].map(Upkeep::numbered), [None; 3]);
    }

    #[test]
    fn names_tell_operations_apart() {
        let mut names: Vec<&str> = Call::ALL.iter().map(|call| call.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Call::COUNT);
    }
}
