//! Claims on PostgreSQL where nothing in the window has a key: whoever is free may go first, and no order is looked at.
//!
//! One such statement gives nothing where it sees a key. The store takes the long one then (`claim.rs`), until that one
//! has seen none.

use super::Outbox;
use super::claim::is_free;
use crate::contract::outbox::ClaimEvents;
use crate::contract::outbox::record::Stored;
use crate::error::Result;
use crate::sql::query::Query;
use crate::sql::{Executor, Value};

impl Outbox {
    /// As `claim_some`; nothing where it has seen an event with a key.
    pub(super) async fn claim_plain<E: Executor>(
        &self,
        on: &mut E,
        claim: &ClaimEvents,
        limit: u64,
        from: i64,
        again: bool,
    ) -> Result<Option<(bool, Vec<Stored>)>> {
        let (t, free) = (&self.t, is_free());
        let mut query = Query::new(self.dialect, String::from("with "));
        self.seen(&mut query, claim, limit, from, again);
        query.push(&format!(
            ", l as materialized (select x.ctid as place from {t} as x where x.seq = any(array(select seq from w \
             where not exists (select 1 from w as k where k.partition_key is not null))) and {free} \
             order by x.seq limit "
        ));
        query.bind(Value::Int(super::reads::signed(limit)), "::bigint for update skip locked)");
        // One that another statement has changed since, and left free, stands in another place: the next claim takes it.
        self.give(on, &mut query, claim, "x.ctid = any(array(select place from l))");
        let looked = self.given(on, &query).await?;
        Ok((looked.keys == 0).then(|| (looked.is_full(limit), looked.found)))
    }
}
