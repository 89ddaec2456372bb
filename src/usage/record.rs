//! One request's record: 192 bytes, little endian, the last of which say that the others are whole.
//!
//! | bytes | what |
//! | --- | --- |
//! | 0 | when, milliseconds since the epoch |
//! | 8, 16, 24 | cost, how much of it came from a lease, the lease |
//! | 32 | the route's name |
//! | 40 | status |
//! | 42, 43, 44 | lengths of request id, key and owner |
//! | 48, 112, 144 | request id (64), key (32), owner (32) |
//! | 176 | the record's number |
//! | 184 | CRC-32 of all before |
//! | 188 | the form, 1 |

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use jiff::Timestamp;

use crate::domain::{KeyId, LeaseId, Millionths, OwnerId, Used, UsedInHour};

/// Bytes of a record.
pub(super) const BYTES: usize = 192;
const FORM: u32 = 1;
const REQUEST_ID: Field = Field { at: 48, most: 64, length_at: 42 };
const KEY: Field = Field { at: 112, most: 32, length_at: 43 };
const OWNER: Field = Field { at: 144, most: 32, length_at: 44 };
const NUMBER_AT: usize = 176;
const CRC_AT: usize = 184;
const FORM_AT: usize = 188;
const HOUR_MS: i64 = 3_600_000;
const NO_TIME: &str = "its time is none";
const NO_KEY: &str = "its key is no text";
const NO_OWNER: &str = "its owner is no text";
const NO_ROUTE: &str = "its route is unknown";

/// Where a text lies, and where its length.
struct Field {
    at: usize,
    most: usize,
    length_at: usize,
}

/// A route's path in eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteName(u64);

impl RouteName {
    /// The name of a path.
    pub fn of(path: &str) -> Self {
        let hash = blake3::hash(path.as_bytes());
        let first = hash.as_bytes().first_chunk().expect("a hash has 32 bytes");
        Self(u64::from_le_bytes(*first))
    }
}

/// An answered request, as it is written down.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// When its answer began, in milliseconds since the epoch.
    pub at_ms: i64,
    /// Its name: 64 bytes at most.
    pub request_id: &'a [u8],
    /// Whose it was.
    pub key: &'a str,
    /// Whose key that was.
    pub owner: &'a str,
    /// The route.
    pub route: RouteName,
    /// What the upstream answered.
    pub status: u16,
    /// What it cost.
    pub cost: Millionths,
    /// The lease that it was spent from, and how much of the cost was.
    pub lease: Option<(LeaseId, Millionths)>,
}

/// Whether a record has room for these ids; keygate's own have 30 characters.
pub(super) fn holds(key: &str, owner: &str) -> bool {
    key.len() <= KEY.most && owner.len() <= OWNER.most
}

/// The record of a line.
pub(super) fn encode(line: &Line<'_>, number: u64) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    let (lease, leased) = line.lease.map_or((0, 0), |(id, amount)| (id.number(), amount.get()));
    put(&mut bytes, 0, line.at_ms.to_le_bytes());
    put(&mut bytes, 8, line.cost.get().to_le_bytes());
    put(&mut bytes, 16, leased.to_le_bytes());
    put(&mut bytes, 24, lease.to_le_bytes());
    put(&mut bytes, 32, line.route.0.to_le_bytes());
    put(&mut bytes, 40, line.status.to_le_bytes());
    put_text(&mut bytes, &REQUEST_ID, line.request_id);
    put_text(&mut bytes, &KEY, line.key.as_bytes());
    put_text(&mut bytes, &OWNER, line.owner.as_bytes());
    put(&mut bytes, NUMBER_AT, number.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..CRC_AT]);
    put(&mut bytes, CRC_AT, crc.to_le_bytes());
    put(&mut bytes, FORM_AT, FORM.to_le_bytes());
    bytes
}

fn put<const N: usize>(bytes: &mut [u8; BYTES], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

fn put_text(bytes: &mut [u8; BYTES], field: &Field, text: &[u8]) {
    let text = &text[..text.len().min(field.most)];
    bytes[field.length_at] = text.len() as u8;
    bytes[field.at..field.at + text.len()].copy_from_slice(text);
}

/// Whether the record of that number is here, and whole: not one that was torn, nor one from before the
/// segment was used again.
pub(super) fn is_committed(bytes: &[u8; BYTES], number: u64) -> bool {
    let crc = crc32fast::hash(&bytes[..CRC_AT]);
    u64_at(bytes, NUMBER_AT) == number && u32_at(bytes, CRC_AT) == crc
}

/// What of a record makes requests alike: the hour, and the bytes of route, status, key and owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Alike {
    hour: i64,
    route: u64,
    status: u16,
    lengths: [u8; 2],
    key: [u8; KEY.most],
    owner: [u8; OWNER.most],
}

/// The owner follows from the key, and the rest hardly differs.
impl Hash for Alike {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.key);
        state.write_u64(self.route ^ self.hour.cast_unsigned() ^ u64::from(self.status));
    }
}

/// What a record adds to sums.
pub(super) struct Amounts {
    pub(super) cost: Millionths,
    /// The lease that it was spent from, and how much of the cost was.
    pub(super) lease: Option<(LeaseId, Millionths)>,
}

/// What requests a record is alike to.
pub(super) fn alike(bytes: &[u8; BYTES]) -> Alike {
    let at_ms = i64_at(bytes, 0);
    Alike {
        hour: at_ms - at_ms.rem_euclid(HOUR_MS),
        route: u64_at(bytes, 32),
        status: status(bytes),
        lengths: [bytes[KEY.length_at], bytes[OWNER.length_at]],
        key: *array_at(bytes, KEY.at),
        owner: *array_at(bytes, OWNER.at),
    }
}

/// The amounts of a committed record; the error says what of it cannot be read.
pub(super) fn amounts(bytes: &[u8; BYTES]) -> Result<Amounts, &'static str> {
    if u32_at(bytes, FORM_AT) != FORM {
        return Err("it has another form than this version writes");
    }
    let amount = |at, what| Millionths::new(i64_at(bytes, at)).ok_or(what);
    let leased = amount(16, "the part from a lease is negative")?;
    Ok(Amounts {
        cost: amount(8, "its cost is negative")?,
        lease: LeaseId::from_number(i64_at(bytes, 24)).map(|id| (id, leased)),
    })
}

/// So many requests that are alike, as a line of the books.
pub(super) fn line_of(
    alike: &Alike,
    requests: u64,
    cost: Millionths,
    path_of: impl FnOnce(RouteName) -> Option<Arc<str>>,
) -> Result<UsedInHour, &'static str> {
    let [key, owner] = alike.lengths;
    Ok(UsedInHour {
        hour: Timestamp::from_millisecond(alike.hour).map_err(|_| NO_TIME)?,
        key: KeyId::from_text(as_text(&alike.key, key).ok_or(NO_KEY)?),
        owner: OwnerId::from_text(as_text(&alike.owner, owner).ok_or(NO_OWNER)?),
        route: path_of(RouteName(alike.route)).ok_or(NO_ROUTE)?.to_string(),
        status: alike.status,
        requests,
        cost,
    })
}

/// What a committed record says; the error says what of it cannot be read.
pub(super) fn decode(
    bytes: &[u8; BYTES],
    path_of: impl FnOnce(RouteName) -> Option<Arc<str>>,
) -> Result<Used, &'static str> {
    let Amounts { cost, lease } = amounts(bytes)?;
    Ok(Used {
        at: Timestamp::from_millisecond(i64_at(bytes, 0)).map_err(|_| NO_TIME)?,
        request_id: text(bytes, &REQUEST_ID).ok_or("its request id is no text")?.to_owned(),
        key: KeyId::from_text(text(bytes, &KEY).ok_or(NO_KEY)?),
        owner: OwnerId::from_text(text(bytes, &OWNER).ok_or(NO_OWNER)?),
        route: path_of(RouteName(u64_at(bytes, 32))).ok_or(NO_ROUTE)?.to_string(),
        status: status(bytes),
        cost,
        lease,
    })
}

fn status(bytes: &[u8; BYTES]) -> u16 {
    u16::from_le_bytes(*array_at(bytes, 40))
}

fn text<'b>(bytes: &'b [u8; BYTES], field: &Field) -> Option<&'b str> {
    as_text(&bytes[field.at..field.at + field.most], bytes[field.length_at])
}

fn as_text(bytes: &[u8], length: u8) -> Option<&str> {
    let text = bytes.get(..usize::from(length))?;
    // A NUL is what Postgres does not take for text.
    std::str::from_utf8(text).ok().filter(|text| !text.contains('\0'))
}

fn array_at<const N: usize>(bytes: &[u8; BYTES], at: usize) -> &[u8; N] {
    bytes[at..].first_chunk().expect("the field is within the record")
}

fn u64_at(bytes: &[u8; BYTES], at: usize) -> u64 {
    u64::from_le_bytes(*array_at(bytes, at))
}

fn u32_at(bytes: &[u8; BYTES], at: usize) -> u32 {
    u32::from_le_bytes(*array_at(bytes, at))
}

fn i64_at(bytes: &[u8; BYTES], at: usize) -> i64 {
    u64_at(bytes, at).cast_signed()
}
