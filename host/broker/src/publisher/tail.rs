//! How far the stream goes, as its answers tell: what the next message expects.
//!
//! Nothing depends on it being right. The server compares, and a message whose
//! expectation is wrong is not stored.

/// The last position of the stream, as far as it is known.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    at: Option<u64>,
    /// The server contradicted it: the next message expects nothing, so that a
    /// server which is wrong about itself cannot hold everything up.
    doubted: bool,
}

impl Tail {
    pub(super) fn at(&self) -> Option<u64> {
        self.at
    }

    /// The stream said so, when it was asked.
    pub(crate) fn saw(&mut self, last: u64) {
        if !self.doubted {
            self.at = Some(last);
        }
    }

    /// A message lies there, the server says.
    pub(super) fn stored(&mut self, sequence: u64) {
        self.at = Some(self.at.map_or(sequence, |at| at.max(sequence)));
        self.doubted = false;
    }

    /// The stream ends before what it had stored.
    pub(super) fn doubt(&mut self) {
        *self = Self {
            at: None,
            doubted: true,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_contradiction_nothing_is_expected_until_a_message_is_stored() {
        let mut tail = Tail::default();
        assert_eq!(tail.at(), None);
        tail.saw(7);
        tail.stored(8);
        tail.stored(6);
        assert_eq!(tail.at(), Some(8));
        tail.doubt();
        tail.saw(3);
        assert_eq!(tail.at(), None);
        tail.stored(4);
        tail.saw(5);
        assert_eq!(tail.at(), Some(5));
    }
}
