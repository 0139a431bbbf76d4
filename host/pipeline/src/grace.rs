//! Work that is under way when the host stops may go on, but not for ever.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// How long a turn of a loop may go on after a stop. Long enough to write down
/// what was done; what is cut off after it is as if the process had died there.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(5);

/// Does `work`; `None` when it was still not done [`STOP_GRACE`] after the stop.
pub(crate) async fn within_grace<T>(
    stop: &CancellationToken,
    work: impl Future<Output = T>,
) -> Option<T> {
    let over = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP_GRACE).await;
    };
    tokio::select! {
        biased; // What is done in time counts.
        done = work => Some(done),
        () = over => None,
    }
}
