//! Counting by keys: a small table of each CPU in front of a hash that all share. Shared by every tool that counts waits.

/// A cell of the shared hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct CellKey {
    /// What is counted, as its table has it.
    pub of: u64,
    /// [`CellKey::half`].
    pub half: u64,
}

impl CellKey {
    /// The half of this parity, 0 or 1, of a table.
    #[inline(always)]
    pub const fn half(parity: u32, table: u32) -> u64 {
        parity as u64 | (table as u64) << 32
    }

    /// The parity of the half.
    pub const fn parity(&self) -> u32 {
        self.half as u32
    }

    /// The table.
    pub const fn table(&self) -> u32 {
        (self.half >> 32) as u32
    }
}

/// What a cell holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Cell {
    /// How often, or how many.
    pub count: u64,
    /// The sum, ns.
    pub ns: u64,
}

impl core::ops::AddAssign for Cell {
    /// Modulo 2^64, as the kernel side adds.
    fn add_assign(&mut self, more: Cell) {
        self.count = self.count.wrapping_add(more.count);
        self.ns = self.ns.wrapping_add(more.ns);
    }
}

/// A place of a CPU's table: a cell that has not been handed to the shared hash yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Slot {
    /// As [`CellKey::of`]; 0 for a free place.
    pub of: u64,
    /// What it holds.
    pub cell: Cell,
}

impl Slot {
    /// A free one.
    pub const FREE: Slot = Slot { of: 0, cell: Cell { count: 0, ns: 0 } };
}

/// A slot's number in a table of 2^`bits` of them: the upper bits of a product with 2^64 / φ (Fibonacci hashing).
#[inline(always)]
pub const fn number(of: u64, bits: u32) -> usize {
    (of.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits)) as usize
}

#[cfg(feature = "user")]
// SAFETY: integers alone, without padding, valid for every bit pattern.
unsafe impl aya::Pod for CellKey {}
#[cfg(feature = "user")]
// SAFETY: as above.
unsafe impl aya::Pod for Cell {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_keeps_its_parts_apart() {
        let key = CellKey { of: 7, half: CellKey::half(1, 0x102) };
        assert_eq!((key.parity(), key.table(), size_of::<CellKey>()), (1, 0x102, 16));
    }

    #[test]
    fn a_number_is_below_the_tables_length() {
        assert!((0..1_000u64).all(|of| number(of << 32 | of, 7) < 1 << 7));
    }
}
