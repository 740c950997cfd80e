//! The table of operations, for the build: `ts/operations.ts` is written from it.

use napi_derive::napi;

use crate::contract::operation::Access;
use crate::contract::operations::{Call, Upkeep};

/// One operation.
#[napi(object)]
#[allow(unreachable_pub)]
pub struct NativeOperation {
    /// The name.
    pub name: String,
    /// How the addon is told of it.
    pub number: u32,
    /// The kind of records; `'store'` for what is done to a store as a whole.
    pub kind: String,
    /// Whether it changes what is stored.
    pub writes: bool,
    /// What its first argument says about the record.
    pub by: Option<String>,
}

/// All operations, in the order of their numbers.
#[napi]
#[allow(unreachable_pub)]
pub fn operations() -> Vec<NativeOperation> {
    let calls = (0..).zip(Call::ALL).map(|(number, call)| NativeOperation {
        name: call.name().to_owned(),
        number,
        kind: call.kind().name().to_owned(),
        writes: call.access() == Access::Write,
        by: call.by().name().map(str::to_owned),
    });
    let upkeep = (Upkeep::FIRST..).zip(Upkeep::ALL).map(|(number, upkeep)| NativeOperation {
        name: upkeep.name().to_owned(),
        number,
        kind: String::from("store"),
        writes: upkeep.access() == Access::Write,
        by: None,
    });
    calls.chain(upkeep).collect()
}
