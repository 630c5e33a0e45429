//! Processes, threads and groups that the kernel side counts by number.

use std::{
    collections::{HashMap, VecDeque},
    fs,
};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{Array, HashMap as BpfHashMap, Map, MapData},
};
use diag_common::{runs::who::FIRST, who::Who};

use super::maps::take;

/// The kernel side's table.
const TABLE: &str = "TASKS_BY_NUMBER";
/// `BPF_NOEXIST` (include/uapi/linux/bpf.h).
const NO_EXIST: u64 = 1;

/// The numbers of an object; each is read once.
pub(crate) struct People {
    map: BpfHashMap<MapData, u32, Who>,
    /// How many the kernel side ever entered.
    made: Array<MapData, u64>,
    room: u64,
    numbers: Numbers,
    /// How many were taken out of the table again.
    removed: u64,
    /// How many were left in it then.
    left: u64,
}

impl People {
    /// Takes the maps out of an object.
    pub(crate) fn of(ebpf: &mut Ebpf) -> Result<People> {
        let Some(Map::HashMap(map)) = ebpf.map(TABLE) else { anyhow::bail!("the object has no map {TABLE}") };
        let room = u64::from(map.info()?.max_entries());
        let (map, made) = (take(ebpf, TABLE)?, take(ebpf, "NUMBERS_MADE")?);
        Ok(People { map, made, room, numbers: Numbers::default(), removed: 0, left: 0 })
    }

    /// Who a number stands for that something was counted under; none for those that stand for no task.
    pub(crate) fn get(&mut self, number: u32) -> Option<Who> {
        if number < FIRST {
            return None;
        }
        if let Some(who) = self.numbers.known(number) {
            return Some(who);
        }
        if let Ok(who) = self.map.get(&number, 0) {
            return Some(self.numbers.learn(number, who));
        }
        // It was in use as it was taken out.
        let who = self.numbers.released(number)?;
        if self.map.insert(number, who, NO_EXIST).is_ok() {
            self.removed = self.removed.saturating_sub(1);
        }
        Some(self.numbers.learn(number, who))
    }

    /// Whether so many are in the table that some should go: what was counted is to be read, and then [`People::release`]
    /// called.
    pub(crate) fn is_crowded(&self) -> Result<bool> {
        Ok(self.entries()? >= (self.room / 4).max(self.left + self.room / 8))
    }

    fn entries(&self) -> Result<u64> {
        Ok(self.made.get(&0, 0)?.saturating_sub(self.removed))
    }

    /// Takes those out of the kernel side's table, where it is crowded, under which nothing was counted in what was read since the
    /// last call, but for those that the caller keeps: what is counted under those goes on. Returns those that are gone.
    pub(crate) fn release(&mut self, keeps: impl Fn(u32) -> bool) -> Result<Vec<u32>> {
        let mut gone = Vec::new();
        if self.is_crowded()? {
            // Some may have been looked up and not counted yet.
            let all: Vec<u32> =
                self.map.keys().collect::<Result<_, _>>().context("cannot read who is known")?;
            for number in all {
                if !self.numbers.has(number)
                    && let Ok(who) = self.map.get(&number, 0)
                {
                    self.numbers.learn(number, who);
                }
            }
            gone = self.numbers.release(keeps);
            gone.retain(|number| self.map.remove(number).is_ok());
            self.removed += gone.len() as u64;
            self.left = self.entries()?;
        }
        self.numbers.turn();
        Ok(gone)
    }
}

/// Those out of the table that are remembered: what was under way as they were taken out may come yet.
const REMEMBERED: usize = 16_384;

/// Who numbers stand for, as far as that is known.
#[derive(Default)]
struct Numbers {
    known: HashMap<u32, Known>,
    /// Those that are out of the table, and their order, oldest first.
    out: HashMap<u32, Who>,
    order: VecDeque<u32>,
    /// Counts calls of [`Numbers::turn`].
    round: u64,
}

struct Known {
    who: Who,
    /// In which round something was last counted under it.
    used: u64,
}

impl Numbers {
    fn known(&mut self, number: u32) -> Option<Who> {
        let known = self.known.get_mut(&number)?;
        known.used = self.round;
        Some(known.who)
    }

    fn has(&self, number: u32) -> bool {
        self.known.contains_key(&number)
    }

    fn learn(&mut self, number: u32, who: Who) -> Who {
        self.known.insert(number, Known { who, used: self.round });
        who
    }

    fn released(&self, number: u32) -> Option<Who> {
        self.out.get(&number).copied()
    }

    /// Moves those out that are not used, and returns them.
    fn release(&mut self, keeps: impl Fn(u32) -> bool) -> Vec<u32> {
        let round = self.round;
        let unused = |number: &u32, known: &mut Known| known.used < round && !keeps(*number);
        let out: Vec<(u32, Known)> = self.known.extract_if(unused).collect();
        for (number, known) in &out {
            if self.out.insert(*number, known.who).is_none() {
                self.order.push_back(*number);
            }
        }
        while self.order.len() > REMEMBERED {
            if let Some(number) = self.order.pop_front() {
                self.out.remove(&number);
            }
        }
        out.into_iter().map(|(number, _)| number).collect()
    }

    fn turn(&mut self) {
        self.round += 1;
    }
}

/// Where the kernel says how many processes and threads there are.
const LOADAVG: &str = "/proc/loadavg";
/// The table has room for so many at least, and at most.
const ROOM: [usize; 2] = [32_768, 262_144];

/// The kernel side's table, and how many entries it should have on this machine where it can have to tell each thread.
pub(crate) fn room() -> Result<(&'static str, u32)> {
    let [least, most] = ROOM;
    Ok((TABLE, u32::try_from((2 * threads()?).clamp(least, most))?))
}

/// Threads on this machine: the second number of the fourth field.
pub(crate) fn threads() -> Result<usize> {
    let text = fs::read_to_string(LOADAVG).with_context(|| format!("cannot read {LOADAVG}"))?;
    let field = text.split_whitespace().nth(3).and_then(|field| field.split_once('/'));
    let (_, threads) = field.with_context(|| format!("{LOADAVG} says {text:?}"))?;
    threads.parse().with_context(|| format!("{LOADAVG} says {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(tgid: u32) -> Who {
        Who { tgid, ..Who::default() }
    }

    #[test]
    fn what_was_not_counted_under_goes_and_is_remembered() {
        let mut numbers = Numbers::default();
        for number in [11, 13, 15] {
            numbers.learn(number, who(number));
        }
        // What was learnt in a round is in use in it.
        assert!(numbers.release(|_| false).is_empty());
        numbers.turn();
        assert_eq!(numbers.known(13), Some(who(13)));
        assert_eq!(numbers.release(|number| number == 15), [11]);
        assert!(!numbers.has(11) && numbers.has(13) && numbers.has(15));
        assert_eq!(numbers.released(11), Some(who(11)));
        // A number that comes again may stand for another one by then.
        numbers.learn(11, who(7));
        assert_eq!(numbers.known(11), Some(who(7)));
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let mut numbers = Numbers::default();
        for number in 0..3 * REMEMBERED as u32 {
            numbers.learn(number, who(number));
            if number % 1_000 == 0 {
                numbers.turn();
                numbers.release(|_| false);
            }
        }
        numbers.turn();
        numbers.release(|_| false);
        assert_eq!((numbers.known.len(), numbers.out.len()), (0, REMEMBERED));
        assert_eq!(numbers.order.len(), REMEMBERED);
        let last = 3 * REMEMBERED as u32 - 1;
        assert_eq!((numbers.released(last), numbers.released(0)), (Some(who(last)), None));
    }
}
