//! Cuts octets as a network does: the result of anything may not depend on where.

/// Three ways in which the same octets arrive.
#[derive(Debug, Clone, Copy)]
pub enum Cut {
    /// All at once.
    Whole,
    /// One by one.
    Octets,
    /// In pieces of 1 to 32 octets, whose sizes come from a seed.
    Pieces(u64),
}

impl Cut {
    /// The pieces, none of them empty.
    pub fn pieces(self, octets: &[u8]) -> Vec<&[u8]> {
        let mut pieces = Vec::new();
        let mut rest = octets;
        let mut seed = if let Self::Pieces(seed) = self { seed } else { 0 };
        while !rest.is_empty() {
            let size = match self {
                Self::Whole => rest.len(),
                Self::Octets => 1,
                Self::Pieces(_) => {
                    // Knuth's multiplier; the upper bits are the better ones.
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    1 + usize::from((seed >> 59) as u8)
                }
            };
            let (piece, after) = rest.split_at(size.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces
    }
}
