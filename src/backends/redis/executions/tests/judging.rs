//! The script judges as `judge.rs` does, whatever it is asked, and the indexes say what the records say.

use std::collections::HashMap;

use super::*;
use crate::contract::executions::judge::{self, Known, Verdict};
use crate::contract::executions::record::{Action, Execution};
use crate::contract::executions::{Attempts, LeaseChange, NewLease, Replacement};

fn some<T: Copy>(of: &[T]) -> T {
    of[fastrand::usize(..of.len())]
}

fn maybe<T>(value: impl FnOnce() -> T) -> Option<T> {
    fastrand::bool().then(value)
}

/// Any change that a caller could ask for.
fn any_change(id: &str, stored: &Execution) -> Change {
    const STEPS: [StepStatus; 3] = [StepStatus::Started, StepStatus::Completed, StepStatus::Failed];
    let token = stored.token.clone().filter(|token| !token.is_empty());
    let fence = match (fastrand::u8(..10), token) {
        (0, _) => Fence::Force,
        (1, _) => Fence::Token("stale".into()),
        (2, _) | (_, None) => Fence::NeverLeased,
        (_, Some(token)) => Fence::Token(token),
    };
    let has_token = matches!(fence, Fence::Token(_));
    let entries = (0..fastrand::usize(..3)).map(|_| entry(some(&[None, Some("a"), Some("b")]), some(&STEPS)));
    let mut entries: Vec<Entry> = entries.collect();
    entries.dedup_by(|one, other| one.step_id.is_some() && one.key() == other.key());
    if entries.len() == 3 && entries[0].step_id.is_some() && entries[0].key() == entries[2].key() {
        entries.pop();
    }
    let at = Millis(Millis::now().0 + fastrand::i64(-3_000..3_000));
    let last = stored.last_operation.as_ref().map(|last| last.id.clone()).unwrap_or_default();
    Change {
        expected: maybe(|| some(&[stored.version, stored.version, stored.version - 1])),
        operation: if fastrand::u8(..10) == 0 { last } else { random() },
        counts: fastrand::bool(),
        context: maybe(|| some(&["{}", "{\"longer\":true}"]).into()),
        status: maybe(|| some(Status::ALL)),
        sub_status: maybe(|| maybe(|| "sub".into())),
        metadata: maybe(|| maybe(|| "{\"m\":1}".into())),
        tags: maybe(|| some(&[&["a", "b"][..], &[]]).iter().map(|tag| Box::from(*tag)).collect()),
        entries,
        due_at: if has_token { None } else { maybe(|| maybe(|| Millis::now().plus(fastrand::u64(..9_000)))) },
        last_error: maybe(|| maybe(|| "why".into())),
        lease: match fastrand::u8(..4) {
            0 if has_token => LeaseChange::Renew(some(&[1_000, 90_000])),
            1 if has_token => LeaseChange::End { due_at: maybe(|| Millis(77)), counted: fastrand::bool() },
            _ => LeaseChange::Keep,
        },
        attempts: some(&[Attempts::Keep, Attempts::Keep, Attempts::Increment, Attempts::Set(3)]),
        at,
        terms: Terms { ttl_ms: maybe(|| 3_600_000), ..TERMS },
        ..change(id, fence)
    }
}

/// Whether both are the same, but for the moment at which the server has looked at its clock.
fn assert_same(found: &Execution, mut expected: Execution, context: &str) {
    if let (Some(one), Some(other)) = (found.due_at, expected.due_at)
        && (one.0 - other.0).abs() < 5_000
    {
        expected.due_at = found.due_at;
    }
    assert_eq!(*found, expected, "{context}");
}

#[test]
#[allow(clippy::too_many_lines)] // One step after the other.
fn the_script_judges_and_applies_as_the_contract_does() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    with_servers(&async |executions| {
        fastrand::seed(seed);
        let ids = ["{a}1", "{a}2", "b"];
        let mut steps: HashMap<(String, Action, StepStatus), i64> = HashMap::new();
        for round in 0..300 {
            let context = format!("SEED={seed} round {round}");
            let id = ids[round % ids.len()];
            let Some(before) = executions.stored(id).await else {
                steps.retain(|(key, ..), _| !key.starts_with(&format!("{id}/")));
                let lease = maybe(|| NewLease { token: random(), worker: "w".into(), lease_ms: 60_000 });
                let status = if lease.is_some() { Status::Running } else { some(Status::ALL) };
                let creation = Creation { lease, tags: vec!["t".into()], ..creation(id, status) };
                executions.write(&create(creation.clone())).await.unwrap();
                let expected = judge::created(&creation, Millis::now()).unwrap().0;
                assert_same(&executions.stored(id).await.unwrap(), expected, &context);
                continue;
            };
            match fastrand::u8(..20) {
                0 => {
                    assert_eq!(
                        executions.write(&ExecutionWrite::Delete { id: id.into() }).await.unwrap(),
                        Reply::Flag(true)
                    );
                    assert_eq!(executions.stored(id).await, None);
                }
                1 => drop(executions.write(&claim(2, some(&[0, 1, 9]))).await.unwrap()),
                2 => {
                    let ids = ids.map(Into::into).into();
                    let reset_attempts = fastrand::bool();
                    executions.write(&ExecutionWrite::Redrive { ids, reset_attempts }).await.unwrap();
                }
                3 => {
                    let entries = vec![entry(Some("a"), StepStatus::Failed)];
                    let creation = Creation { entries, ..creation(id, some(Status::ALL)) };
                    let replacement = Replacement { creation, force: fastrand::bool() };
                    let expected = judge::replaced(Some(&before), &replacement, Millis::now());
                    let done = executions.write(&ExecutionWrite::Save(Box::new(replacement))).await;
                    let found = executions.stored(id).await.unwrap();
                    match expected {
                        Ok((expected, answer)) => {
                            assert_eq!(done.unwrap(), Reply::Value(answer.into_dynamic()), "{context}");
                            assert_same(&found, expected, &context);
                            steps.retain(|(key, ..), _| !key.starts_with(&format!("{id}/")));
                            steps.insert((format!("{id}/a"), Action::Act, StepStatus::Failed), 1);
                        }
                        Err(error) => {
                            assert_eq!(done.unwrap_err().kind(), error.kind(), "{context}");
                            assert_eq!(found, before, "{context}");
                        }
                    }
                }
                _ => {
                    let change = any_change(id, &before);
                    let key = |entry: &Entry| {
                        let step = entry.step_id.as_ref()?;
                        Some((format!("{id}/{step}"), entry.action, entry.status))
                    };
                    let place = |(at, entry): (usize, &Entry)| Some((at, *steps.get(&key(entry)?)?));
                    let known = Known { places: change.entries.iter().enumerate().filter_map(place).collect() };
                    let verdict = judge::judge(&before, &change, &known);
                    let done = executions.write(&made(change.clone())).await;
                    let found = executions.stored(id).await.unwrap();
                    match verdict {
                        Err(error) => {
                            let refused = done.unwrap_err();
                            assert_eq!(
                                (refused.kind(), refused.message()),
                                (error.kind(), error.message()),
                                "{context}"
                            );
                            assert_eq!(found, before, "{context}");
                        }
                        Ok(Verdict::Repeated(answer)) => {
                            assert_eq!(done.unwrap(), Reply::Value(answer.into_dynamic()), "{context}");
                            assert_eq!(found, before, "{context}");
                        }
                        Ok(Verdict::Change(answer)) => {
                            assert_eq!(done.unwrap(), Reply::Value(answer.into_dynamic()), "{context} {change:?}");
                            let mut expected = before;
                            judge::apply(&mut expected, &change, &answer, Millis::now());
                            assert_same(&found, expected.clone(), &context);
                            let fresh: Vec<&Entry> = known.fresh(&change.entries).collect();
                            for (entry, seq) in fresh.into_iter().rev().zip((0..=found.seq).rev()) {
                                key(entry).map(|key| steps.insert(key, seq));
                            }
                        }
                    }
                }
            }
            if round % 25 == 0 {
                executions.check_indexes(&ids).await;
            }
        }
        executions.check_indexes(&ids).await;
        for id in ids {
            executions.write(&ExecutionWrite::Delete { id: id.into() }).await.unwrap();
        }
        executions.check_indexes(&ids).await;
    });
}
