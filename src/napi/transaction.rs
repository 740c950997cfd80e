//! Transactions of the store's own. JavaScript holds one as an opaque value; when that is
//! collected without a commit, the transaction is rolled back.

use std::sync::Arc;

use napi::{Env, sys};
use napi_derive::napi;

use super::arguments::Raw;
use super::dynamic::Reader;
use super::opaque::Opaque;
use super::store::NativeStore;
use super::values::Answer;
use crate::contract::capability::Isolation;
use crate::contract::dynamic::Dynamic;
use crate::contract::operations::Call;
use crate::contract::step::Reply;
use crate::error::{Error, Result};
use crate::store::on_transaction::Open;

#[napi]
impl NativeStore {
    /// Opens a transaction; answers what the calls below take.
    #[napi(ts_args_type = "isolation: string | null", ts_return_type = "Promise<object>")]
    #[allow(clippy::needless_pass_by_value)]
    pub fn begin(&self, isolation: Option<String>) -> napi::Result<Raw> {
        let isolation = isolation.as_deref().map(Isolation::named).transpose();
        self.background("transaction", move |store| async move {
            store.begin(isolation?).await.map(|open| Answer::Transaction(Box::new(open)))
        })
    }

    /// Runs an operation in a transaction, with the arguments of `start`.
    #[napi(
        ts_args_type = "transaction: object, operation: number, id: unknown, data: unknown, expiresAt: unknown",
        ts_return_type = "Promise<unknown>"
    )]
    #[allow(clippy::too_many_arguments)]
    pub fn run_in(
        &self,
        env: Env,
        transaction: Raw,
        operation: u32,
        id: Raw,
        data: Raw,
        expires_at: Raw,
    ) -> napi::Result<Raw> {
        let Some(call) = Call::numbered(operation) else { return self.no_such_operation() };
        self.call(call.name(), |deferred| {
            let mut deferred = Some(deferred);
            let started = Open::of_value(env.raw(), transaction).and_then(|open| {
                self.with_given(env.raw(), call, [id, data, expires_at], false, |given| {
                    if let Some(deferred) = deferred.take() {
                        self.store.run_in(&open, call, given, self.settle(deferred));
                    }
                    Ok(())
                })
            });
            if let (Err(error), Some(deferred)) = (started, deferred) {
                self.refuse(deferred, error, call.name());
            }
        })
    }

    /// Runs a statement of the application's in a transaction; answers rows.
    #[napi(
        ts_args_type = "transaction: object, sql: string, values: unknown[]",
        ts_return_type = "Promise<Record<string, unknown>[]>"
    )]
    pub fn query_in(&self, env: Env, transaction: Raw, sql: Raw, values: Raw) -> napi::Result<Raw> {
        self.call("query", |deferred| {
            let mut reader = Reader::new(env.raw(), &self.side);
            let read = Open::of_value(env.raw(), transaction).and_then(|open| {
                let sql = reader.text(sql).map_err(|_| Error::invalid("query takes a statement as text"))?;
                match reader.read_for_io(values)? {
                    Dynamic::List(values) => Ok((open, sql, values)),
                    _ => Err(Error::invalid("query takes its values as an array")),
                }
            });
            match read {
                Ok((open, sql, values)) => {
                    let store = Arc::clone(&self.store);
                    let answered = move |result: Result<Dynamic>| {
                        let failed = |error| Answer::error(error, |text| store.redact(text));
                        deferred.settle(result.map_or_else(failed, |rows| Answer::Dynamic(Box::new(rows))));
                    };
                    open.query(sql, values, Box::new(answered));
                }
                Err(error) => self.refuse(deferred, error, "query"),
            }
        })
    }

    /// Commits.
    #[napi(ts_args_type = "transaction: object", ts_return_type = "Promise<void>")]
    pub fn commit(&self, env: Env, transaction: Raw) -> napi::Result<Raw> {
        let open = Open::of_value(env.raw(), transaction);
        self.background("transaction", |_| async move { open?.commit().await.map(|()| Answer::Reply(Reply::Done)) })
    }

    /// Rolls back.
    #[napi(ts_args_type = "transaction: object", ts_return_type = "Promise<void>")]
    pub fn roll_back(&self, env: Env, transaction: Raw) -> napi::Result<Raw> {
        let open = Open::of_value(env.raw(), transaction);
        self.background("transaction", |_| async move {
            open?.roll_back().await;
            Ok(Answer::Reply(Reply::Done))
        })
    }
}

impl Opaque for Open {
    const TAG: sys::napi_type_tag = sys::napi_type_tag { lower: 0x7361_6761_7374_6f72, upper: 0x7472_616e_7361_6374 };
    const WHAT: &'static str = "a transaction";
}
