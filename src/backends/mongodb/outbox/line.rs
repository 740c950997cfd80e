//! Which candidates one claim may take: the rules of partition keys, without a server.

use std::collections::{BTreeMap, HashSet};

use super::document::Place;
use crate::contract::outbox::record::{EventStatus, Stored};
use crate::contract::outbox::{ClaimEvents, judge};
use crate::time::Millis;

/// What can be claimed of a key, or an event without one. The first comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The key.
    pub(super) key: Option<Box<str>>,
    /// The events, without a gap.
    pub(super) events: Vec<Place>,
}

/// What one round of a claim knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// What can be claimed.
    pub(super) runs: Vec<Run>,
    /// What has been claimed too often.
    pub(super) over: Vec<Box<str>>,
    /// Keys that give nothing now.
    pub(super) blocked: Vec<Box<str>>,
}

/// What can be claimed of these candidates. `lines` has the events of their keys that are not sent, in their order; it
/// is known up to `known_to`, if it is not known to its end.
pub(super) fn known(
    candidates: &[Stored],
    lines: &[Stored],
    known_to: Option<i64>,
    claim: &ClaimEvents,
    now: Millis,
) -> Known {
    let mut known = Known::default();
    let mut keys: HashSet<&str> = HashSet::new();
    // What an earlier round of this claim has given.
    let is_other = |event: &&Stored| !judge::is_held(event, &claim.lease.token);
    for candidate in candidates.iter().filter(is_other) {
        match candidate.event.partition_key.as_deref() {
            Some(key) => drop(keys.insert(key)),
            None if is_over(candidate, claim) => known.over.push(candidate.event.id.clone()),
            None => known.runs.push(Run { key: None, events: vec![Place::of(candidate)] }),
        }
    }
    let mut by_key: BTreeMap<&str, Vec<&Stored>> = BTreeMap::new();
    for event in lines {
        if let Some(key) = event.event.partition_key.as_deref().filter(|key| keys.contains(key)) {
            by_key.entry(key).or_default().push(event);
        }
    }
    for (key, line) in by_key {
        let mut run = Run { key: Some(key.into()), events: Vec::new() };
        let before = known.over.len();
        for event in line.into_iter().take_while(|event| known_to.is_none_or(|seq| event.seq < seq)) {
            let is_skipped = event.status == EventStatus::DeadLetter && claim.terms.skips_dead;
            if is_skipped || !is_other(&event) {
                continue;
            }
            if !judge::is_free(event, now) || !judge::is_wanted(event, claim, now) {
                break;
            }
            if is_over(event, claim) {
                known.over.push(event.event.id.clone());
                if claim.terms.skips_dead {
                    continue;
                }
                break;
            }
            run.events.push(Place::of(event));
        }
        if !run.events.is_empty() {
            known.runs.push(run);
        } else if known.over.len() == before && known_to.is_none() {
            known.blocked.push(key.into());
        }
    }
    known
}

fn is_over(event: &Stored, claim: &ClaimEvents) -> bool {
    event.deliveries >= claim.terms.max_deliveries
}

/// The earliest runs, or any of them where others have been quicker, until there are as many events as are wanted: of
/// the last one its beginning.
pub(super) fn choose(mut runs: Vec<Run>, wanted: usize, shuffles: bool) -> Vec<Run> {
    if shuffles {
        fastrand::shuffle(&mut runs);
    } else {
        runs.sort_unstable_by(|a, b| a.events.first().cmp(&b.events.first()));
    }
    let mut left = wanted;
    for run in &mut runs {
        run.events.truncate(left);
        left -= run.events.len();
    }
    runs.retain(|run| !run.events.is_empty());
    runs
}

/// Splits what was claimed of a run: what stands without a gap from its beginning, and what does not.
pub(super) fn without_gap<'a>(run: &'a Run, has: impl Fn(&str) -> bool) -> (Vec<&'a str>, Vec<&'a str>) {
    let gap = run.events.iter().position(|place| !has(&place.id)).unwrap_or(run.events.len());
    let ids = |places: &'a [Place]| places.iter().map(|place| &*place.id).filter(|id| has(id)).collect();
    (ids(&run.events[..gap]), ids(&run.events[gap..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::mongodb::outbox::tests::{claim_of, event, terms};

    const NOW: Millis = Millis(1_000_000);

    fn pending(id: &str, seq: i64, key: Option<&str>) -> Stored {
        event(id, seq, key)
    }

    fn ids(runs: &[Run]) -> Vec<Vec<&str>> {
        runs.iter().map(|run| run.events.iter().map(|place| &*place.id).collect()).collect()
    }

    #[test]
    fn a_line_gives_its_beginning() {
        let mut line: Vec<Stored> =
            ["a", "b", "c", "d"].iter().zip(1..).map(|(id, n)| pending(id, n, Some("k"))).collect();
        let claim = claim_of("t", 10);
        assert_eq!(ids(&known(&line, &line, None, &claim, NOW).runs), [["a", "b", "c", "d"]]);
        // What waits, what another worker has, and what is dead, end it; the own token does not.
        line[1].due_at = Some(NOW.plus(1));
        assert_eq!(ids(&known(&line, &line, None, &claim, NOW).runs), [["a"]]);
        assert!(judge::claim(&mut line[0], &claim.lease, &claim.terms, NOW));
        line[1].due_at = None;
        assert_eq!(ids(&known(&line, &line, None, &claim, NOW).runs), [["b", "c", "d"]]);
        assert_eq!(known(&line, &line, None, &claim_of("u", 10), NOW).blocked, [Box::from("k")]);
        // A lease that is over.
        assert_eq!(ids(&known(&line, &line, None, &claim_of("u", 10), NOW.plus(60_000)).runs), [["a", "b", "c", "d"]]);
        line[2].status = EventStatus::DeadLetter;
        assert_eq!(ids(&known(&line, &line, None, &claim, NOW).runs), [["b"]]);
        let skips =
            ClaimEvents { terms: crate::contract::outbox::Terms { skips_dead: true, ..terms() }, ..claim_of("t", 9) };
        assert_eq!(ids(&known(&line, &line, None, &skips, NOW).runs), [["b", "d"]]);
    }

    #[test]
    fn a_line_that_is_not_known_to_its_end_gives_what_is_known() {
        let line: Vec<Stored> = ["a", "b", "c"].iter().zip(1..).map(|(id, n)| pending(id, n, Some("k"))).collect();
        assert_eq!(ids(&known(&line, &line, Some(3), &claim_of("t", 10), NOW).runs), [["a", "b"]]);
        let none = known(&line, &[], Some(1), &claim_of("t", 10), NOW);
        assert_eq!((none.runs, none.blocked), (Vec::new(), Vec::new()));
    }

    #[test]
    fn what_was_claimed_too_often_is_told_and_ends_its_line() {
        let mut line: Vec<Stored> = ["a", "b", "c"].iter().zip(1..).map(|(id, n)| pending(id, n, Some("k"))).collect();
        line[1].deliveries = terms().max_deliveries;
        let claim = claim_of("t", 10);
        let seen = known(&line, &line, None, &claim, NOW);
        assert_eq!((ids(&seen.runs), &seen.over[..]), (vec![vec!["a"]], &[Box::<str>::from("b")][..]));
        line[1].event.partition_key = None;
        let seen = known(&line[1..2], &[], None, &claim, NOW);
        assert_eq!((ids(&seen.runs).len(), &seen.over[..]), (0, &[Box::<str>::from("b")][..]));
    }

    #[test]
    fn the_earliest_runs_are_chosen_and_of_the_last_its_beginning() {
        let place = |id: &str, seq| Place { seq, id: id.into() };
        let run = |events: &[Place]| Run { key: None, events: events.to_vec() };
        let runs =
            vec![run(&[place("a", 1), place("d", 4)]), run(&[place("b", 2)]), run(&[place("c", 3), place("e", 5)])];
        assert_eq!(ids(&choose(runs.clone(), 4, false)), [vec!["a", "d"], vec!["b"], vec!["c"]]);
        assert_eq!(ids(&choose(runs.clone(), 1, false)), [vec!["a"]]);
        assert_eq!(ids(&choose(runs.clone(), 9, false)), [vec!["a", "d"], vec!["b"], vec!["c", "e"]]);
        for _ in 0..50 {
            let chosen = choose(runs.clone(), 3, true);
            assert_eq!(chosen.iter().map(|run| run.events.len()).sum::<usize>(), 3);
            assert!(chosen.iter().all(|run| ["a", "b", "c"].contains(&&*run.events[0].id)));
        }
        let has = |ids: &'static [&str]| move |id: &str| ids.contains(&id);
        let run = run(&[place("a", 1), place("b", 2), place("c", 3)]);
        assert_eq!(without_gap(&run, has(&["a", "b", "c"])), (vec!["a", "b", "c"], vec![]));
        assert_eq!(without_gap(&run, has(&["a", "c"])), (vec!["a"], vec!["c"]));
        assert_eq!(without_gap(&run, has(&["b", "c"])), (vec![], vec!["b", "c"]));
    }
}
