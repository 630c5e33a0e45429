//! Maps of an object, by name.

use anyhow::{Context, Result};
use aya::{
    Ebpf,
    maps::{Map, MapError},
};

/// Takes a map out of an object.
pub(crate) fn take<T>(ebpf: &mut Ebpf, name: &str) -> Result<T>
where
    T: TryFrom<Map, Error = MapError>,
{
    let map = ebpf.take_map(name).with_context(|| format!("the object has no map {name}"))?;
    T::try_from(map).with_context(|| format!("the map {name} is of another kind"))
}
