//! Hashes that are read and emptied in few calls, since each call costs as much as some hundred entries.

use std::{marker::PhantomData, os::fd::AsFd as _};

use anyhow::{Context as _, Result, bail, ensure};
use aya::{
    Ebpf, Pod,
    maps::{Map, MapData},
};

use super::syscall;

/// A hash of an object.
pub(crate) struct Hash<K, V> {
    map: MapData,
    room: u32,
    entry: PhantomData<(K, V)>,
}

impl<K: Pod, V: Pod> Hash<K, V> {
    /// Takes it out of the object.
    pub(crate) fn take(ebpf: &mut Ebpf, name: &str) -> Result<Hash<K, V>> {
        let map = match ebpf.take_map(name) {
            Some(Map::HashMap(map)) => map,
            Some(_) => bail!("the map {name} is of another kind"),
            None => bail!("the object has no map {name}"),
        };
        let info = map.info()?;
        let is_known =
            info.key_size() as usize == size_of::<K>() && info.value_size() as usize == size_of::<V>();
        ensure!(is_known, "the entries of {name} are of another size");
        let room = info.max_entries();
        Ok(Hash { map, room, entry: PhantomData })
    }

    /// How many entries there is room for.
    pub(crate) fn room(&self) -> u32 {
        self.room
    }

    /// All entries.
    pub(crate) fn entries(&self) -> Result<Vec<(K, V)>> {
        syscall::entries(self.map.fd().as_fd()).context("cannot read a map's entries")
    }

    /// Takes out the entries whose keys are of a kind that nothing else writes or removes any more.
    pub(crate) fn take_out(&mut self, is: impl Fn(&K) -> bool) -> Result<Vec<(K, V)>> {
        let map = self.map.fd().as_fd();
        let mut entries = self.entries()?;
        entries.retain(|(key, _)| is(key));
        let keys: Vec<K> = entries.iter().map(|(key, _)| *key).collect();
        syscall::remove(map, &keys).context("cannot remove a map's entries")?;
        Ok(entries)
    }
}
