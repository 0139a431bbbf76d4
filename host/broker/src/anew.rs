//! A durable consumer that somebody takes over who works alone and in order: made
//! anew from where it stood, so that everything that is not settled comes again, in
//! order, and what its former holder asked for ends with the consumer it asked.
//!
//! Its place is never in memory alone: before the consumer goes, another one that
//! nobody reads keeps the place, and is found by whoever comes after a crash.

use async_nats::jetstream::consumer::{Config, DeliverPolicy};
use qx_events::StartFrom;

use crate::broker::Inner;
use crate::consumer::{Wanted, conflicts};
use crate::error::BrokerError;
use crate::footing::{self, Footing};

/// What is added to the name of a durable consumer for the one that keeps its place.
/// No component's name has such a character.
const KEEPER: &str = "_place";

/// Makes the consumer anew, or for the first time.
pub(crate) async fn make(
    inner: &Inner,
    wanted: &Wanted,
    start: StartFrom,
) -> Result<(), BrokerError> {
    let stream = inner.ensure_stream().await?;
    let keeper = keeper_of(&wanted.name);
    let Some(found) = footing::find(inner, &wanted.name).await? else {
        // There is one only if somebody died between the two steps below.
        footing::take_up(inner, wanted, start, None).await?;
        return footing::remove(inner, &keeper).await;
    };
    let mismatches = conflicts(&inner.config.stream, &wanted.name, &found.config);
    if !mismatches.is_empty() {
        return Err(BrokerError::ConsumerMismatch {
            stream: inner.config.stream.clone(),
            consumer: wanted.name.clone(),
            mismatches,
        });
    }
    let place = Footing::of(&stream, &found);
    let policy = footing::begin(
        start,
        Some(place),
        stream.created,
        stream.state.last_sequence,
    );
    let again = Config {
        deliver_policy: policy,
        ..wanted.over(found.config)
    };
    footing::remove(inner, &keeper).await?; // Of before: this consumer's place counts.
    let keeping = Config {
        name: Some(keeper.clone()),
        durable_name: Some(keeper.clone()),
        description: Some("keeps a component's place while its consumer is made anew".to_owned()),
        ..again.clone()
    };
    apply(inner, keeping).await?;
    footing::remove(inner, &wanted.name).await?;
    apply(inner, again.clone()).await?;
    let now = inner.ensure_stream().await?;
    if now.created != stream.created && policy != DeliverPolicy::All {
        // It came onto a stream that was made anew meanwhile, where the place means
        // another message.
        footing::remove(inner, &wanted.name).await?;
        let deliver_policy = DeliverPolicy::All;
        let from_the_beginning = Config {
            deliver_policy,
            ..again
        };
        apply(inner, from_the_beginning).await?;
    }
    footing::remove(inner, &keeper).await
}

async fn apply(inner: &Inner, config: Config) -> Result<(), BrokerError> {
    let name = config.durable_name.clone().unwrap_or_default();
    let applied = footing::apply(inner, config).await.map(drop);
    applied.map_err(|denied| denied.explain(format!("make the consumer `{name}` anew")))
}

/// Where the consumer begins that is not there, when somebody died while making it
/// anew.
pub(crate) async fn kept(inner: &Inner, name: &str) -> Result<Option<DeliverPolicy>, BrokerError> {
    let found = footing::find(inner, &keeper_of(name)).await?;
    Ok(found.map(|keeper| keeper.config.deliver_policy))
}

fn keeper_of(name: &str) -> String {
    format!("{name}{KEEPER}")
}
