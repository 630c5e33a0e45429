//! Keeping no more than there is use for.

use std::{cmp::Reverse, collections::HashMap, hash::Hash};

/// Takes the smaller half out of a map of more than `most` entries.
pub(crate) fn least<K: Copy + Eq + Hash, V, W: Ord>(
    map: &mut HashMap<K, V>,
    most: usize,
    weight: impl Fn(&K, &V) -> W,
) -> Vec<(K, V)> {
    if map.len() <= most {
        return Vec::new();
    }
    let mut all: Vec<(K, V)> = map.drain().collect();
    all.sort_by_cached_key(|(key, value)| Reverse(weight(key, value)));
    let less = all.split_off(most / 2);
    map.extend(all);
    less
}
