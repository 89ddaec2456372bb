//! Processes killed at any point, and books that fail as they like.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;

use proptest::prelude::*;
use tempfile::TempDir;

use super::fake::{FakeBooks, Fault};
use super::{Process, SMALL, line, lock, take_over};
use crate::usage::record::{self, BYTES};

/// What happens to a process and its books.
#[derive(Clone, Debug)]
enum Step {
    Write(u8),
    Flush(Option<Fault>),
    /// It is killed, while so much of a further record is written.
    Crash(usize),
    /// Another process looks for what is left, and its bookings go so.
    TakeOver(Vec<Option<Fault>>),
}

fn fault() -> impl Strategy<Value = Option<Fault>> {
    prop_oneof![3 => Just(None), 1 => Just(Some(Fault::Before)), 1 => Just(Some(Fault::After))]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u8..12).prop_map(Step::Write),
        3 => fault().prop_map(Step::Flush),
        1 => (0..BYTES).prop_map(Step::Crash),
        1 => proptest::collection::vec(fault(), 0..5).prop_map(Step::TakeOver),
    ]
}

/// Writes the beginning of the next record, as a process does that is killed meanwhile.
fn tear(process: &Process, bytes: usize) {
    let written = process.journal.totals().written;
    let (index, slot) = (written / SMALL.records, written % SMALL.records);
    let record = record::encode(&line("torn"), written);
    if let Ok(file) = OpenOptions::new().write(true).open(process.segment(index)) {
        // Up to what would make it whole.
        let bytes = bytes.min(BYTES - 8);
        file.write_all_at(&record[..bytes], slot * BYTES as u64).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    #[test]
    fn whatever_fails_and_whenever_it_crashes_each_record_is_booked_once(
        steps in proptest::collection::vec(step(), 1..25),
    ) {
        let (parent, books) = (TempDir::new().unwrap(), FakeBooks::default());
        let mut process = Process::start(parent.path(), SMALL);
        let mut written = Vec::new();
        for step in steps {
            match step {
                Step::Write(count) => for _ in 0..count {
                    let id = format!("r{}", written.len());
                    prop_assert!(process.write(&id));
                    written.push(id);
                },
                Step::Flush(fault) => {
                    books.fail([fault]);
                    let _ = process.flush(&books);
                }
                Step::Crash(bytes) => {
                    tear(&process, bytes);
                    process = Process::start(parent.path(), SMALL);
                }
                Step::TakeOver(faults) => {
                    books.fail(faults);
                    take_over(parent.path(), &books);
                }
            }
            lock(&books.state).faults.clear();
        }
        drop(process);
        prop_assert!(take_over(parent.path(), &books));
        let mut booked = books.ids();
        booked.sort_unstable();
        written.sort_unstable();
        prop_assert_eq!(booked, written);
        prop_assert!(lock(&books.state).positions.is_empty());
    }
}
