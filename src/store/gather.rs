//! One answer of several: `putMany` and `getMany` are gathered from single operations.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::lane::Settle;
use crate::contract::operations::Call;
use crate::contract::step::Reply;
use crate::error::Error;

/// Makes one answer of several.
pub(super) struct Gather {
    replies: Mutex<Gathered>,
    left: AtomicUsize,
}

struct Gathered {
    replies: Vec<Reply>,
    error: Option<Error>,
    settle: Option<Settle>,
    call: Call,
    combine: fn(Call, Vec<Reply>) -> Reply,
}

impl Gather {
    /// Waits for `count` answers; `combine` makes one of them, the first error wins.
    pub(super) fn new(count: usize, settle: Settle, call: Call, combine: fn(Call, Vec<Reply>) -> Reply) -> Arc<Self> {
        let gather = Self {
            replies: Mutex::new(Gathered {
                replies: vec![Reply::Done; count],
                error: None,
                settle: Some(settle),
                call,
                combine,
            }),
            left: AtomicUsize::new(count),
        };
        if count == 0 {
            gather.finish();
        }
        Arc::new(gather)
    }

    /// Takes the answer number `index`.
    pub(super) fn slot(gather: &Arc<Self>, index: usize) -> Settle {
        let gather = Arc::clone(gather);
        Box::new(move |result| {
            let mut gathered = gather.replies.lock().unwrap_or_else(PoisonError::into_inner);
            match result {
                Ok(reply) => gathered.replies[index] = reply,
                Err(error) => {
                    gathered.error.get_or_insert(error);
                }
            }
            drop(gathered);
            if gather.left.fetch_sub(1, Ordering::AcqRel) == 1 {
                gather.finish();
            }
        })
    }

    fn finish(&self) {
        let mut gathered = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
        let replies = std::mem::take(&mut gathered.replies);
        let result = gathered.error.take().map_or_else(|| Ok((gathered.combine)(gathered.call, replies)), Err);
        if let Some(settle) = gathered.settle.take() {
            drop(gathered);
            settle(result);
        }
    }
}
