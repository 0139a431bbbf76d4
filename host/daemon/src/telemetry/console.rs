//! One human line per decision, for `qx-host dev` and the demo.
//!
//! Written at once and in full: a terminal that stands still holds the host back,
//! so this is for a person who watches, not for a daemon.

mod line;

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, FixedOffset, Local, Offset};
use qx_events::ports::Clock;
use qx_pipeline::{Sight, Witness};

use self::line::Line;
use super::calm::Calm;
use super::visible::visible;
use crate::clock::SystemClock;

/// Characters of a name on a line.
const NAME_CHARS_MAX: usize = 120;
/// Columns that names are aligned to at most; a longer one only moves its own line.
const COLUMN_MAX: usize = 40;

/// Whether lines are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Palette {
    /// Text alone.
    Plain,
    /// ANSI colours.
    Colour,
}

impl Palette {
    /// Colour for a terminal, unless `NO_COLOR` says otherwise (no-color.org).
    pub fn choose(is_terminal: bool, no_color: Option<&str>) -> Self {
        let refused = no_color.is_some_and(|value| !value.is_empty());
        if is_terminal && !refused {
            Self::Colour
        } else {
            Self::Plain
        }
    }

    /// The palette for a stream of this process.
    pub fn of(stream: &impl IsTerminal) -> Self {
        let no_color = std::env::var("NO_COLOR").ok();
        Self::choose(stream.is_terminal(), no_color.as_deref())
    }
}

/// Writes decisions for a person.
pub struct Console {
    sheet: Mutex<Sheet>,
    palette: Palette,
    clock: Arc<dyn Clock>,
    zone: FixedOffset,
    calm: Calm,
}

struct Sheet {
    out: Box<dyn Write + Send>,
    /// Widths of the columns so far.
    left: usize,
    right: usize,
}

impl Console {
    /// Lines on stdout, in local time.
    pub fn stdout() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let zone = clock.now().with_timezone(&Local).offset().fix();
        let out = io::stdout();
        let palette = Palette::of(&out);
        Self::new(Box::new(out), palette, clock, zone)
    }

    /// Lines to `out`, with the time in `zone`.
    pub fn new(
        out: Box<dyn Write + Send>,
        palette: Palette,
        clock: Arc<dyn Clock>,
        zone: FixedOffset,
    ) -> Self {
        let sheet = Sheet {
            out,
            left: 0,
            right: 0,
        };
        Self {
            sheet: Mutex::new(sheet),
            palette,
            clock,
            zone,
            calm: Calm::default(),
        }
    }

    /// Whether this is not a repeat of what was said before.
    fn is_news(&self, sight: &Sight<'_>) -> bool {
        match sight {
            Sight::RelayBlocked { .. } => self.calm.relay_blocked(),
            Sight::HeldBack { pid, .. } => self.calm.held_back(*pid),
            Sight::LetGo => self.calm.let_go(),
            Sight::Held { component, .. } => self.calm.held(component),
            Sight::Resumed { component } => self.calm.resumed(component),
            Sight::Paused { component, by, .. } => self.calm.paused(component, by.as_str()),
            Sight::Unpaused { component, by } => self.calm.unpaused(component, by.as_str()),
            Sight::Published { .. } => {
                self.calm.relay_moved();
                true
            }
            // With one process there is nothing to tell; and the dead letter is the news.
            Sight::RelayLeads(_) | Sight::InCharge { .. } | Sight::Overfull { .. } => false,
            Sight::SetAside { .. }
            | Sight::StreamRegressed { .. }
            | Sight::Done { .. }
            | Sight::Duplicate { .. }
            | Sight::Redelivered { .. }
            | Sight::Buried { .. } => true,
        }
    }

    /// `12:01:02.123  what  →  whose  text`
    fn write(&self, line: &Line<'_>) {
        let now: DateTime<FixedOffset> = self.clock.now().with_timezone(&self.zone);
        let what = visible(line.what, NAME_CHARS_MAX);
        let (whose, text) = (line.whose, &line.text);
        let (begin, end) = match self.palette {
            Palette::Plain => ("", ""),
            Palette::Colour => (line.tone.code(), "\u{1b}[0m"),
        };
        let mut sheet = self.sheet.lock().unwrap_or_else(PoisonError::into_inner);
        sheet.left = sheet.left.max(what.chars().count()).min(COLUMN_MAX);
        sheet.right = sheet.right.max(whose.chars().count()).min(COLUMN_MAX);
        let (left, right) = (sheet.left, sheet.right);
        let time = now.format("%H:%M:%S%.3f");
        let line = format!("{time}  {what:<left$}  →  {whose:<right$}  {begin}{text}{end}\n");
        // A reader that went away is no reason to stop handling events.
        drop(sheet.out.write_all(line.as_bytes()));
        drop(sheet.out.flush());
    }
}

impl Witness for Console {
    fn saw(&self, sight: &Sight<'_>) {
        if self.is_news(sight) {
            self.write(&Line::of(sight));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::fixtures::{Captured, Scene};

    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> DateTime<chrono::Utc> {
            DateTime::from_timestamp_millis(1_800_014_462_123).unwrap()
        }
    }

    fn lines(palette: Palette, sights: impl FnOnce(&Console, &Scene)) -> Vec<String> {
        let (out, scene) = (Captured::default(), Scene::new());
        let zone = FixedOffset::east_opt(0).unwrap();
        sights(
            &Console::new(Box::new(out.clone()), palette, Arc::new(Noon), zone),
            &scene,
        );
        out.lines()
    }

    #[test]
    fn each_decision_is_one_line_a_person_can_read() {
        let lines = lines(Palette::Plain, |console, scene| {
            console.saw(&scene.done(1));
            console.saw(&scene.redelivered("try\nlater"));
            console.saw(&scene.buried("\u{1b}[2Jno repository"));
            console.saw(&scene.duplicate());
            console.saw(&Scene::published());
        });
        let expected = [
            "12:01:02.123  github.star.created  →  stars  done 0.4 ms, emitted 1",
            "12:01:02.123  github.star.created  →  stars  retry in 40 ms (attempt 2): try\\nlater",
            "12:01:02.123  github.star.created  →  stars  dead letter (rejected): \\u{1b}[2Jno repository",
            "12:01:02.123  github.star.created  →  stars  handled before",
            "12:01:02.123  outbox               →  stream  published 5 events (1 known already) in 3.0 ms",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn waiting_is_said_once_and_so_is_its_end() {
        let lines = lines(Palette::Plain, |console, scene| {
            for _ in 0..3 {
                console.saw(&scene.held());
            }
            console.saw(&scene.resumed());
            console.saw(&scene.resumed());
        });
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(lines[0].ends_with("waits: connect: refused") && lines[1].ends_with("goes on"));
    }

    #[test]
    fn colour_is_for_a_terminal_that_did_not_refuse_it() {
        assert_eq!(Palette::choose(true, None), Palette::Colour);
        assert_eq!(Palette::choose(true, Some("")), Palette::Colour);
        assert_eq!(Palette::choose(true, Some("1")), Palette::Plain);
        assert_eq!(Palette::choose(false, None), Palette::Plain);
        let coloured = lines(Palette::Colour, |console, scene| {
            console.saw(&scene.done(0));
        });
        assert!(
            coloured[0].ends_with("\u{1b}[32mdone 0.4 ms\u{1b}[0m"),
            "{coloured:?}"
        );
    }
}
