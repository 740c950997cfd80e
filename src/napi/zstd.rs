//! Zstandard for files, a chunk at a time: Node.js 20 has none.

use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use napi::Env;
use napi_derive::napi;

use super::arguments::{self, Raw};
use super::bridge::{Calling, JsSide};
use super::values::Answer;
use crate::codec::streamed::{Step, Streamed};
use crate::contract::dynamic::Dynamic;
use crate::contract::step::Reply;
use crate::error::Result;
use crate::runtime;

/// Compresses or decompresses a stream of bytes, beside the event loop.
#[napi]
pub struct NativeZstd {
    streamed: Arc<Mutex<Streamed>>,
    side: Rc<JsSide>,
}

#[napi]
impl NativeZstd {
    /// Of a level, one that compresses; of none, one that decompresses.
    #[napi(
        factory,
        ts_args_type = "level: number | null, setImmediate: (callback: () => void) => unknown, isMainThread: boolean"
    )]
    pub fn open(env: Env, level: Option<i32>, set_immediate: Raw, is_main_thread: bool) -> napi::Result<Self> {
        let made = level.map_or_else(Streamed::decompressing, Streamed::compressing);
        let streamed = made.map_err(|error| napi::Error::from_reason(error.message().to_owned()))?;
        let side = JsSide::of(env.raw(), set_immediate.0, is_main_thread)?;
        Ok(Self { streamed: Arc::new(Mutex::new(streamed)), side })
    }

    /// Takes some of a chunk: answers how many of its bytes, whether nothing more comes out of it, and what came out (at
    /// most a megabyte). One call after the other.
    #[napi(
        ts_args_type = "chunk: Uint8Array, isEnd: boolean",
        ts_return_type = "Promise<[consumed: number, isDone: boolean, output: Buffer]>"
    )]
    pub fn step(&self, env: Env, chunk: Raw, is_end: bool) -> napi::Result<Raw> {
        let (promise, deferred) = self.side.promise()?;
        let _calling = Calling::into(&self.side);
        let given = arguments::bytes(env.raw(), &self.side, chunk).and_then(|chunk| Ok((chunk, runtime::io()?)));
        match given {
            Err(error) => deferred.settle(Answer::error(error, str::to_owned)),
            Ok((chunk, io)) => {
                let streamed = Arc::clone(&self.streamed);
                drop(io.spawn(async move {
                    let done = runtime::compute(move || stepped(&streamed, &chunk, is_end)).await;
                    deferred.settle(match done.and_then(|done| done) {
                        Ok(answer) => Answer::Reply(Reply::Value(answer)),
                        Err(error) => Answer::error(error, str::to_owned),
                    });
                }));
            }
        }
        Ok(Raw(promise))
    }
}

fn stepped(streamed: &Mutex<Streamed>, chunk: &Bytes, is_end: bool) -> Result<Dynamic> {
    let mut streamed = streamed.lock().unwrap_or_else(PoisonError::into_inner);
    let Step { consumed, done, output } = streamed.step(chunk, is_end)?;
    let consumed = i64::try_from(consumed).unwrap_or(i64::MAX);
    Ok(Dynamic::List(vec![Dynamic::Int(consumed), Dynamic::Bool(done), Dynamic::Bytes(output)]))
}
