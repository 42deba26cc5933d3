//! The 32-bit Mersenne twister (Matsumoto and Nishimura, 1998), the engine behind torch's CPU generator and numpy's `RandomState`.

const STATE: usize = 624;
const SHIFT: usize = 397;
const TWIST: u32 = 0x9908_b0df;
const UPPER: u32 = 0x8000_0000;

/// MT19937: a period of 2^19937 - 1 over uniform 32-bit integers.
#[derive(Clone)]
pub(crate) struct Mt19937 {
    state: [u32; STATE],
    next: usize,
}

impl Mt19937 {
    pub(crate) fn new(seed: u32) -> Self {
        let mut state = [0; STATE];
        state[0] = seed;
        for i in 1..STATE {
            let previous = state[i - 1];
            state[i] = (previous ^ (previous >> 30))
                .wrapping_mul(1_812_433_253)
                .wrapping_add(i as u32);
        }
        Self { state, next: STATE }
    }

    /// The next 32 bits.
    pub(crate) fn next_u32(&mut self) -> u32 {
        if self.next == STATE {
            self.refill();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// The next 64 bits: two draws, the first one in the upper half.
    #[cfg(feature = "models")]
    pub(crate) fn next_u64(&mut self) -> u64 {
        let high = u64::from(self.next_u32());
        (high << 32) | u64::from(self.next_u32())
    }

    /// A number below `count`, as numpy's `RandomState.randint(0, count)` draws it: as many low bits as the largest one has,
    /// drawn again while they are too many. One number alone is not drawn.
    #[cfg(feature = "analysis")]
    pub(crate) fn below(&mut self, count: u32) -> u32 {
        let largest = count.saturating_sub(1);
        let bits = largest
            .checked_ilog2()
            .map_or(0, |highest| u32::MAX >> (31 - highest));
        if bits == 0 {
            return 0;
        }
        loop {
            let drawn = self.next_u32() & bits;
            if drawn <= largest {
                return drawn;
            }
        }
    }

    fn refill(&mut self) {
        for i in 0..STATE {
            let y = (self.state[i] & UPPER) | (self.state[(i + 1) % STATE] & !UPPER);
            let twist = if y & 1 == 1 { TWIST } else { 0 };
            self.state[i] = self.state[(i + SHIFT) % STATE] ^ (y >> 1) ^ twist;
        }
        self.next = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::Mt19937;

    #[test]
    fn known_outputs_of_the_default_seed() {
        let mut engine = Mt19937::new(5489);
        let first: Vec<u32> = (0..3).map(|_| engine.next_u32()).collect();
        assert_eq!(first, [3_499_211_612, 581_869_302, 3_890_346_734]);
        // The 10 000th output is the check value of the C++ standard.
        for _ in 3..9_999 {
            engine.next_u32();
        }
        assert_eq!(engine.next_u32(), 4_123_659_995);
    }
}
