//! Journals in small segments, books that fail as they like, and crashes at any point.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::Timestamp;
use proptest::prelude::*;
use tempfile::TempDir;

use super::flush::Part;
use super::journal::{Journal, Sizes};
use super::lock;
use super::record::{self, BYTES, Line, RouteName};
use super::takeover::Abandoned;
use super::writer::Writer;
use crate::domain::{Clock, JournalId, KeyId, LeaseId, Millionths, Month, Used};
use crate::store::books::Kept;
use crate::store::{Batch, Booking, Books, Result, StoreError, UsageBy, UsageFilter, UsageRow};

/// Two records a segment, so that they are made and used again all the time.
const SMALL: Sizes = Sizes { records: 2, most_bytes: 1 << 20 };

/// How a booking fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Nothing is done.
    Before,
    /// All is done and nobody hears of it.
    After,
}

#[derive(Default)]
struct FakeBooks {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    positions: HashMap<(JournalId, u32), u64>,
    ids: Vec<String>,
    faults: VecDeque<Option<Fault>>,
    released: Vec<JournalId>,
}

impl FakeBooks {
    fn fail(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        lock(&self.state).faults.extend(faults);
    }

    fn ids(&self) -> Vec<String> {
        lock(&self.state).ids.clone()
    }
}

fn away() -> StoreError {
    StoreError::Unavailable("as the test asked".to_owned())
}

#[async_trait]
impl Books for FakeBooks {
    async fn book(&self, batch: &Batch, _: Timestamp) -> Result<Booking> {
        let mut state = lock(&self.state);
        let fault = state.faults.pop_front().flatten();
        if fault == Some(Fault::Before) {
            return Err(away());
        }
        let position = state.positions.entry((batch.journal.clone(), batch.worker)).or_default();
        if *position != batch.from {
            return Ok(Booking::At(*position));
        }
        *position = batch.to;
        state.ids.extend(batch.used.iter().map(|used| used.request_id.clone()));
        if fault == Some(Fault::After) { Err(away()) } else { Ok(Booking::Done) }
    }

    async fn booked(&self, journal: &JournalId) -> Result<BTreeMap<u32, u64>> {
        let state = lock(&self.state);
        let of_it = state.positions.iter().filter(|((id, _), _)| id == journal);
        Ok(of_it.map(|((_, worker), booked)| (*worker, *booked)).collect())
    }

    async fn keep_journal(&self, _: &JournalId, _: Timestamp) -> Result<()> {
        Ok(())
    }

    async fn forget_journal(&self, journal: &JournalId) -> Result<()> {
        lock(&self.state).positions.retain(|(id, _), _| id != journal);
        Ok(())
    }

    async fn release_leases(&self, holder: &JournalId) -> Result<usize> {
        lock(&self.state).released.push(holder.clone());
        Ok(0)
    }

    async fn release_expired_leases(&self) -> Result<usize> {
        Ok(0)
    }

    async fn usage(&self, _: &UsageFilter, _: UsageBy) -> Result<Vec<UsageRow>> {
        Ok(Vec::new())
    }

    async fn spent(&self, _: &[KeyId], _: Month) -> Result<BTreeMap<KeyId, Millionths>> {
        Ok(BTreeMap::new())
    }

    async fn tidy_usage(&self, _: &Kept) -> Result<()> {
        Ok(())
    }
}

fn line(request_id: &str) -> Line<'_> {
    Line {
        at_ms: 1_795_955_400_123,
        request_id: request_id.as_bytes(),
        key: "key_01jzzzzzzzzzzzzzzzzzzzzzzz",
        owner: "default",
        route: RouteName::of("/a"),
        status: 200,
        cost: Millionths::new(2_000).unwrap(),
        lease: LeaseId::from_number(-7).map(|id| (id, Millionths::new(1_500).unwrap())),
    }
}

fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A process with one worker.
struct Process {
    journal: Arc<Journal>,
    writer: Rc<Writer>,
}

impl Process {
    fn start(parent: &Path, sizes: Sizes) -> Self {
        let journal = Journal::start(parent, 1, sizes).unwrap();
        journal.know_routes(["/a"].into_iter()).unwrap();
        Self { writer: journal.writer(0), journal }
    }

    /// Writes a record; whether there was room.
    fn write(&self, id: &str) -> bool {
        let place = self.writer.reserve("key_1", "default");
        // What another task does.
        let _ = self.journal.supply_all();
        place.map(|place| place.fill(&line(id))).is_some()
    }

    fn flush(&self, books: &FakeBooks) -> Result<()> {
        let flushed = wait(self.journal.book_written(books, &Clock::system()));
        let _ = self.journal.supply_all();
        flushed
    }

    /// Where its files are.
    fn segment(&self, index: u64) -> std::path::PathBuf {
        self.journal.path().join(format!("0-{index}.segment"))
    }
}

/// Takes over everything that is left, once; whether all of it is booked.
fn take_over(parent: &Path, books: &FakeBooks) -> bool {
    let mut all = true;
    for abandoned in Abandoned::all_under(parent).unwrap() {
        match wait(abandoned.book(true, books, &Clock::system())) {
            Ok(()) => wait(abandoned.finish(books)),
            Err(_) => all = false,
        }
    }
    all
}

#[test]
fn a_record_says_what_was_written() {
    let bytes = record::encode(&line("r-1"), 9);
    assert!(record::is_committed(&bytes, 9));
    let used = record::decode(&bytes, |name| (name == RouteName::of("/a")).then(|| "/a".into()));
    let expected = Used {
        at: Timestamp::from_millisecond(1_795_955_400_123).unwrap(),
        request_id: "r-1".to_owned(),
        key: KeyId::from_text("key_01jzzzzzzzzzzzzzzzzzzzzzzz"),
        owner: crate::domain::OwnerId::from_text("default"),
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
                journal.progress.send_replace(super::journal::Progress {
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
