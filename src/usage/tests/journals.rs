//! Journals in small segments: their room, whose they are, what is lost with what is damaged.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use tempfile::TempDir;

use super::fake::{FakeBooks, Fault};
use super::{Process, SMALL, line, lock, take_over, wait};
use crate::domain::Clock;
use crate::usage::Sizes;
use crate::usage::flush::Part;
use crate::usage::journal::Progress;
use crate::usage::record::BYTES;

#[test]
fn segments_are_used_again_and_what_they_held_before_is_not_read() {
    let (parent, books) = (TempDir::new().unwrap(), FakeBooks::default());
    let process = Process::start(parent.path(), SMALL);
    for turn in 0..50 {
        assert!(process.write(&format!("r{turn}")));
        process.flush(&books).unwrap();
    }
    let expected: Vec<String> = (0..50).map(|turn| format!("r{turn}")).collect();
    assert_eq!(books.ids(), expected);
    assert!(process.journal.totals().bytes <= 4 * SMALL.segment_bytes());
    let files = fs::read_dir(process.journal.path()).unwrap().count();
    assert!(files <= 4 + 2, "{files} files, of which two are no segments");
}

#[test]
fn what_is_not_booked_is_bounded_and_heals() {
    let (parent, books) = (TempDir::new().unwrap(), FakeBooks::default());
    let sizes = Sizes { most_bytes: 3 * SMALL.segment_bytes(), ..SMALL };
    let process = Process::start(parent.path(), sizes);
    let written = (0..20).take_while(|n| process.write(&format!("r{n}"))).count();
    assert_eq!(written, 6);
    assert_eq!(process.journal.totals().refused, 1);
    assert!(process.journal.supply_all().is_err());
    process.flush(&books).unwrap();
    assert!(process.write("healed"));
    process.flush(&books).unwrap();
    assert_eq!(books.ids().len(), 7);
}

#[test]
fn places_that_are_taken_are_there_when_answers_come() {
    let parent = TempDir::new().unwrap();
    let sizes = Sizes { most_bytes: 2 * SMALL.segment_bytes(), ..SMALL };
    let process = Process::start(parent.path(), sizes);
    let take = || {
        let place = process.writer.reserve("key_1", "default");
        let _ = process.journal.supply_all();
        place
    };
    let mut taken: Vec<_> = (0..4).map(|_| take().unwrap()).collect();
    assert!(take().is_none(), "the fifth has no place");
    // A request that no upstream has answered gives its place back.
    drop(taken.pop());
    let again = take().unwrap();
    assert!(take().is_none());
    for (n, place) in taken.into_iter().chain([again]).enumerate() {
        place.fill(&line(&format!("r{n}")));
    }
    assert_eq!(process.journal.totals().written, 4);
    let long = "k".repeat(33);
    assert!(process.writer.reserve(&long, "default").is_none(), "no record holds that id");
}

#[test]
fn a_journal_of_a_process_that_lives_is_nobody_elses() {
    let (parent, books) = (TempDir::new().unwrap(), FakeBooks::default());
    let process = Process::start(parent.path(), SMALL);
    process.write("r");
    assert!(take_over(parent.path(), &books));
    assert!(books.ids().is_empty());
    let id = process.journal.id().clone();
    drop(process);
    assert!(take_over(parent.path(), &books));
    assert_eq!(books.ids(), ["r"]);
    assert_eq!(lock(&books.state).released, [id]);
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1, "the lock is left");
}

#[test]
fn a_journal_that_is_closed_is_gone_and_one_that_cannot_be_booked_stays() {
    let (parent, books) = (TempDir::new().unwrap(), FakeBooks::default());
    let process = Process::start(parent.path(), SMALL);
    process.write("a");
    wait(process.journal.close(&books, &Clock::system()));
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    let process = Process::start(parent.path(), SMALL);
    process.write("b");
    books.fail([Some(Fault::Before)]);
    wait(process.journal.close(&books, &Clock::system()));
    drop(process);
    assert!(take_over(parent.path(), &books));
    assert_eq!(books.ids(), ["a", "b"]);
}

#[test]
fn a_damaged_record_is_left_out_and_those_around_it_are_not() {
    let (parent, books) = (TempDir::new().unwrap(), FakeBooks::default());
    let process = Process::start(parent.path(), SMALL);
    for n in 0..6 {
        process.write(&format!("r{n}"));
    }
    let damaged = OpenOptions::new().write(true).open(process.segment(1)).unwrap();
    damaged.write_all_at(b"???", BYTES as u64 + 50).unwrap();
    drop(process);
    assert!(take_over(parent.path(), &books));
    assert_eq!(books.ids(), ["r0", "r1", "r2", "r4", "r5"]);
}

#[test]
fn segments_that_are_gone_or_cut_off_cost_what_was_in_them_alone() {
    let (parent, books) = (TempDir::new().unwrap(), FakeBooks::default());
    let process = Process::start(parent.path(), SMALL);
    for n in 0..8 {
        process.write(&format!("r{n}"));
    }
    fs::remove_file(process.segment(1)).unwrap();
    let cut = OpenOptions::new().write(true).open(process.segment(2)).unwrap();
    cut.set_len(BYTES as u64 + 10).unwrap();
    drop(process);
    assert!(take_over(parent.path(), &books));
    assert_eq!(books.ids(), ["r0", "r1", "r4", "r6", "r7"]);
}

#[test]
fn whoever_asks_for_it_waits_until_all_is_booked() {
    let (parent, books) = (TempDir::new().unwrap(), Arc::new(FakeBooks::default()));
    let process = Process::start(parent.path(), SMALL);
    process.write("r");
    wait(async {
        let journal = Arc::clone(&process.journal);
        let booking = async {
            loop {
                journal.flush.notified().await;
                let failed = journal.book_written(&*books, &Clock::system()).await.err();
                journal.progress.send_replace(Progress {
                    failed: failed.map(|error| error.to_string().into()),
                });
            }
        };
        let asking = async {
            books.fail([Some(Fault::Before)]);
            let failed = process.journal.flush_now().await;
            assert!(failed.unwrap_err().contains("as the test asked"));
            assert_eq!(process.journal.flush_now().await, Ok(()));
            assert_eq!(books.ids(), ["r"]);
        };
        tokio::select! {
            () = asking => {}
            () = booking => {}
        }
    });
}

#[test]
fn a_batch_that_was_brought_halfway_goes_on_from_there() {
    let (parent, books) = (TempDir::new().unwrap(), FakeBooks::default());
    let process = Process::start(parent.path(), Sizes { records: 64, ..SMALL });
    for n in 0..10 {
        process.write(&format!("r{n}"));
    }
    // Somebody else has booked four of them.
    let journal = process.journal.id().clone();
    lock(&books.state).positions.insert((journal, 0), 4);
    let lanes = process.journal.lanes();
    let part = Part { journal: process.journal.id(), lane: &lanes[0], keep_requests: true };
    let path_of = |_| Some("/a".into());
    wait(part.book(10, path_of, &books, &Clock::system())).unwrap();
    assert_eq!(books.ids(), ["r4", "r5", "r6", "r7", "r8", "r9"]);
}
