//! The lines of one call: from the import `log`, and from standard output and
//! error where a toolchain writes there.
//!
//! A guest can fill its own lines and no more: what is over the limit is counted,
//! and said once at the end.

use std::sync::{Arc, Mutex, PoisonError};

use qx_events::Limits;
use qx_events::ports::{LogLevel, LogLine};

use crate::call::text::visible;
use crate::call::veil::Veil;
use crate::log_sink::{CallId, LogSink};

/// The limit on lines, by its key.
pub(crate) const LINES: &str = "log_lines";

/// The limit on the bytes of all lines, by its key.
pub(crate) const KILOBYTES: &str = "log_kb";

/// Lines that are kept to explain a trap: a panic has its place and its message,
/// a traceback its last frame and its error.
const LAST_WORDS_LINES: usize = 4;

/// Bytes of them.
const LAST_WORDS_BYTES: usize = 512;

/// The two streams of text that a guest has beside the import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stdio {
    Out,
    Err,
}

/// What one call has logged so far. It belongs to an instance, whose streams lead
/// here, and to one of its calls after the other.
pub(crate) struct GuestLog {
    sink: Option<Arc<dyn LogSink>>,
    lines_max: u32,
    line_bytes_max: usize,
    bytes_max: usize,
    veil: Veil,
    /// Bytes that a line may go on for, so that a secret in it is seen whole.
    overlap: usize,
    written: Mutex<Written>,
}

struct Written {
    call: CallId,
    lines: u32,
    bytes: usize,
    dropped: u64,
    /// Limits that the call hit, each once.
    hit: Vec<&'static str>,
    out: Vec<u8>,
    err: Vec<u8>,
    last_words: Vec<String>,
}

impl GuestLog {
    pub(crate) fn new(
        call: CallId,
        sink: Option<Arc<dyn LogSink>>,
        limits: &Limits,
        veil: Veil,
    ) -> Self {
        Self {
            sink,
            lines_max: limits.log_lines,
            line_bytes_max: limits.log_line_bytes,
            bytes_max: limits.log_bytes,
            overlap: veil.longest(),
            veil,
            written: Mutex::new(Written::of(call)),
        }
    }

    /// What is kept out of everything that the component says.
    pub(crate) const fn veil(&self) -> &Veil {
        &self.veil
    }

    /// Another call of the same instance begins: with nothing of the one before.
    pub(crate) fn begin(&self, call: CallId) {
        *self.lock() = Written::of(call);
    }

    /// Whether the call has hit no limit so far.
    pub(crate) fn hit_nothing(&self) -> bool {
        self.lock().hit.is_empty()
    }

    /// A line of the import `log`.
    pub(crate) fn line(&self, level: LogLevel, text: &str) {
        let text = &*self.veil.hide(text);
        let mut written = self.lock();
        if level == LogLevel::Error {
            written.remember(text);
        }
        self.put(&mut written, level, text);
    }

    /// A piece of standard output or error: it becomes a line with its end.
    pub(crate) fn write(&self, stream: Stdio, bytes: &[u8]) {
        let mut written = self.lock();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            self.buffer(&mut written, stream, line);
            self.end_line(&mut written, stream);
            rest = after.get(1..).unwrap_or_default();
        }
        self.buffer(&mut written, stream, rest);
    }

    /// The call is over: lines without an end are lines, and what was dropped is
    /// said.
    pub(crate) fn finish(&self) {
        let mut written = self.lock();
        for stream in [Stdio::Out, Stdio::Err] {
            if !written.stream(stream).is_empty() {
                self.end_line(&mut written, stream);
            }
        }
        let dropped = std::mem::take(&mut written.dropped);
        if dropped > 0 {
            let over = if written.hit.contains(&LINES) {
                format!("limits.{LINES} is {}", self.lines_max)
            } else {
                format!("limits.{KILOBYTES} is {}", self.bytes_max >> 10)
            };
            let text = format!("{dropped} more lines were dropped, {over}");
            self.emit(&written.call, LogLevel::Warn, text);
        }
    }

    /// The guest's own explanation, when it left one.
    pub(crate) fn last_words(&self) -> Option<String> {
        let written = self.lock();
        (!written.last_words.is_empty())
            .then(|| visible(&written.last_words.join("; "), LAST_WORDS_BYTES))
    }

    /// Keeps one byte more than a line has, so that the cut is seen and marked.
    fn buffer(&self, written: &mut Written, stream: Stdio, bytes: &[u8]) {
        let line = written.stream(stream);
        let most = self
            .line_bytes_max
            .saturating_add(1)
            .saturating_add(self.overlap);
        let room = most.saturating_sub(line.len());
        line.extend(bytes.iter().take(room));
    }

    fn end_line(&self, written: &mut Written, stream: Stdio) {
        let line = std::mem::take(written.stream(stream));
        let text = String::from_utf8_lossy(&line);
        let mut text = self.veil.hide(&text);
        if line.len() > self.line_bytes_max && self.overlap > 0 {
            // What was cut off may have been the rest of a secret.
            let kept = text.len().saturating_sub(self.overlap);
            let end = text.floor_char_boundary(kept);
            text.to_mut().truncate(end);
            text.to_mut().push('…');
        }
        match stream {
            Stdio::Out => self.put(written, LogLevel::Info, &text),
            Stdio::Err => {
                written.remember(&text);
                self.put(written, LogLevel::Warn, &text);
            }
        }
    }

    fn put(&self, written: &mut Written, level: LogLevel, text: &str) {
        let line = visible(text, self.line_bytes_max);
        let bytes = written.bytes.saturating_add(line.len());
        let over = if written.lines >= self.lines_max {
            Some(LINES)
        } else if bytes > self.bytes_max {
            Some(KILOBYTES)
        } else {
            None
        };
        if let Some(limit) = over {
            written.dropped += 1;
            return self.note(written, limit);
        }
        written.lines += 1;
        written.bytes = bytes;
        self.emit(&written.call, level, line);
    }

    /// The call hit a limit. Told to whoever counts, once for each limit.
    pub(crate) fn hit(&self, limit: &'static str) {
        let mut written = self.lock();
        self.note(&mut written, limit);
    }

    fn note(&self, written: &mut Written, limit: &'static str) {
        if written.hit.contains(&limit) {
            return;
        }
        written.hit.push(limit);
        let (component, event_id) = (&written.call.component, written.call.event_id);
        tracing::debug!(%component, %event_id, limit, "limit hit");
        if let Some(sink) = &self.sink {
            sink.limit(&written.call, limit);
        }
    }

    fn emit(&self, call: &CallId, level: LogLevel, message: String) {
        trace(call, level, &message);
        if let Some(sink) = &self.sink {
            sink.line(call, &LogLine { level, message });
        }
    }

    /// A sink that panicked took the lock with it; the lines are still good.
    fn lock(&self) -> std::sync::MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Written {
    fn of(call: CallId) -> Self {
        Self {
            call,
            lines: 0,
            bytes: 0,
            dropped: 0,
            hit: Vec::new(),
            out: Vec::new(),
            err: Vec::new(),
            last_words: Vec::new(),
        }
    }

    fn stream(&mut self, stream: Stdio) -> &mut Vec<u8> {
        match stream {
            Stdio::Out => &mut self.out,
            Stdio::Err => &mut self.err,
        }
    }

    fn remember(&mut self, text: &str) {
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        if self.last_words.len() == LAST_WORDS_LINES {
            self.last_words.remove(0);
        }
        let end = text.floor_char_boundary(LAST_WORDS_BYTES);
        self.last_words
            .push(text.get(..end).unwrap_or_default().to_owned());
    }
}

/// The same event at five levels: a level is part of an event's static identity.
fn trace(call: &CallId, level: LogLevel, message: &str) {
    macro_rules! event {
        ($level:ident) => {
            tracing::event!(
                target: "qx_guest",
                tracing::Level::$level,
                component = %call.component,
                event_id = %call.event_id,
                attempt = call.attempt,
                "{message}"
            )
        };
    }
    match level {
        LogLevel::Trace => event!(TRACE),
        LogLevel::Debug => event!(DEBUG),
        LogLevel::Info => event!(INFO),
        LogLevel::Warn => event!(WARN),
        LogLevel::Error => event!(ERROR),
    }
}

#[cfg(test)]
mod tests {
    use qx_events::ComponentName;
    use uuid::Uuid;

    use super::*;

    #[derive(Default)]
    struct Lines(Mutex<Vec<LogLine>>, Mutex<Vec<&'static str>>);

    impl LogSink for Lines {
        fn line(&self, _: &CallId, line: &LogLine) {
            self.0.lock().unwrap().push(line.clone());
        }

        fn limit(&self, _: &CallId, limit: &'static str) {
            self.1.lock().unwrap().push(limit);
        }
    }

    fn log(lines: u32, bytes: usize) -> (GuestLog, Arc<Lines>) {
        let sink = Arc::new(Lines::default());
        let call = CallId {
            component: ComponentName::parse("stars").unwrap(),
            event_id: Uuid::nil(),
            attempt: 1,
        };
        let limits = Limits {
            log_lines: lines,
            log_line_bytes: bytes,
            log_bytes: 2 << 10,
            ..Limits::default()
        };
        let sink_too: Arc<dyn LogSink> = Arc::clone(&sink) as _;
        let veil = Veil::default();
        (GuestLog::new(call, Some(sink_too), &limits, veil), sink)
    }

    fn messages(sink: &Lines) -> Vec<String> {
        let lines = sink.0.lock().unwrap();
        lines.iter().map(|line| line.message.clone()).collect()
    }

    #[test]
    fn what_is_over_the_limit_is_counted_and_said_once() {
        let (log, sink) = log(2, 100);
        for n in 0..5 {
            log.line(LogLevel::Info, &format!("line {n}"));
        }
        log.finish();
        log.finish();
        let expected = [
            "line 0",
            "line 1",
            "3 more lines were dropped, limits.log_lines is 2",
        ];
        assert_eq!(messages(&sink), expected);
        assert_eq!(*sink.1.lock().unwrap(), ["log_lines"]);
    }

    #[test]
    fn lines_have_a_bound_in_bytes_together_and_it_is_counted_what_a_person_sees() {
        let (log, sink) = log(9, 4_000);
        // A control character takes six bytes when it is shown.
        log.line(LogLevel::Info, &"\u{1b}".repeat(300));
        for _ in 0..3 {
            log.line(LogLevel::Info, &"\u{1b}".repeat(100));
        }
        log.line(LogLevel::Info, "short");
        log.finish();
        let seen = messages(&sink);
        assert_eq!(seen.len(), 3, "{seen:?}");
        assert_eq!(seen[1], "short");
        assert_eq!(seen[2], "3 more lines were dropped, limits.log_kb is 2");
        assert_eq!(*sink.1.lock().unwrap(), ["log_kb"]);
    }

    #[test]
    fn a_long_line_is_cut_on_either_way() {
        let (log, sink) = log(9, 4);
        log.line(LogLevel::Info, "123456");
        for piece in ["12", "34", "56", "\nab", "cd", "\n"] {
            log.write(Stdio::Out, piece.as_bytes());
        }
        assert_eq!(messages(&sink), ["1234…", "1234…", "abcd"]);
    }

    #[test]
    fn output_becomes_lines_and_the_last_of_standard_error_explains_a_trap() {
        let (log, sink) = log(9, 100);
        log.write(Stdio::Err, b"thread panicked at src/lib.rs:1:1:\nboom");
        log.write(Stdio::Out, b"half");
        assert_eq!(messages(&sink).len(), 1);
        log.finish();
        assert_eq!(messages(&sink)[1..], ["half", "boom"]);
        assert_eq!(
            log.last_words().unwrap(),
            "thread panicked at src/lib.rs:1:1:; boom"
        );
    }

    #[test]
    fn the_next_call_of_an_instance_begins_with_nothing_of_the_one_before() {
        let (log, sink) = log(1, 100);
        log.write(Stdio::Err, b"half a line");
        log.line(LogLevel::Error, "first");
        log.line(LogLevel::Info, "one too many");
        assert!(!log.hit_nothing());
        let next = CallId {
            component: ComponentName::parse("stars").unwrap(),
            event_id: Uuid::max(),
            attempt: 2,
        };
        log.begin(next);
        assert!(log.hit_nothing() && log.last_words().is_none());
        log.line(LogLevel::Info, "second");
        log.finish();
        assert_eq!(messages(&sink), ["first", "second"]);
    }

    #[test]
    fn only_the_last_errors_are_kept_and_they_are_short() {
        let (log, _) = log(0, 100);
        assert_eq!(log.last_words(), None);
        log.line(LogLevel::Warn, "not this");
        for n in 0..9 {
            log.line(LogLevel::Error, &format!("{n}{}", "x".repeat(1_000)));
        }
        let words = log.last_words().unwrap();
        assert!(words.starts_with("5x") && words.len() < 600, "{words}");
    }
}
