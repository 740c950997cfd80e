//! The operations on payloads by their names, for tests in Rust.

use bytes::Bytes;

use super::Store;
use super::lane::Settle;
use super::plan::Given;
use crate::contract::driver::Driver;
use crate::contract::operation::Operation;
use crate::contract::operations::Call;
use crate::contract::payloads::{Read, Write};
use crate::contract::step::Reply;
use crate::error::Result;
use crate::runtime::Task;
use crate::time::Millis;

impl Store {
    pub(crate) fn put(&self, id: &str, data: Bytes, expires_at: Option<Millis>, settle: Settle) {
        self.run(Call::Put, Given::Payload(id, data, expires_at), settle);
    }

    pub(crate) fn get(&self, id: &str, settle: Settle) {
        self.run(Call::Get, Given::Id(id), settle);
    }

    pub(crate) fn find(&self, id: &str, settle: Settle) {
        self.run(Call::Find, Given::Id(id), settle);
    }

    pub(crate) fn has(&self, id: &str, settle: Settle) {
        self.run(Call::Has, Given::Id(id), settle);
    }

    pub(crate) fn delete(&self, id: &str, settle: Settle) {
        self.run(Call::Delete, Given::Id(id), settle);
    }

    pub(crate) fn touch(&self, id: &str, at: Millis, settle: Settle) {
        self.run(Call::Touch, Given::Expiry(id, at), settle);
    }
}

impl dyn Driver {
    pub(crate) fn write<'a>(&'a self, group: &'a [Write]) -> Task<'a, Vec<Result<Reply>>> {
        self.run(Write::group(group))
    }

    pub(crate) fn read<'a>(&'a self, group: &'a [Read]) -> Task<'a, Vec<Result<Reply>>> {
        self.run(Read::group(group))
    }
}
