//! Rows of deliveries, read.

use jiff::Timestamp;
use sqlx::FromRow;

use crate::domain::{DeliveryId, EventId};
use crate::store::deliveries::{Claim, Delivery, DeliveryStatus};
use crate::store::{Result, StoreError};

/// A delivery with its event, for lists.
#[derive(FromRow)]
pub(super) struct DeliveryRow {
    id: String,
    event_id: String,
    subject: String,
    url: String,
    status: String,
    attempts: i64,
    next_attempt_at: i64,
    last_error: Option<String>,
    ended_at: Option<i64>,
    kind: String,
    at: i64,
}

impl DeliveryRow {
    pub(super) fn read(self) -> Result<Delivery> {
        let status = DeliveryStatus::from_name(&self.status)
            .ok_or_else(|| corrupt(&self.id, &format!("no status {}", self.status)))?;
        let next = (status == DeliveryStatus::Pending).then_some(self.next_attempt_at);
        Ok(Delivery {
            status,
            next_attempt_at: next.map(|ms| time(&self.id, ms)).transpose()?,
            ended_at: self.ended_at.map(|ms| time(&self.id, ms)).transpose()?,
            created_at: time(&self.id, self.at)?,
            id: DeliveryId::from_text(self.id),
            event_id: EventId::from_text(self.event_id),
            kind: self.kind,
            subject: self.subject,
            url: self.url,
            attempts: u32::try_from(self.attempts).unwrap_or(u32::MAX),
            last_error: self.last_error,
        })
    }
}

/// A delivery that was taken on, with its event and, of a hook, what it takes to send it.
#[derive(FromRow)]
pub(super) struct ClaimRow {
    id: String,
    event_id: String,
    subject: String,
    endpoint: String,
    host: String,
    attempts: i64,
    kind: String,
    at: i64,
    data: String,
    hook_url: Option<String>,
    hook_secret: Option<String>,
}

impl ClaimRow {
    /// As the attempt that has just begun.
    pub(super) fn read(self) -> Result<Claim> {
        Ok(Claim {
            at: time(&self.id, self.at)?,
            id: DeliveryId::from_text(self.id),
            attempt: u32::try_from(self.attempts).unwrap_or(u32::MAX),
            event_id: EventId::from_text(self.event_id),
            kind: self.kind,
            data: self.data,
            subject: self.subject,
            endpoint: self.endpoint,
            host: self.host,
            hook: self.hook_url.zip(self.hook_secret),
        })
    }
}

fn time(id: &str, milliseconds: i64) -> Result<Timestamp> {
    Timestamp::from_millisecond(milliseconds).map_err(|error| corrupt(id, &error.to_string()))
}

fn corrupt(id: &str, what: &str) -> StoreError {
    StoreError::Corrupt(format!("delivery {id}: {what}"))
}
