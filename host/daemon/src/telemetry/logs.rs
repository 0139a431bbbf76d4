//! The log: lines on stderr, as text or JSON, the guests' lines (target
//! `qx_guest`) among them. The pipeline's spans are never part of it.

use std::io::IsTerminal;

use qx_pipeline::trace::TARGET;
use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{FilterExt, FilterFn, ParseError};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::{EnvFilter, Registry, fmt};

use super::console::Palette;
use crate::config::LogFormat;

/// A layer of the subscriber.
pub(super) type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// The log on stderr.
pub(super) fn on_stderr(format: LogFormat, filter: &str) -> Result<BoxedLayer, ParseError> {
    let stderr = std::io::stderr();
    let palette = if stderr.is_terminal() {
        Palette::of(&stderr)
    } else {
        Palette::Plain
    };
    layer(format, filter, palette, std::io::stderr)
}

/// The log to `writer`.
pub(super) fn layer<W>(
    format: LogFormat,
    filter: &str,
    palette: Palette,
    writer: W,
) -> Result<BoxedLayer, ParseError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines: BoxedLayer = match format {
        LogFormat::Text => Box::new(
            fmt::layer()
                .with_writer(writer)
                .with_ansi(palette == Palette::Colour),
        ),
        LogFormat::Json => Box::new(fmt::layer().json().flatten_event(true).with_writer(writer)),
    };
    let no_spans = FilterFn::new(|metadata: &Metadata<'_>| metadata.target() != TARGET)
        .with_max_level_hint(LevelFilter::TRACE);
    // The client logs every attempt of its own; the broker's adapter logs each change
    // once. Whoever names the target in the filter hears it all the same.
    let filter = format!("{}=off,{filter}", qx_broker::CLIENT_LOG_TARGET);
    let filter = EnvFilter::builder().parse(filter)?.and(no_spans);
    Ok(lines.with_filter(filter).boxed())
}

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::telemetry::fixtures::Captured;

    fn logged(format: LogFormat, filter: &str, body: impl FnOnce()) -> Vec<String> {
        let written = Captured::default();
        let writer = {
            let written = written.clone();
            move || written.clone()
        };
        let layer = layer(format, filter, Palette::Plain, writer).unwrap();
        let subscriber = Registry::default().with(vec![layer]);
        tracing::subscriber::with_default(subscriber, body);
        written.lines()
    }

    #[test]
    fn a_guests_line_is_in_the_log_with_its_fields() {
        let lines = logged(LogFormat::Json, "info", || {
            tracing::info!(target: "qx_guest", component = "stars", event_id = 7, "counted");
            tracing::debug!(target: "qx_guest", "too quiet");
        });
        let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(
            (&line["message"], &line["component"]),
            (&"counted".into(), &"stars".into())
        );
        assert_eq!((&line["target"], lines.len()), (&"qx_guest".into(), 1));
    }

    #[test]
    fn a_span_of_the_pipeline_is_not_made_when_nobody_exports_it() {
        struct Counted<'a>(&'a AtomicUsize);
        impl fmt::Display for Counted<'_> {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        }
        let shown = AtomicUsize::new(0);
        // Even when asked for by name.
        let lines = logged(LogFormat::Text, "trace,qx_trace=trace", || {
            let span = tracing::info_span!(target: TARGET, "process", field = %Counted(&shown));
            assert!(span.is_disabled());
            span.in_scope(|| tracing::info!("inside"));
        });
        assert_eq!(shown.load(Ordering::Relaxed), 0);
        assert!(
            lines.len() == 1 && lines[0].ends_with("inside"),
            "{lines:?}"
        );
    }

    #[test]
    fn such_a_callsite_is_off_for_good_and_costs_one_load() {
        use tracing::{Callsite, Metadata, Subscriber, subscriber::Interest};
        struct Site(std::sync::OnceLock<&'static Metadata<'static>>);
        impl Callsite for Site {
            fn set_interest(&self, _: Interest) {}
            fn metadata(&self) -> &Metadata<'_> {
                self.0.get().unwrap()
            }
        }
        static SITE: Site = Site(std::sync::OnceLock::new());
        static META: Metadata<'static> = tracing::metadata! {
            name: "process", target: TARGET, level: tracing::Level::INFO, fields: &[],
            callsite: &SITE, kind: tracing::metadata::Kind::SPAN
        };
        SITE.0.set(&META).unwrap();
        let layer = layer(LogFormat::Text, "trace", Palette::Plain, std::io::sink).unwrap();
        let subscriber = Registry::default().with(vec![layer]);
        assert!(subscriber.register_callsite(&META).is_never());
    }

    #[test]
    fn a_filter_that_is_none_is_refused() {
        assert!(
            layer(
                LogFormat::Text,
                "info,x=loud",
                Palette::Plain,
                std::io::sink
            )
            .is_err()
        );
    }
}
