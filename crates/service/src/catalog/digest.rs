//! One number for all rows: the sum, modulo 2^256, of a MAC of each. Order does not matter, and a row that vanished or came back
//! changes it.

/// The sum so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Digest(pub(super) [u8; 32]);

impl Digest {
    pub(super) fn add(&mut self, mac: &[u8; 32]) {
        let mut carry = 0u16;
        for (sum, byte) in self.0.iter_mut().zip(mac) {
            let n = u16::from(*sum) + u16::from(*byte) + carry;
            *sum = n as u8;
            carry = n >> 8;
        }
    }

    pub(super) fn subtract(&mut self, mac: &[u8; 32]) {
        let mut borrow = 0i16;
        for (sum, byte) in self.0.iter_mut().zip(mac) {
            let n = i16::from(*sum) - i16::from(*byte) - borrow;
            *sum = n as u8;
            borrow = i16::from(n < 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_added_can_be_taken_away_in_any_order(macs in prop::collection::vec(any::<[u8; 32]>(), 1..9), start: [u8; 32]) {
            let mut digest = Digest(start);
            macs.iter().for_each(|m| digest.add(m));
            let full = digest;
            let mut reversed = Digest(start);
            macs.iter().rev().for_each(|m| reversed.add(m));
            prop_assert_eq!(reversed, full);
            macs.iter().for_each(|m| digest.subtract(m));
            prop_assert_eq!(digest, Digest(start));
        }
    }

    #[test]
    fn carries_run_through() {
        let mut digest = Digest([255; 32]);
        let mut one = [0; 32];
        one[0] = 1;
        digest.add(&one);
        assert_eq!(digest, Digest([0; 32]));
        digest.subtract(&one);
        assert_eq!(digest, Digest([255; 32]));
    }
}
