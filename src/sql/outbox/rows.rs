//! Changes on SQLite: what is stored is read, judged and written. Nobody else writes meanwhile: the writer's transaction
//! has the database for itself, and nothing runs between the statements on a handle that answers at once.
//!
//! What a claim may take has a place: `ready` is 1, or `wake_at` says from when on it will be. Of the events of a key
//! only the first that is no dead letter has one, so a claim never goes through those that stand behind it. Whatever
//! changes events of a key gives its first one a place again (`place`). A place that somebody should not have is no
//! harm: a claim looks at the whole key, and takes it away. A dead letter that was in the way then has `blocks`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::{Value as Json, json};

use super::form::{Kept, Shows};
use super::reads::signed;
use super::{Outbox, schema};
use crate::contract::outbox::record::{Content, EventStatus, Stored, listed, missing, settled, taken};
use crate::contract::outbox::{Decision, Held, Insertion, OutboxWrite, Outcome, Settlement, Terms, judge};
use crate::contract::step::Reply;
use crate::error::Result;
use crate::sql::query::Query;
use crate::sql::{Executor, TOGETHER, Value};
use crate::time::Millis;

/// What is written of a new event, in the order of [`values`].
pub(in crate::sql) const INSERTED: [&str; 23] = [
    "event_id",
    "operation",
    "event_type",
    "saga_id",
    "aggregate_type",
    "aggregate_id",
    "headers",
    "routing_key",
    "partition_key",
    "available_at",
    "occurred_at",
    "created_at",
    "status",
    "claimed_at",
    "deliveries",
    "worker_id",
    "token",
    "lease_until",
    "due_at",
    "ready",
    "wake_at",
    "payload",
    "body",
];

/// What a change may change, in the order of [`state`]; the number of the event stands before them.
const CHANGED: [&str; 14] = [
    "status",
    "claimed_at",
    "dead_at",
    "retry_count",
    "deliveries",
    "last_error",
    "worker_id",
    "token",
    "lease_until",
    "due_at",
    "expires_at",
    "ready",
    "wake_at",
    "blocks",
];

/// The statements for one table.
pub(super) struct Statements {
    /// Insert so many events as [`TOGETHER`] says.
    insert: [String; TOGETHER.len()],
    /// Which of these ids are taken, and by which operation.
    known: String,
    /// Which of these keys have events, and dead letters.
    keys: String,
    /// Stores the state of events.
    save: String,
    place: String,
    remove: String,
    keep: String,
}

impl Statements {
    pub(super) fn new(t: &str, kept: &str) -> Self {
        let row = |from: usize| {
            let places: Vec<String> = (from + 1..=from + INSERTED.len()).map(|place| format!("${place}")).collect();
            format!("({})", places.join(", "))
        };
        let insert = TOGETHER.map(|rows| {
            let rows: Vec<String> = (0..rows).map(|at| row(at * INSERTED.len())).collect();
            format!("insert into {t} ({}) values {}", INSERTED.join(", "), rows.join(", "))
        });
        let set: Vec<String> =
            (1..).zip(CHANGED).map(|(place, name)| format!("{name} = json_extract(j.value, '$[{place}]')")).collect();
        let at = "coalesce(due_at, lease_until)";
        let copied = schema::copied();
        Self {
            insert,
            known: format!(
                "select event_id, operation from {t} where event_id in (select value from json_each($1)) union all \
                 select event_id, operation from {kept} where event_id in (select value from json_each($2))"
            ),
            keys: format!(
                "select k.value as partition_key, exists (select 1 from {t} as x where x.partition_key = k.value \
                 and x.dead_at is null) as lives, exists (select 1 from {t} as x where x.partition_key = k.value \
                 and x.dead_at is not null) as dead from json_each($1) as k"
            ),
            save: format!(
                "update {t} as x set {} from json_each($1) as j where x.seq = json_extract(j.value, '$[0]')",
                set.join(", ")
            ),
            place: format!(
                "update {t} set ready = ({at} is null or {at} <= $1), wake_at = case when {at} > $2 then {at} end \
                 where seq in (select (select x.seq from {t} as x where x.partition_key = k.value and x.dead_at is null \
                 order by x.seq limit 1) from json_each($3) as k)"
            ),
            remove: format!("delete from {t} where seq in (select value from json_each($1))"),
            keep: format!(
                "insert into {kept} ({copied}, sent_at, expires_at) select {copied}, $1, $2 from {t} \
                 where seq in (select value from json_each($3))"
            ),
        }
    }
}

/// What has become of events, until it is written.
#[derive(Default)]
pub(super) struct Changes {
    /// Still unsent.
    pub(super) changed: BTreeMap<i64, Stored>,
    /// Sent.
    pub(super) sent: BTreeSet<i64>,
    /// Removed otherwise.
    pub(super) removed: BTreeSet<i64>,
    /// Keys whose first event may be another one now.
    pub(super) keys: BTreeSet<Box<str>>,
}

impl Changes {
    pub(super) fn change(&mut self, after: Stored) {
        self.keys.extend(after.event.partition_key.clone());
        if after.status == EventStatus::Sent {
            self.changed.remove(&after.seq);
            self.sent.insert(after.seq);
        } else {
            self.changed.insert(after.seq, after);
        }
    }
}

impl Outbox {
    /// Runs a change.
    pub(super) async fn write_rows<E: Executor>(&self, on: &mut E, write: &OutboxWrite, now: Millis) -> Result<Reply> {
        match write {
            OutboxWrite::Insert(insertion) => self.insert_rows(on, insertion, now).await,
            OutboxWrite::Claim(claim) => self.pick(on, claim, now).await.map(listed),
            OutboxWrite::Settle(settlement) => self.settle_rows(on, settlement, now).await.map(settled),
            OutboxWrite::Decide { id, decision, terms } => self.decide_row(on, id, decision, terms, now).await,
            OutboxWrite::ReleaseStuck { older_than_ms, limit } => {
                let stuck = self.stuck(on, *older_than_ms, *limit, Shows::State, now).await?;
                self.change_all(on, stuck, judge::release, now).await
            }
            OutboxWrite::Requeue { ids } => {
                let dead = self.dead_rows(on, ids).await?;
                self.change_all(on, dead, judge::requeue, now).await
            }
            OutboxWrite::Discard { ids } => {
                let dead = self.dead_rows(on, ids).await?;
                self.remove_dead(on, dead, now).await.map(Reply::Count)
            }
            OutboxWrite::Archive { older_than_ms, sent, dead, limit } => {
                let before = Millis(now.0.saturating_sub(signed(*older_than_ms)));
                let mut count = 0;
                if *sent {
                    count += self.remove_kept(on, "sent_at", before, *limit).await?;
                }
                if *dead && count < *limit {
                    let over = self.dead_until(on, "dead_at", before, *limit - count).await?;
                    count += self.remove_dead(on, over, now).await?;
                }
                Ok(Reply::Count(count))
            }
        }
    }

    async fn change_all<E: Executor>(
        &self,
        on: &mut E,
        rows: Vec<Stored>,
        change: impl Fn(&mut Stored),
        now: Millis,
    ) -> Result<Reply> {
        let (count, mut changes) = (rows.len() as u64, Changes::default());
        for mut row in rows {
            change(&mut row);
            changes.change(row);
        }
        self.make_changes(on, changes, None, now).await?;
        Ok(Reply::Count(count))
    }

    async fn insert_rows<E: Executor>(&self, on: &mut E, insertion: &Insertion, now: Millis) -> Result<Reply> {
        let ids = list(insertion.events.iter().map(|event| &*event.id));
        let answer = on.run(&self.rows.known, &[Value::text(&ids), Value::text(&ids)]).await?;
        let mut known: HashMap<String, String> = HashMap::new();
        for row in answer.rows {
            let [id, operation] = crate::sql::cells(row);
            known.insert(id.into_text("event_id")?, operation.into_text("operation")?);
        }
        let is_other = |id: &str| known.get(id).is_some_and(|operation| *operation != *insertion.operation);
        if !insertion.ignores_duplicates
            && let Some(event) = insertion.events.iter().find(|event| is_other(&event.id))
        {
            return Err(taken(&event.id));
        }
        let fresh: Vec<_> = insertion.events.iter().filter(|event| !known.contains_key(&*event.id)).collect();
        let mut keys = self.keys_of(on, fresh.iter().filter_map(|event| event.partition_key.as_deref())).await?;
        let (mut new, mut claimed) = (Vec::with_capacity(fresh.len()), Vec::new());
        for event in fresh {
            let mut stored = judge::inserted(event, 0, insertion, now);
            let key = event.partition_key.as_deref().and_then(|key| keys.get_mut(key));
            if let Some(lease) = &insertion.lease
                && key.as_ref().is_none_or(|key| key.lets_claim(&insertion.terms))
                && judge::is_free(&stored, now)
            {
                judge::claim(&mut stored, lease, &insertion.terms, now);
                claimed.push(&*event.id);
            }
            let mut place = placed(&stored, now);
            if let Some(key) = key {
                if key.lives {
                    place = (0, None);
                }
                key.lives = true;
                key.is_ours &= stored.status == EventStatus::Claimed;
            }
            new.push((stored, place));
        }
        let rows: Vec<Vec<Value>> = new.iter().map(|(stored, place)| values(stored, *place)).collect();
        let mut rows = rows.as_slice();
        for (count, statement) in TOGETHER.into_iter().zip(&self.rows.insert) {
            while let Some((some, rest)) = rows.split_at_checked(count) {
                on.run(statement, &some.concat()).await?;
                rows = rest;
            }
        }
        if claimed.is_empty() {
            return Ok(listed(Vec::new()));
        }
        let mut query = Query::new(self.dialect, self.select(Kept::Unsent, Shows::Event, false));
        query.push(" where x.event_id in ");
        query.among(&claimed, "");
        query.push(" order by x.seq");
        self.rows(on, &query).await.map(listed)
    }

    async fn keys_of<'k, E: Executor>(
        &self,
        on: &mut E,
        keys: impl Iterator<Item = &'k str>,
    ) -> Result<HashMap<String, Key>> {
        let keys: HashSet<&str> = keys.collect();
        let mut found = HashMap::with_capacity(keys.len());
        if keys.is_empty() {
            return Ok(found);
        }
        for row in on.run(&self.rows.keys, &[Value::Text(list(keys).into())]).await?.rows {
            let [key, lives, dead] = crate::sql::cells(row);
            let (lives, dead) = (lives.into_int("lives")? != 0, dead.into_int("dead")? != 0);
            found.insert(key.into_text("partition_key")?, Key { lives, dead, is_ours: !lives });
        }
        Ok(found)
    }

    async fn settle_rows<E: Executor>(
        &self,
        on: &mut E,
        settlement: &Settlement,
        now: Millis,
    ) -> Result<Vec<Box<str>>> {
        let Settlement { held, outcome, terms } = settlement;
        let found = self.rows_of(on, held.iter().map(|held| &*held.id), "").await?;
        let seqs: HashMap<Box<str>, i64> = found.iter().map(|row| (row.event.id.clone(), row.seq)).collect();
        let mut held: Vec<(Option<i64>, &Held)> = held.iter().map(|held| (seqs.get(&held.id).copied(), held)).collect();
        // In their order: one that fails takes those behind it along.
        held.sort_by_key(|(seq, _)| *seq);
        let mut rows: BTreeMap<i64, Stored> = found.into_iter().map(|row| (row.seq, row)).collect();
        if matches!(outcome, Outcome::Failed { .. } | Outcome::Released) {
            let held_of_keys =
                rows.values().filter_map(|row| Some((row.event.partition_key.clone()?, row.token.clone()?)));
            let behind = self.in_hands(on, held_of_keys.collect()).await?;
            rows.extend(behind.into_iter().map(|row| (row.seq, row)));
        }
        let (mut changes, mut lost) = (Changes::default(), Vec::new());
        let mut handed_back: BTreeSet<(i64, &str)> = BTreeSet::new();
        for (seq, held) in held {
            if *outcome == Outcome::Released && seq.is_some_and(|seq| handed_back.contains(&(seq, &*held.token))) {
                continue;
            }
            let row = seq.and_then(|seq| rows.get(&seq)).filter(|row| judge::is_held(row, &held.token));
            let Some(before) = row.cloned() else {
                lost.push(held.id.clone());
                continue;
            };
            let mut after = before.clone();
            if judge::settle(&mut after, outcome, terms, now) {
                let behind = hand_back_behind(&mut rows, &before, &mut changes);
                handed_back.extend(behind.into_iter().map(|seq| (seq, &*held.token)));
            }
            rows.insert(after.seq, after.clone());
            changes.change(after);
        }
        self.make_changes(on, changes, Some(terms), now).await?;
        Ok(lost)
    }

    async fn decide_row<E: Executor>(
        &self,
        on: &mut E,
        id: &str,
        decision: &Decision,
        terms: &Terms,
        now: Millis,
    ) -> Result<Reply> {
        let before = self.get(on, id, Shows::State).await?.ok_or_else(|| missing(id))?;
        let mut after = before.clone();
        let hands_back = judge::decide(&mut after, decision, terms, now)?;
        if before.status == EventStatus::Sent {
            return Ok(Reply::Done);
        }
        let mut changes = Changes::default();
        if hands_back && let (Some(key), Some(token)) = (&before.event.partition_key, &before.token) {
            let behind = self.in_hands(on, BTreeSet::from([(key.clone(), token.clone())])).await?;
            let mut rows = behind.into_iter().map(|row| (row.seq, row)).collect();
            hand_back_behind(&mut rows, &before, &mut changes);
        }
        changes.change(after);
        self.make_changes(on, changes, Some(terms), now).await?;
        Ok(Reply::Done)
    }

    /// Events by their ids; `more` is a condition.
    async fn rows_of<'i, E: Executor>(
        &self,
        on: &mut E,
        ids: impl Iterator<Item = &'i str>,
        more: &str,
    ) -> Result<Vec<Stored>> {
        let mut query = Query::new(self.dialect, self.select(Kept::Unsent, Shows::State, false));
        query.push(" where x.event_id in ");
        query.among(&ids.collect::<Vec<_>>(), "");
        query.push(more);
        self.rows(on, &query).await
    }

    async fn dead_rows<E: Executor>(&self, on: &mut E, ids: &[Box<str>]) -> Result<Vec<Stored>> {
        self.rows_of(on, ids.iter().map(|id| &**id), " and x.dead_at is not null").await
    }

    /// What claims with these tokens have of these keys.
    async fn in_hands<E: Executor>(&self, on: &mut E, of: BTreeSet<(Box<str>, Box<str>)>) -> Result<Vec<Stored>> {
        if of.is_empty() {
            return Ok(Vec::new());
        }
        let pairs: Vec<Json> = of.iter().map(|(key, token)| json!([key, token])).collect();
        let columns = super::form::columns(self.dialect, "x.", Kept::Unsent, Shows::State, false);
        let mut query = Query::new(self.dialect, format!("select {columns} from json_each("));
        query.bind(Value::Text(Json::from(pairs).to_string().into()), "");
        query.push(&format!(
            ") as k cross join {} as x where x.partition_key = json_extract(k.value, '$[0]') \
             and x.token = json_extract(k.value, '$[1]')",
            self.t
        ));
        self.rows(on, &query).await
    }

    /// Dead letters up to a time, by the name of its column.
    async fn dead_until<E: Executor>(
        &self,
        on: &mut E,
        column: &str,
        until: Millis,
        limit: u64,
    ) -> Result<Vec<Stored>> {
        let mut query = Query::new(self.dialect, self.select(Kept::Unsent, Shows::State, false));
        query.push(&format!(" where x.{column} <= "));
        query.int(until.0);
        query.push(&format!(" and x.dead_at is not null order by x.{column} limit "));
        query.int(signed(limit));
        self.rows(on, &query).await
    }

    async fn remove_dead<E: Executor>(&self, on: &mut E, dead: Vec<Stored>, now: Millis) -> Result<u64> {
        let (count, mut changes) = (dead.len() as u64, Changes::default());
        for row in dead {
            changes.keys.extend(row.event.partition_key);
            changes.removed.insert(row.seq);
        }
        self.make_changes(on, changes, None, now).await?;
        Ok(count)
    }

    async fn remove_kept<E: Executor>(&self, on: &mut E, column: &str, until: Millis, limit: u64) -> Result<u64> {
        let kept = &self.kept;
        let mut query = Query::new(
            self.dialect,
            format!("delete from {kept} where seq in (select seq from {kept} where {column} <= "),
        );
        query.int(until.0);
        query.push(&format!(" order by {column} limit "));
        query.int(signed(limit));
        query.push(")");
        Ok(query.run(on).await?.affected)
    }

    /// Removes what was to be kept until now.
    pub(super) async fn purge_rows<E: Executor>(&self, on: &mut E, now: Millis, limit: u64) -> Result<u64> {
        let sent = self.remove_kept(on, "expires_at", now, limit).await?;
        if sent >= limit {
            return Ok(sent);
        }
        let dead = self.dead_until(on, "expires_at", now, limit - sent).await?;
        Ok(sent + self.remove_dead(on, dead, now).await?)
    }

    /// Writes changes; events may only be sent where `terms` say for how long they are kept.
    pub(super) async fn make_changes<E: Executor>(
        &self,
        on: &mut E,
        changes: Changes,
        terms: Option<&Terms>,
        now: Millis,
    ) -> Result<()> {
        let Changes { changed, sent, removed, keys } = changes;
        // On a client that answers later a removal is no transaction: whoever is killed behind it leaves no key behind.
        if !removed.is_empty() {
            self.place(on, &keys, now).await?;
        }
        if !changed.is_empty() {
            let rows: Vec<Json> = changed.values().map(|row| state(row, now)).collect();
            on.run(&self.rows.save, &[Value::Text(Json::from(rows).to_string().into())]).await?;
        }
        if !sent.is_empty()
            && let Some(terms) = terms.filter(|terms| terms.retain_sent_ms > 0)
        {
            let (at, until) = (now.0, now.plus(terms.retain_sent_ms).0);
            let seqs = sent.iter().copied().collect::<Json>().to_string();
            on.run(&self.rows.keep, &[Value::Int(at), Value::Int(until), Value::Text(seqs.into())]).await?;
        }
        if !sent.is_empty() || !removed.is_empty() {
            let gone = sent.into_iter().chain(removed).collect::<Json>().to_string();
            on.run(&self.rows.remove, &[Value::Text(gone.into())]).await?;
        }
        self.place(on, &keys, now).await
    }

    /// Gives the first event of each key its place.
    pub(in crate::sql) async fn place<E: Executor>(
        &self,
        on: &mut E,
        keys: &BTreeSet<Box<str>>,
        now: Millis,
    ) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let keys = Value::Text(list(keys.iter().map(|key| &**key)).into());
        on.run(&self.rows.place, &[Value::Int(now.0), Value::Int(now.0), keys]).await.map(drop)
    }
}

/// What an insertion knows of a partition key.
struct Key {
    /// An event of it is not sent, and no dead letter.
    lives: bool,
    dead: bool,
    /// All that is not sent, and no dead letter, is claimed by this insertion.
    is_ours: bool,
}

impl Key {
    fn lets_claim(&self, terms: &Terms) -> bool {
        self.is_ours && (terms.skips_dead || !self.dead)
    }
}

/// Hands back what the same claim has of its key behind an event; answers what.
fn hand_back_behind(rows: &mut BTreeMap<i64, Stored>, event: &Stored, changes: &mut Changes) -> Vec<i64> {
    let (Some(_), Some(token)) = (&event.event.partition_key, &event.token) else { return Vec::new() };
    let is_behind = |row: &Stored| row.event.partition_key == event.event.partition_key && judge::is_held(row, token);
    let mut handed_back = Vec::new();
    for (seq, row) in rows.range_mut(event.seq + 1..).filter(|(_, row)| is_behind(row)) {
        judge::hand_back(row);
        changes.change(row.clone());
        handed_back.push(*seq);
    }
    handed_back
}

/// The values of [`INSERTED`].
pub(in crate::sql) fn values(stored: &Stored, (ready, wake_at): (i64, Option<Millis>)) -> Vec<Value<'_>> {
    let event = &stored.event;
    let time = |at: Option<Millis>| at.map_or(Value::Null, |at| Value::Int(at.0));
    let (payload, body) = match &event.payload {
        Content::Json(json) => (Value::text(json), Value::Null),
        Content::Bytes(bytes) => (Value::Null, Value::Bytes(bytes)),
    };
    vec![
        Value::text(&event.id),
        Value::text(&stored.operation),
        Value::text(&event.event_type),
        text(&event.saga_id),
        text(&event.aggregate_type),
        text(&event.aggregate_id),
        text(&event.headers),
        text(&event.routing_key),
        text(&event.partition_key),
        time(event.available_at),
        time(Some(event.occurred_at)),
        time(Some(stored.created_at)),
        Value::text(stored.status.name()),
        time(stored.claimed_at),
        Value::Int(stored.deliveries),
        text(&stored.worker),
        text(&stored.token),
        time(stored.lease_until),
        time(stored.due_at),
        Value::Int(ready),
        time(wake_at),
        payload,
        body,
    ]
}

/// A text that may be missing.
#[allow(clippy::ref_option)]
pub(in crate::sql) fn text(text: &Option<Box<str>>) -> Value<'_> {
    text.as_deref().map_or(Value::Null, Value::text)
}

/// Whether it is ready, and from when on it will be. Events of a key get their place by `place`.
pub(in crate::sql) fn placed(stored: &Stored, now: Millis) -> (i64, Option<Millis>) {
    match (stored.status, stored.due_at.or(stored.lease_until)) {
        (EventStatus::Sent | EventStatus::DeadLetter, _) => (0, None),
        (_, Some(at)) if at > now => (0, Some(at)),
        _ => (1, None),
    }
}

/// The number, and the values of [`CHANGED`].
fn state(row: &Stored, now: Millis) -> Json {
    let time = |at: Option<Millis>| at.map(|at| at.0);
    let (ready, wake_at) = if row.event.partition_key.is_some() { (0, None) } else { placed(row, now) };
    json!([
        row.seq,
        row.status.name(),
        time(row.claimed_at),
        time(row.dead_at),
        row.retry_count,
        row.deliveries,
        row.last_error,
        row.worker,
        row.token,
        time(row.lease_until),
        time(row.due_at),
        time(row.expires_at),
        ready,
        time(wake_at),
        0,
    ])
}

/// A list of texts, as JSON.
pub(super) fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    texts.into_iter().collect::<Json>().to_string()
}
