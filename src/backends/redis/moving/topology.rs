//! Which primary has which hash slots, as each of them says of itself. A scan of all primaries is complete, if no key
//! has moved from one that was still to come to one that had been. So what they say before and behind is compared, and
//! the slots that have moved are looked at once more.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use fred::util::redis_keyslot;
use serde::{Deserialize, Serialize};

/// How many slots there are.
const SLOTS: u16 = 16_384;

/// A primary: its id, the epoch of what it has, and its slots with those that are on the move, as CLUSTER NODES says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Primary(pub(super) String, String, String);

/// A slot's way from a primary to another one.
type Way<'a> = (&'a str, &'a str);

impl Primary {
    /// One of which no more is known.
    pub(super) fn named(name: String) -> Self {
        Self(name, String::new(), String::new())
    }

    /// Who answers CLUSTER NODES so.
    pub(super) fn of(nodes: &str) -> Option<Self> {
        let words = |line: &str| line.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let is_it =
            |words: &Vec<String>| words.get(2).is_some_and(|flags| flags.split(',').any(|flag| flag == "myself"));
        let words = nodes.lines().map(words).find(is_it)?;
        Some(Self(words.first()?.clone(), words.get(6)?.clone(), words.get(8..).unwrap_or_default().join(" ")))
    }

    fn id(&self) -> &str {
        &self.0
    }

    /// The slots that it has.
    fn slots(&self) -> impl Iterator<Item = u16> {
        self.2.split(' ').filter(|word| !word.starts_with('[')).flat_map(range)
    }

    /// Its slots that are on the move to or from it: from whom, and to whom.
    fn moving(&self) -> impl Iterator<Item = (u16, Way<'_>)> {
        self.2.split(' ').filter_map(|word| {
            let word = word.strip_prefix('[')?.strip_suffix(']')?;
            let (slot, way) = match (word.split_once("->-"), word.split_once("-<-")) {
                (Some((slot, to)), _) => (slot, (self.id(), to)),
                (_, Some((slot, from))) => (slot, (from, self.id())),
                _ => return None,
            };
            Some((slot.parse().ok()?, way))
        })
    }
}

fn range(word: &str) -> std::ops::Range<u16> {
    let number = |text: &str| text.parse::<u16>().ok().filter(|slot| *slot < SLOTS);
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    match (number(first), number(last)) {
        (Some(first), Some(last)) => first..last + 1,
        _ => 0..0,
    }
}

/// Some slots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Slots(BTreeSet<u16>);

impl Slots {
    /// As [`Self::text`] writes them.
    pub(super) fn read(text: &str) -> Self {
        Self(text.split(' ').flat_map(range).collect())
    }

    /// `0-99 200`
    pub(super) fn text(&self) -> String {
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for slot in &self.0 {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == *slot => *last = *slot,
                _ => ranges.push((*slot, *slot)),
            }
        }
        let words = ranges.iter().map(
            |(first, last)| {
                if first == last { first.to_string() } else { format!("{first}-{last}") }
            },
        );
        words.collect::<Vec<_>>().join(" ")
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a key is in one of them.
    pub(super) fn have(&self, key: &[u8]) -> bool {
        self.0.contains(&redis_keyslot(key))
    }

    /// Keys that are in the first slots of them, one in each.
    pub(super) fn keys(&self, most: usize) -> Vec<String> {
        let key = |slot: &u16| (0..u32::MAX).map(|n| n.to_string()).find(|key| redis_keyslot(key.as_bytes()) == *slot);
        self.0.iter().take(most).filter_map(key).collect()
    }
}

fn owners(primaries: &[Primary]) -> HashMap<u16, &str> {
    primaries.iter().flat_map(|primary| primary.slots().map(|slot| (slot, primary.id()))).collect()
}

fn ways(primaries: &[Primary]) -> BTreeMap<u16, Way<'_>> {
    primaries.iter().flat_map(Primary::moving).collect()
}

/// Slots that none of them has, if any of them says which it has.
pub(super) fn missing(primaries: &[Primary]) -> Slots {
    let owners = owners(primaries);
    if owners.is_empty() {
        return Slots::default();
    }
    Slots((0..SLOTS).filter(|slot| !owners.contains_key(slot)).collect())
}

/// Of these slots those that none of them has.
pub(super) fn without_owner(primaries: &[Primary], slots: &Slots) -> Slots {
    let owners = owners(primaries);
    Slots(slots.0.iter().copied().filter(|slot| !owners.contains_key(slot)).collect())
}

/// The primaries in the order in which they are to be scanned for some slots, or for all. To where slots are on the
/// move it goes once more behind all others: a key that has left one that came later is found there.
pub(super) fn visits(primaries: &[Primary], only: Option<&Slots>) -> Vec<String> {
    let is_meant = |slot: u16| only.is_none_or(|only| only.0.contains(&slot));
    let concerned = primaries.iter().filter(|primary| {
        only.is_none() || primary.slots().chain(primary.moving().map(|(slot, _)| slot)).any(is_meant)
    });
    let mut visits: Vec<String> = concerned.map(|primary| primary.0.clone()).collect();
    visits.sort();
    let targets = ways(primaries).into_iter().filter(|(slot, _)| is_meant(*slot)).map(|(_, (_, to))| to.to_owned());
    visits.extend(targets.collect::<BTreeSet<_>>());
    visits
}

/// The slots that have to be looked at once more behind a pass through all [`visits`]: `before` is what the primaries
/// said at its beginning, `now` what they say at its end.
pub(super) fn unsettled(before: &[Primary], now: &[Primary], only: Option<&Slots>) -> Slots {
    let (owners_before, owners_now) = (owners(before), owners(now));
    let (ways_before, ways_now) = (ways(before), ways(now));
    let gained = |primary: &Primary| primary.slots().any(|slot| owners_before.get(&slot) != Some(&primary.id()));
    // What it has is the same, and yet there was a change: a slot may have gone and come back.
    let doubtful: BTreeSet<&str> = now
        .iter()
        .filter(|primary| {
            let was = before.iter().find(|was| was.id() == primary.id());
            was.is_some_and(|was| was.1 != primary.1) && !gained(primary)
        })
        .map(Primary::id)
        .collect();
    let is_settled = |slot: &u16| {
        let (was, is) = (owners_before.get(slot), owners_now.get(slot));
        match (ways_before.get(slot), ways_now.get(slot)) {
            (None, None) => was == is && is.is_none_or(|is| !doubtful.contains(is)),
            (Some(way), Some(same)) => way == same && was == is,
            // It has arrived, where the pass was at its end.
            (Some((_, to)), None) => is == Some(to),
            (None, Some(_)) => false,
        }
    };
    let meant = (0..SLOTS).filter(|slot| only.is_none_or(|only| only.0.contains(slot)));
    Slots(meant.filter(|slot| !is_settled(slot)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn primary(id: &str, epoch: &str, slots: &str) -> Primary {
        Primary(id.into(), epoch.into(), slots.into())
    }

    #[test]
    fn a_primary_tells_of_itself() {
        let nodes = "b 127.0.0.1:7001@17001,host master - 0 1 2 connected 5461-10922\n\
            a 127.0.0.1:7000@17000,host myself,master - 0 0 3 connected 0-5460 10923 [93->-b] [77-<-c]\n";
        let found = Primary::of(nodes).unwrap();
        assert_eq!(found, primary("a", "3", "0-5460 10923 [93->-b] [77-<-c]"));
        assert_eq!(found.slots().count(), 5_462);
        assert_eq!(found.moving().collect::<Vec<_>>(), [(93, ("a", "b")), (77, ("c", "a"))]);
        assert_eq!(Primary::of("").map(drop), None);
    }

    #[test]
    fn slots_are_ranges() {
        let slots = Slots::read("7 1-3 9999999 x 4");
        assert_eq!(slots.text(), "1-4 7");
        assert_eq!(Slots::read(&slots.text()), slots);
        assert_eq!(Slots::read("").text(), "");
        for key in slots.keys(3) {
            assert!(slots.have(key.as_bytes()), "{key}");
        }
    }

    #[test]
    fn nothing_moves_and_all_is_settled() {
        let all = [primary("a", "1", "0-8191"), primary("b", "2", "8192-16383")];
        assert!(missing(&all).is_empty() && unsettled(&all, &all, None).is_empty());
        assert_eq!(visits(&all, None), ["a", "b"]);
        assert_eq!(visits(&all, Some(&Slots::read("9000"))), ["b"]);
        assert_eq!(missing(&all[..1]).text(), "8192-16383");
        // A single server says nothing of slots.
        let one = [Primary::named(String::new())];
        assert!(missing(&one).is_empty() && unsettled(&one, &one, None).is_empty());
    }

    #[test]
    fn what_has_moved_is_looked_at_once_more() {
        let before = [primary("a", "1", "0-8191"), primary("b", "2", "8192-16383")];
        let now = [primary("a", "3", "0-8191 9000"), primary("b", "2", "8192-8999 9001-16383")];
        assert_eq!(unsettled(&before, &now, None).text(), "9000");
        let again = Slots::read("9000");
        assert_eq!(visits(&now, Some(&again)), ["a"]);
        assert!(unsettled(&now, &now, Some(&again)).is_empty());
        // Another primary has taken the place of one.
        let replaced = [primary("a", "1", "0-8191"), primary("c", "3", "8192-16383")];
        assert_eq!(unsettled(&before, &replaced, None).text(), "8192-16383");
        // Gone and back again.
        let back = [primary("a", "1", "0-8191"), primary("b", "5", "8192-16383")];
        assert_eq!(unsettled(&before, &back, None).text(), "8192-16383");
    }

    #[test]
    fn what_is_on_the_move_is_looked_for_at_its_aim_last() {
        let before = [primary("a", "1", "0-8191 [9000-<-b]"), primary("b", "2", "8192-16383 [9000->-a]")];
        assert_eq!(visits(&before, None), ["a", "b", "a"]);
        // It is still on its way, or has arrived.
        assert!(unsettled(&before, &before, None).is_empty());
        let arrived = [primary("a", "3", "0-8191 9000"), primary("b", "2", "8192-8999 9001-16383")];
        assert!(unsettled(&before, &arrived, None).is_empty());
        // It has gone back, or has begun in between.
        let calm = [primary("a", "1", "0-8191"), primary("b", "2", "8192-16383")];
        assert_eq!(unsettled(&before, &calm, None).text(), "9000");
        assert_eq!(unsettled(&calm, &before, None).text(), "9000");
    }
}
