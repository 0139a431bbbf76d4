//! Locks on keys that have no row yet. Two hosts that both found a key absent
//! must not both go on, and PostgreSQL has nothing to lock there: so they lock
//! the bucket that the key falls into, until the end of the transaction.

use std::collections::BTreeSet;

use crate::settlement::StateKey;

/// Class of the advisory locks, so that an application's own do not meet them:
/// "qxst" in ASCII.
pub(super) const CLASS: i32 = 0x7178_7374;

/// How many buckets there are. Bounds the entries in the server's lock table
/// for one transaction; two keys in one bucket only wait for each other.
const BUCKETS: u64 = 256;

/// The buckets of these keys, in the order in which they are locked.
pub(super) fn buckets<'k>(keys: impl IntoIterator<Item = &'k StateKey<'k>>) -> Vec<i32> {
    let buckets: BTreeSet<i32> = keys.into_iter().map(bucket).collect();
    buckets.into_iter().collect()
}

/// FNV-1a: the same on every host and in every version, unlike the standard
/// library's hasher.
fn bucket(key: &StateKey<'_>) -> i32 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let bytes = key
        .component
        .bytes()
        .chain([0])
        .chain(*key.tenant_id.as_bytes());
    let hash = bytes.chain(key.key.bytes()).fold(OFFSET, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(PRIME)
    });
    // Below BUCKETS, so it fits.
    i32::try_from(hash % BUCKETS).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_key_has_the_same_bucket_on_every_host_and_in_every_version() {
        let key = |key| StateKey {
            component: "stars",
            tenant_id: Uuid::nil(),
            key,
        };
        assert_eq!(bucket(&key("a")), BUCKET_OF_A);
        let many: BTreeSet<_> = ["a", "b", "c", "a"].into_iter().map(key).collect();
        let buckets = buckets(&many);
        assert_eq!(buckets.len(), 3);
        assert!(buckets.is_sorted());
    }

    /// Changing it lets two versions that run side by side miss each other.
    const BUCKET_OF_A: i32 = 137;
}
