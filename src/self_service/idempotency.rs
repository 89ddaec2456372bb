//! A creation that happens once, however often it is asked for under the same `Idempotency-Key`: see
//! [`crate::auth::once`].

use super::refused::{conflict, of_store};
use super::{Answered, Asked, Outcome};
use crate::auth::mint::Mint;
use crate::auth::once::{Once, OnceError, Turn, Wish};
use crate::domain::{Reason, Refusal};

/// Does it, unless it was done; then gives the same answer. `doing` has not begun yet.
pub(super) async fn once(
    mint: Mint<'_>,
    asked: &Asked,
    name: &Once,
    doing: impl Future<Output = Outcome>,
) -> Outcome {
    let wish =
        Wish { asker: asked.caller.id().as_str(), call: asked.call.path(), body: &asked.body };
    let promise = match name.begin(mint.store, &wish, mint.clock.now()).await {
        Ok(Turn::Yours(promise)) => promise,
        Ok(Turn::Done { status, body }) => return Ok(Answered { status, body }),
        Err(OnceError::Store(error)) => return Err(of_store(error)),
        Err(error) => return Err(conflict(&error.to_string())),
    };
    let outcome = doing.await;
    match &outcome {
        Ok(answer) => promise.keep(mint.store, answer.status, &answer.body).await,
        Err(refusal) if is_undecided(refusal) => {}
        Err(_) => promise.let_go(mint.store).await,
    }
    outcome
}

/// Whether it may have been done all the same.
fn is_undecided(refusal: &Refusal) -> bool {
    matches!(refusal.reason(), Reason::StoreUnavailable | Reason::InternalError)
}
