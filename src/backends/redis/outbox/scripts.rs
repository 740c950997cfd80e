//! What is asked of the server: one script, which knows all operations on the outbox by their names.

use std::sync::LazyLock;

use crate::backends::redis::commit_script::Condition;
use crate::backends::redis::script::{Source, WORD, Words};
use crate::contract::outbox::{Insertion, Terms};

use super::keys::{body_of, kind_of};

/// What all scripts know.
pub(crate) const COMMON: &str = include_str!("common.lua");
/// How events are stored.
pub(crate) const INSERT: &str = include_str!("insert.lua");
const CLAIM: &str = include_str!("claim.lua");
const SETTLE: &str = include_str!("settle.lua");
const KEEP: &str = include_str!("keep.lua");
/// Questions.
pub(crate) const READS: &str = include_str!("reads.lua");
const MAIN: &str = "return OPS[word()]()";

pub(crate) static SCRIPT: LazyLock<Source> =
    LazyLock::new(|| Source::of(&[WORD, COMMON, INSERT, CLAIM, SETTLE, KEEP, READS, MAIN]));

/// What a transaction's end knows of the outbox: no id is taken, unless that is ignored, and events are stored then.
pub(crate) static EVENTS: Condition = Condition { name: "events", text: &["local events do ", COMMON, INSERT, JUDGED] };
const JUDGED: &str = "events = function(key) open(word()) \
    local operation, ignores, skips, list = word(), word() == '1', word() == '1', insertion() \
    if not judge(list, operation, ignores) then return false end \
    later[#later + 1] = function() store(judge(list, operation, ignores), operation, skips) end \
    return true end end ";

impl Words {
    /// What the store's options say.
    pub(crate) fn terms(self, terms: &Terms) -> Self {
        let words = self.number(terms.max_retries).number(terms.max_deliveries).millis(terms.backoff_ms);
        let words = words.flag(terms.skips_dead).millis(terms.retain_sent_ms);
        words.optional(terms.retain_dead_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)))
    }

    /// Events that are to be stored.
    pub(crate) fn insertion(self, insertion: &Insertion) -> Self {
        let words = self.text(&insertion.operation).flag(insertion.ignores_duplicates);
        let mut words = words.flag(insertion.terms.skips_dead).text(&insertion.events.len().to_string());
        for event in &insertion.events {
            words = words.text(&event.id).text(&kind_of(event));
            words = words.text(event.partition_key.as_deref().unwrap_or_default());
            words = words.text(event.saga_id.as_deref().unwrap_or_default());
            words = words.optional(event.available_at.map(|at| at.0));
            words.0.push(body_of(event));
        }
        words
    }
}
