//! Records: what is whole, what is torn.

use jiff::Timestamp;
use proptest::prelude::*;

use super::line;
use crate::domain::{KeyId, LeaseId, Millionths, OwnerId, Used};
use crate::usage::RouteName;
use crate::usage::record::{self, BYTES};

#[test]
fn a_record_says_what_was_written() {
    let bytes = record::encode(&line("r-1"), 9);
    assert!(record::is_committed(&bytes, 9));
    let used = record::decode(&bytes, |name| (name == RouteName::of("/a")).then(|| "/a".into()));
    let expected = Used {
        at: Timestamp::from_millisecond(1_795_955_400_123).unwrap(),
        request_id: "r-1".to_owned(),
        key: KeyId::from_text("key_01jzzzzzzzzzzzzzzzzzzzzzzz"),
        owner: OwnerId::from_text("default"),
        route: "/a".to_owned(),
        status: 200,
        cost: Millionths::new(2_000).unwrap(),
        lease: LeaseId::from_number(-7).map(|id| (id, Millionths::new(1_500).unwrap())),
    };
    assert_eq!(used, Ok(expected));
    assert!(record::decode(&bytes, |_| None).is_err(), "a route that nobody knows");
    assert!(!record::is_committed(&[0; BYTES], 0), "of a segment that is new");
}

proptest! {
    #[test]
    fn a_record_that_was_torn_at_any_byte_is_none(
        cut in 0..BYTES - 4, before in any::<bool>(), number in 0u64..1 << 40,
    ) {
        let old = if before { record::encode(&line("old"), number / 2) } else { [0; BYTES] };
        let new = record::encode(&line("new"), number);
        let mut torn = old;
        torn[..cut].copy_from_slice(&new[..cut]);
        prop_assert_eq!(record::is_committed(&torn, number), torn[..BYTES - 4] == new[..BYTES - 4]);
    }

    #[test]
    fn a_record_with_any_byte_changed_is_none(at in 0..BYTES - 4, flip in 1u8..) {
        let mut bytes = record::encode(&line("r"), 5);
        bytes[at] ^= flip;
        prop_assert!(!record::is_committed(&bytes, 5));
    }

    #[test]
    fn whatever_a_record_holds_reading_it_does_no_harm(bytes in any::<[u8; 32]>()) {
        let mut record = [0; BYTES];
        record.chunks_mut(32).for_each(|chunk| chunk.copy_from_slice(&bytes));
        let _ = record::decode(&record, |_| Some("/a".into()));
    }
}
