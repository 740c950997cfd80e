//! Operations that wait for a client of the application.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use super::values::Answer;
use crate::contract::client::Client;

pub(super) type Work = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// An operation that waits for its client.
pub(super) struct Conversation {
    pub(super) client: Arc<Client>,
    pub(super) work: Work,
    /// The payloads of the call, as the caller's buffers hold them.
    pub(super) payloads: Vec<Bytes>,
}

/// The conversations of one store, by handle.
#[derive(Default)]
pub(super) struct Conversations {
    pub(super) open: Vec<Option<Conversation>>,
    free: Vec<u32>,
}

impl Conversations {
    pub(super) fn keep(&mut self, conversation: Conversation) -> u32 {
        if let Some(handle) = self.free.pop() {
            self.open[handle as usize] = Some(conversation);
            return handle;
        }
        self.open.push(Some(conversation));
        u32::try_from(self.open.len() - 1).unwrap_or(u32::MAX)
    }

    pub(super) fn take(&mut self, handle: u32) -> Option<Conversation> {
        let taken = self.open.get_mut(handle as usize)?.take();
        if taken.is_some() {
            self.free.push(handle);
        }
        taken
    }
}
