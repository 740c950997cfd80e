//! Changes of executions on PostgreSQL, any number of them in one statement: [`judge::judge`] and [`judge::apply`] as
//! conditions and expressions. A change that it has not made is looked at, and `judge` says why.
//!
//! 1. `known` finds entries with ids that are stored already, `fresh` are the others.
//! 2. `changed` updates the executions that may be changed, and so gives out the numbers.
//! 3. `stored` stores the fresh entries of those.
//!
//! Another statement may store an entry with the same id between 1 and 2, while this one waits for its row. Then the
//! index on ids refuses, nothing has happened, and the statement runs again.

use super::form::Form;
use super::{Around, ExecutionSql, cells, changed_meanwhile, entries, is_race};
use crate::contract::executions::judge::{self, Known, Verdict};
use crate::contract::executions::record::{Checkpointed, Status, missing};
use crate::contract::executions::{Attempts, Change, Fence, LONGEST_BACKOFF_MS, LeaseChange};
use crate::error::Result;
use crate::sql::query::Query;
use crate::sql::rowset::{self, Column, Rowset};
use crate::sql::schema::{TimeColumn, at_millis};
use crate::sql::{Cell, Executor};
use crate::time::Millis;

/// Attempts of a change that others are in the way of.
pub(super) const ATTEMPTS: usize = 8;

/// Longer is no lease and no pause: a time behind it would be none of PostgreSQL's.
const LONGEST_MS: i64 = 31_536_000_000_000;

/// What a change sets although it may be NULL.
const SUB_STATUS: i64 = 1;
const METADATA: i64 = 2;
const LAST_ERROR: i64 = 4;
const DUE_AT: i64 = 8;

const NOW: &str = "clock_timestamp()";

impl ExecutionSql {
    /// Makes changes of different executions; which of them it has made, by their places, and what they answer.
    pub(crate) async fn change_together<E: Executor>(
        &self,
        on: &mut E,
        changes: &[&Change],
    ) -> Result<Vec<Option<Checkpointed>>> {
        // Rows are locked in the order of their ids, as far as the server keeps to it.
        let mut order: Vec<usize> = (0..changes.len()).collect();
        order.sort_by_key(|at| &changes[*at].id);
        let ids = order.iter().map(|at| self.form.id(&changes[*at].id)).collect::<Result<Vec<_>>>()?;
        let tags: Vec<Option<String>> = order
            .iter()
            .map(|at| changes[*at].tags.as_ref().map(|tags| serde_json::to_string(tags).unwrap_or_default()))
            .collect();
        let given: Vec<Given<'_>> = order
            .iter()
            .zip(ids.iter().zip(&tags))
            .map(|(at, (id, tags))| Given { place: number(*at), id, tags: tags.as_deref(), change: changes[*at] })
            .collect();
        let query = self.change_query(&given, on.wants_base64());
        let mut answers = vec![None; changes.len()];
        for row in query.run(on).await?.rows {
            let [place, version, first_seq, entries, bytes] = cells(row);
            let answer = Checkpointed {
                version: version.into_int("version")?,
                first_seq: if first_seq == Cell::Null { None } else { Some(first_seq.into_int("last_seq")?) },
                entries: entries.into_int("log_seq")?,
                bytes: bytes.into_int("log_bytes")?,
            };
            let place = usize::try_from(place.into_int("place")?).unwrap_or(usize::MAX);
            if let Some(of) = answers.get_mut(place) {
                *of = Some(answer);
            }
        }
        Ok(answers)
    }

    /// Makes one change.
    pub(crate) async fn change<E: Executor>(
        &self,
        on: &mut E,
        change: &Change,
        around: Around,
        now: Millis,
    ) -> Result<Checkpointed> {
        for _ in 0..ATTEMPTS {
            match self.change_together(on, &[change]).await {
                Ok(answers) => {
                    if let Some(answer) = answers.into_iter().next().flatten() {
                        return Ok(answer);
                    }
                }
                Err(error) if is_race(&error) => {
                    if around == Around::Transaction {
                        return Err(changed_meanwhile(&change.id));
                    }
                    continue;
                }
                Err(error) => return Err(error),
            }
            if let Some(answer) = self.refused(on, change, now).await? {
                return Ok(answer);
            }
        }
        Err(changed_meanwhile(&change.id))
    }

    /// Why a change was not made: an error, or the answer of the same change before. None: it may be made now.
    async fn refused<E: Executor>(&self, on: &mut E, change: &Change, now: Millis) -> Result<Option<Checkpointed>> {
        let stored = self.stored(on, &change.id, false, now).await?;
        let living = stored.filter(|(execution, now)| execution.lives_at(*now));
        let (stored, _) = living.ok_or_else(|| missing(&change.id))?;
        let known = self.known(on, change).await?;
        Ok(match judge::judge(&stored, change, &known)? {
            Verdict::Repeated(answer) => Some(answer),
            Verdict::Change(_) => None,
        })
    }

    async fn known<E: Executor>(&self, on: &mut E, change: &Change) -> Result<Known> {
        if !change.has_step_ids() {
            return Ok(Known::default());
        }
        let mut query = Query::new(self.form.dialect, String::from("select e.nth - 1 as place, l.seq as seq from "));
        rowset::bind(&mut query, "e", entries::rowset(&[(0, &change.entries)]), on.wants_base64());
        query.push(&format!(" as e join {} as l on {} and l.saga_id = ", self.log, self.is_known()));
        query.bind(self.form.id_value(&change.id)?, self.form.id_cast());
        query.push(" order by e.nth");
        let mut places = Vec::new();
        for row in query.run(on).await?.rows {
            let [place, seq] = cells(row);
            places.push((usize::try_from(place.into_int("place")?).unwrap_or(usize::MAX), seq.into_int("seq")?));
        }
        Ok(Known { places })
    }

    /// Whether the entry `l` is the entry `e`.
    fn is_known(&self) -> String {
        let status = Form::named(&self.form.step_status, "l.status");
        format!("l.step_id = e.step_id and l.action = e.action and {status} = e.status")
    }

    fn change_query<'a>(&self, given: &[Given<'a>], as_json: bool) -> Query<'a> {
        let Self { form, t, log, .. } = self;
        let entries: Vec<_> = given.iter().map(|of| (of.place, &*of.change.entries)).collect();
        let mut query = Query::new(form.dialect, String::from("with p as materialized "));
        rowset::bind(&mut query, "p", changes(given), as_json);
        query.push(", e as materialized ");
        rowset::bind(&mut query, "e", entries::rowset(&entries), as_json);
        let id = format!("p.id{}", form.id_cast());
        query.push(&format!(
            ", known as materialized (select e.owner, e.nth, l.seq from e join p on p.place = e.owner \
             join {log} as l on l.saga_id = {id} and {}), \
             fresh as materialized (select e.*, row_number() over (partition by e.owner order by e.nth) as n from e \
             where not exists (select 1 from known as k where k.owner = e.owner and k.nth = e.nth)), \
             s as materialized (select p.place, (select count(*) from fresh as f where f.owner = p.place) as n, \
             coalesce((select sum(f.bytes) from fresh as f where f.owner = p.place), 0)::bigint as bytes, \
             (select k.seq from known as k where k.owner = p.place and k.nth = 1) as first_known from p), \
             changed as (update {t} as x set {} from p join s on s.place = p.place where x.id = {id} and {} \
             returning p.place, x.id, x.version::bigint as version, x.last_seq, x.log_seq, x.log_bytes, \
             x.log_seq - s.n as before, p.at), \
             stored as ({} select c.id, c.before + f.n, {}, {} from changed as c join fresh as f on f.owner = c.place \
             returning 1) \
             select place, version, last_seq, log_seq, log_bytes from changed",
            self.is_known(),
            self.changed(),
            self.may_change(),
            self.append(),
            self.stored_columns("f"),
            at_millis(form.logged, "c.at"),
        ));
        query
    }

    /// [`judge::judge`]: the execution is `x`, the change `p`, and `s` has the sizes of what is fresh.
    fn may_change(&self) -> String {
        let (status, ended) = (self.form.status_of("x."), self.form.status_in("x.", Status::TERMINAL));
        format!(
            "(x.expires_at is null or x.expires_at > {NOW}) and x.last_operation is distinct from p.operation \
             and case p.fence when 0 then true when 1 then x.token is null else coalesce(x.token = p.token, false) end \
             and (p.fence = 0 or p.status is null or p.status = {status} or not {ended}) \
             and (p.expected is null or p.expected = x.version) \
             and (s.n = 0 or (x.log_seq + s.n <= p.max_entries and x.log_bytes + s.bytes <= p.max_bytes))"
        )
    }

    /// [`judge::apply`].
    fn changed(&self) -> String {
        let form = &self.form;
        let context = &form.context;
        let status = format!("coalesce(p.status, {})", form.status_of("x."));
        let is_over = format!("{status} in ('completed', 'compensated', 'failed')");
        let was_over = form.status_in("x.", Status::TERMINAL);
        let sets = |flag: i64| format!("p.sets & {flag} <> 0");
        let patched = |flag: i64, name: &str, cast: &str| {
            format!("{name} = case when {} then p.{name}{cast} else x.{name} end", sets(flag))
        };
        let ours = |millis: &str| at_millis(TimeColumn::WithTimeZone, millis);
        let counted = "(case when p.progress = 1 then 0 else x.recovery_attempts end)";
        let attempts =
            format!("(case p.attempt_mode when 1 then {counted} + 1 when 2 then p.attempts else {counted} end)");
        let left = format!(
            "(case when {is_over} or p.ended = 0 then {attempts} when p.ended = 2 then greatest({attempts}, 1) \
             else greatest({attempts} - 1, 0) end)"
        );
        let millis = "interval '1 millisecond'";
        let (pause, last_pause) = (backoff(&attempts, "p"), backoff(&left, "p"));
        let due = format!("(case when {} then {} else x.due_at end)", sets(DUE_AT), ours("p.due"));
        let leased = format!(
            "(case when p.ended <> 0 then coalesce({}, {NOW} + case when p.ended = 2 then {last_pause} else 0 end * {millis}) \
             when p.renew is not null and ({due} is null or {due} < {NOW} + (p.renew / 2 + {pause}) * {millis}) \
             then {NOW} + (p.renew + {pause}) * {millis} else {due} end)",
            ours("p.release_due")
        );
        let is_asked_for =
            format!("p.status in ('running', 'compensating') and not ({}) and x.parked_at is null", sets(DUE_AT));
        let now_or_later = form_updated(form, "p.at");
        let columns = [
            format!("status = {}", Form::to_store(&form.status, &status)),
            format!("version = x.version + p.counts{}", ""),
            format!(
                "log_seq = x.log_seq + s.n, log_bytes = x.log_bytes + s.bytes, updated_at = greatest(x.updated_at, {now_or_later})"
            ),
            String::from("last_operation = p.operation, last_version = x.version + p.counts"),
            String::from("last_seq = case when p.given > 0 then coalesce(s.first_known, x.log_seq + 1) end"),
            format!("context = case when p.context is null then x.context else p.context::{context} end"),
            patched(SUB_STATUS, "sub_status", ""),
            patched(METADATA, "metadata", "::json"),
            patched(LAST_ERROR, "last_error", ""),
            String::from("tags = coalesce(p.tags::jsonb, x.tags)"),
            format!("recovery_attempts = {left}"),
            format!(
                "completed_at = case when not {is_over} then null when {was_over} then x.completed_at else {} end",
                ours("p.at")
            ),
            format!(
                "expires_at = case when not {is_over} then null when {was_over} then x.expires_at else {} end",
                ours("(p.at + p.ttl)")
            ),
            format!("parked_at = case when {is_over} or {} then null else x.parked_at end", sets(DUE_AT)),
            format!("worker_id = case when {is_over} or p.ended <> 0 then null else x.worker_id end"),
            format!(
                "token = case when {is_over} then case when x.token is not null then '' end when p.ended <> 0 then '' \
                 else x.token end"
            ),
            format!(
                "due_at = case when not {is_over} then coalesce({leased}, case when {is_asked_for} then {NOW} end) end"
            ),
        ];
        columns.join(", ")
    }
}

/// A parameter of milliseconds as a time of `updated_at`.
fn form_updated(form: &Form, millis: &str) -> String {
    at_millis(form.updated, millis)
}

/// [`crate::contract::executions::Terms::backoff`] of so many attempts, an expression; `row` has the terms.
pub(super) fn backoff(attempts: &str, row: &str) -> String {
    format!(
        "(case when {attempts} > 0 then least({row}.backoff * power(2::float8, least({attempts} - 1, 40)), {row}.longest) \
         else 0 end)"
    )
}

/// The first pause between attempts, and the longest, in milliseconds.
pub(super) fn pauses(backoff_ms: u64) -> (i64, i64) {
    (bounded(backoff_ms), bounded(LONGEST_BACKOFF_MS.max(backoff_ms)))
}

/// Milliseconds that PostgreSQL can add to a time.
pub(super) fn bounded(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(LONGEST_MS).min(LONGEST_MS)
}

fn number(place: usize) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX)
}

/// A change, and what of it is stored in another form.
struct Given<'a> {
    place: i64,
    id: &'a str,
    tags: Option<&'a str>,
    change: &'a Change,
}

fn changes<'a>(given: &[Given<'a>]) -> Rowset<'a> {
    let texts = |of: fn(&Given<'a>) -> Option<&'a str>| Column::Texts(given.iter().map(of).collect());
    let ints = |of: fn(&Given<'a>) -> Option<i64>| Column::Ints(given.iter().map(of).collect());
    vec![
        ("place", ints(|of| Some(of.place))),
        ("id", texts(|of| Some(of.id))),
        ("operation", texts(|of| Some(&of.change.operation))),
        ("token", texts(|of| if let Fence::Token(token) = &of.change.fence { Some(token) } else { None })),
        (
            "fence",
            ints(|of| match of.change.fence {
                Fence::Force => Some(0),
                Fence::NeverLeased => Some(1),
                Fence::Token(_) => Some(2),
            }),
        ),
        ("expected", ints(|of| of.change.expected)),
        ("counts", ints(|of| Some(of.change.counts.into()))),
        ("status", texts(|of| of.change.status.map(Status::name))),
        ("context", texts(|of| of.change.context.as_deref())),
        ("sub_status", texts(|of| of.change.sub_status.as_ref()?.as_deref())),
        ("metadata", texts(|of| of.change.metadata.as_ref()?.as_deref())),
        ("last_error", texts(|of| of.change.last_error.as_ref()?.as_deref())),
        ("tags", texts(|of| of.tags)),
        (
            "sets",
            ints(|of| {
                let flag = |is_set: bool, flag: i64| if is_set { flag } else { 0 };
                let change = of.change;
                Some(
                    flag(change.sub_status.is_some(), SUB_STATUS)
                        | flag(change.metadata.is_some(), METADATA)
                        | flag(change.last_error.is_some(), LAST_ERROR)
                        | flag(change.due_at.is_some(), DUE_AT),
                )
            }),
        ),
        ("due", ints(|of| of.change.due_at.flatten().map(|at| at.0))),
        ("renew", ints(|of| if let LeaseChange::Renew(ms) = of.change.lease { Some(bounded(ms)) } else { None })),
        (
            "ended",
            ints(|of| match of.change.lease {
                LeaseChange::End { counted: true, .. } => Some(2),
                LeaseChange::End { counted: false, .. } => Some(1),
                _ => Some(0),
            }),
        ),
        (
            "release_due",
            ints(|of| match of.change.lease {
                LeaseChange::End { due_at, .. } => due_at.map(|at| at.0),
                _ => None,
            }),
        ),
        (
            "attempt_mode",
            ints(|of| match of.change.attempts {
                Attempts::Keep => Some(0),
                Attempts::Increment => Some(1),
                Attempts::Set(_) => Some(2),
            }),
        ),
        ("attempts", ints(|of| if let Attempts::Set(attempts) = of.change.attempts { Some(attempts) } else { None })),
        ("progress", ints(|of| Some(of.change.is_progress().into()))),
        ("at", ints(|of| Some(of.change.at.0))),
        ("ttl", ints(|of| of.change.terms.ttl_ms.map(bounded))),
        ("backoff", ints(|of| Some(pauses(of.change.terms.backoff_ms).0))),
        ("longest", ints(|of| Some(pauses(of.change.terms.backoff_ms).1))),
        ("max_entries", ints(|of| Some(of.change.terms.max_entries))),
        ("max_bytes", ints(|of| Some(of.change.terms.max_bytes))),
        ("given", ints(|of| Some(number(of.change.entries.len())))),
    ]
}
