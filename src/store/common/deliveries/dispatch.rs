//! Events into deliveries.

use jiff::Timestamp;
use sqlx::{FromRow, QueryBuilder, query_as};

use crate::domain::{DeliveryId, WebhookUrl};
use crate::store::Result;
use crate::store::deliveries::{Destination, Route};

use super::super::super::{DISPATCH_TURN, Database};
use super::Write;
use super::claim::push_list;

/// Rows that one statement adds: databases take so many values.
const ADDED: usize = 500;

#[derive(FromRow)]
struct EventRow {
    id: String,
    place: i64,
    kind: String,
    at: i64,
    subject: String,
    hook_id: Option<String>,
    hook_url: Option<String>,
}

/// Takes the turn, unless somebody has it; so nothing that happened later to a subject overtakes.
pub(super) async fn dispatch(
    write: &mut Write<'_>,
    route: &Route<'_>,
    now: Timestamp,
    most: u32,
) -> Result<u32> {
    let turn = write.all(query_as::<_, (bool,)>(DISPATCH_TURN)).await?;
    if turn != [(true,)] {
        return Ok(0);
    }
    let ask = query_as::<_, EventRow>(
        "SELECT e.id, e.place, e.kind, e.at, e.subject, h.id AS hook_id, h.url AS hook_url \
         FROM events e LEFT JOIN hooks h ON h.subject = e.subject \
         WHERE NOT e.dispatched ORDER BY e.place LIMIT $1",
    );
    let events = write.all(ask.bind(i64::from(most))).await?;
    if events.is_empty() {
        return Ok(0);
    }
    let mut made: Vec<(&EventRow, Destination)> = Vec::new();
    for event in &events {
        let destinations = route(&event.kind).into_iter().chain(hook(event));
        made.extend(destinations.map(|destination| (event, destination)));
    }
    for rows in made.chunks(ADDED) {
        add(write, rows, now).await?;
    }
    let mut done =
        QueryBuilder::<Database>::new("UPDATE events SET dispatched = true WHERE id IN ");
    push_list(&mut done, events.iter().map(|event| event.id.as_str()));
    write.run(done.build()).await?;
    Ok(events.len() as u32)
}

/// Where the subject itself wants it.
fn hook(event: &EventRow) -> Option<Destination> {
    let (endpoint, url) = (event.hook_id.clone()?, event.hook_url.as_ref()?);
    // It was taken apart when it was registered.
    let url = WebhookUrl::parse(url, true).ok()?;
    Some(Destination { endpoint, url: url.shown(), host: url.place() })
}

async fn add(
    write: &mut Write<'_>,
    rows: &[(&EventRow, Destination)],
    now: Timestamp,
) -> Result<()> {
    let mut insert = QueryBuilder::<Database>::new(
        "INSERT INTO deliveries (id, event_id, place, subject, endpoint, url, host, status, \
         next_attempt_at, created_at) ",
    );
    insert.push_values(rows, |mut row, (event, destination)| {
        row.push_bind(DeliveryId::mint().to_string())
            .push_bind(event.id.clone())
            .push_bind(event.place)
            .push_bind(event.subject.clone())
            .push_bind(destination.endpoint.clone())
            .push_bind(destination.url.clone())
            .push_bind(destination.host.clone())
            .push_bind("pending")
            .push_bind(now.as_millisecond())
            .push_bind(event.at);
    });
    write.run(insert.build()).await.map(drop)
}
