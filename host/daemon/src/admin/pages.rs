//! The pages. Each answers in bounded time, whatever the host waits for.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;

use super::control::{Control, Refusal, Request, Resumed};
use super::door::{Door, guard};
use super::insight::{Check, Insight, Readiness};
use super::pulse::Pulse;
use crate::catalog::Announcement;
use crate::telemetry::Metrics;
use qx_events::ComponentName;

/// How long a page may wait for the host: shorter than a probe's patience.
const ANSWER_WAIT: Duration = Duration::from_secs(3);
/// Who asks for a pause, and why.
const BODY_BYTES_MAX: usize = 4 << 10;
/// The format of `/metrics`.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const CONTENTS: &str =
    "not here. There is: /livez /readyz /readyz?verbose /metrics /api/handlers\n";

/// What the pages show.
pub(super) struct Shown {
    pub(super) insight: Arc<dyn Insight>,
    pub(super) control: Option<Arc<dyn Control>>,
    pub(super) metrics: Option<Metrics>,
    pub(super) pulse: Arc<Pulse>,
}

/// The pages behind the door.
pub(super) fn router(shown: Shown, door: Door) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/api/handlers", get(handlers))
        .route("/api/handlers/{component}/pause", post(pause))
        .route("/api/handlers/{component}/resume", post(resume))
        .route("/api/handlers/{component}/announce", post(announce))
        .fallback(|| async { (StatusCode::NOT_FOUND, CONTENTS) })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(door, guard))
        .with_state(Arc::new(shown))
}

/// Whether the event loop turns; nothing else.
async fn livez(State(shown): State<Arc<Shown>>) -> Response {
    match shown.pulse.stuck_for() {
        None => "alive\n".into_response(),
        Some(since) => {
            let text = format!("the event loop has not turned for {} s\n", since.as_secs());
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

/// Whether the host can do its work.
async fn readyz(State(shown): State<Arc<Shown>>, uri: Uri) -> Response {
    let readiness = tokio::time::timeout(ANSWER_WAIT, shown.insight.readiness()).await;
    let readiness = readiness.unwrap_or_else(|_elapsed| Readiness {
        checks: vec![Check::failed("answer", "the checks take too long")],
    });
    let status = if readiness.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let verbose = uri.query().is_some_and(|query| {
        query
            .split('&')
            .any(|pair| pair.split('=').next() == Some("verbose"))
    });
    if verbose {
        let body = json!({ "ready": readiness.is_ready(), "checks": readiness.checks });
        return (status, Json(body)).into_response();
    }
    let failed = readiness.checks.iter().filter(|check| !check.ok);
    let failed: Vec<&str> = failed.map(|check| check.name.as_str()).collect();
    let text = match failed.as_slice() {
        [] => "ready\n".to_owned(),
        names => format!("not ready: {} (see /readyz?verbose)\n", names.join(", ")),
    };
    (status, text).into_response()
}

async fn metrics(State(shown): State<Arc<Shown>>) -> Response {
    match &shown.metrics {
        Some(metrics) => {
            ([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], metrics.render()).into_response()
        }
        None => (StatusCode::NOT_FOUND, "this host keeps no metrics\n").into_response(),
    }
}

async fn handlers(State(shown): State<Arc<Shown>>) -> Response {
    match tokio::time::timeout(ANSWER_WAIT, shown.insight.handlers()).await {
        Ok(handlers) => Json(handlers).into_response(),
        Err(_elapsed) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the catalog does not answer\n",
        )
            .into_response(),
    }
}

/// Pauses a component. A body of JSON is asked for: a page in a browser that is not
/// ours cannot send one here.
async fn pause(
    State(shown): State<Arc<Shown>>,
    Path(component): Path<String>,
    Json(request): Json<Request>,
) -> Response {
    let (control, name) = match control_of(&shown, &component) {
        Ok(found) => found,
        Err((status, text)) => return (status, text).into_response(),
    };
    let paused = control.pause(&name, &request);
    match tokio::time::timeout(ANSWER_WAIT, paused).await {
        Ok(paused) => answer(paused.map(|()| "paused\n")),
        Err(_elapsed) => no_answer(),
    }
}

/// Resumes it.
async fn resume(
    State(shown): State<Arc<Shown>>,
    Path(component): Path<String>,
    Json(_): Json<Request>,
) -> Response {
    let (control, name) = match control_of(&shown, &component) {
        Ok(found) => found,
        Err((status, text)) => return (status, text).into_response(),
    };
    match tokio::time::timeout(ANSWER_WAIT, control.resume(&name)).await {
        Ok(resumed) => answer(resumed.map(|resumed| match resumed {
            Resumed::Now => "resumed\n",
            Resumed::Already => "not paused\n",
        })),
        Err(_elapsed) => no_answer(),
    }
}

/// Is told of a build that is about to lie in the folder. As with a pause, only who
/// can send JSON here can say so; and it is the file that counts.
async fn announce(
    State(shown): State<Arc<Shown>>,
    Path(component): Path<String>,
    Json(build): Json<Announcement>,
) -> Response {
    match control_of(&shown, &component) {
        Ok((control, name)) => {
            let announced = control.announce(&name, &build).await;
            answer(announced.map(|()| "announced\n"))
        }
        Err((status, text)) => (status, text).into_response(),
    }
}

fn control_of(
    shown: &Shown,
    component: &str,
) -> Result<(Arc<dyn Control>, ComponentName), (StatusCode, String)> {
    let Some(control) = &shown.control else {
        return Err((StatusCode::NOT_FOUND, CONTENTS.to_owned()));
    };
    match ComponentName::parse(component) {
        Ok(name) => Ok((Arc::clone(control), name)),
        Err(error) => Err((StatusCode::BAD_REQUEST, format!("{error}\n"))),
    }
}

fn answer(changed: Result<&'static str, Refusal>) -> Response {
    match changed {
        Ok(words) => words.into_response(),
        Err(refusal) => {
            let status = match &refusal {
                Refusal::Unknown(_) | Refusal::NoComponents => StatusCode::NOT_FOUND,
                Refusal::Announced(_) => StatusCode::BAD_REQUEST,
                Refusal::Database(_) => StatusCode::SERVICE_UNAVAILABLE,
            };
            (status, format!("{refusal}\n")).into_response()
        }
    }
}

fn no_answer() -> Response {
    let text = "the database does not answer; look with `qx-host handlers list`\n";
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::admin::HandlerView;

    /// A host that waits for something for ever.
    struct Stuck;

    #[async_trait]
    impl Insight for Stuck {
        async fn handlers(&self) -> Vec<HandlerView> {
            std::future::pending().await
        }

        async fn readiness(&self) -> Readiness {
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_waits_for_ever_is_alive_not_ready_and_still_answers() {
        let shown = Shown {
            insight: Arc::new(Stuck),
            control: None,
            metrics: None,
            pulse: Arc::new(Pulse::new()),
        };
        let shown = Arc::new(shown);
        let shown = || State(Arc::clone(&shown));
        assert_eq!(livez(shown()).await.status(), StatusCode::OK);
        let ready = readyz(shown(), Uri::from_static("/readyz")).await;
        assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            handlers(shown()).await.status(),
            StatusCode::SERVICE_UNAVAILABLE
        );
        assert_eq!(metrics(shown()).await.status(), StatusCode::NOT_FOUND);
    }
}
