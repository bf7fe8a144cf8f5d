//! What goes to standard output, and the exit code.

use crate::rpc::CallError;
use baton_types::{
    api::ErrorData,
    receipt::{Reason, Refusal},
};
use serde::Serialize;
use std::{
    fmt,
    io::{IsTerminal as _, Stderr, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Refused or failed.
    Failed,
    /// What was asked makes no sense.
    Usage,
    TimedOut,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Done => 0,
            Outcome::Failed => 1,
            Outcome::Usage => 2,
            Outcome::TimedOut => 3,
        })
    }
}

/// Text for people or JSON for programs.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    pub json: bool,
}

impl Output {
    /// One line for people; nothing with `--json`.
    pub fn line(self, text: impl fmt::Display) {
        if !self.json {
            write_line(&text.to_string());
        }
    }

    /// One object with `--json`; nothing for people.
    pub fn object(self, value: &impl Serialize) {
        if self.json {
            write_line(&serde_json::to_string(value).expect("API types have only string keys"));
        }
    }

    /// An error: always on standard error, with `--json` also as an object.
    pub fn error(self, error: &eyre::Report) {
        note(format!("error: {error:#}"));
        let data = error
            .chain()
            .find_map(|cause| match cause.downcast_ref::<CallError>() {
                Some(CallError::Refused(data)) => Some(data.clone()),
                _ => None,
            })
            .unwrap_or_else(|| ErrorData {
                reason: Reason::Internal,
                detail: format!("{error:#}"),
                retry_after_ms: None,
            });
        self.object(&data);
    }
}

/// A line on standard error, for people, in either mode.
pub fn note(text: impl fmt::Display) {
    // A closed terminal must not keep a supervisor from cleaning up.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A line that is written over again, for people at a terminal; nothing elsewhere.
pub struct Progress<W = Stderr> {
    terminal: Option<W>,
    shown: Option<Instant>,
}

const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

impl Progress {
    pub fn new() -> Self {
        let stderr = std::io::stderr();
        Self { terminal: stderr.is_terminal().then_some(stderr), shown: None }
    }
}

impl<W: Write> Progress<W> {
    /// Shows it, unless another was shown a moment ago.
    pub fn show(&mut self, text: impl fmt::Display) {
        let Some(terminal) = &mut self.terminal else { return };
        if self.shown.is_none_or(|shown| shown.elapsed() >= PROGRESS_INTERVAL) {
            self.shown = Some(Instant::now());
            let _ = write!(terminal, "\r\x1b[K{text}").and_then(|()| terminal.flush());
        }
    }

    /// Makes room for a line that stays.
    pub fn clear(&mut self) {
        if self.shown.take().is_some()
            && let Some(terminal) = &mut self.terminal
        {
            let _ = write!(terminal, "\r\x1b[K").and_then(|()| terminal.flush());
        }
    }
}

/// Writes exactly this line; a closed pipe is the reader's choice, not an error.
pub fn write_line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Refusals made by this program, before any node was asked.
pub fn refused(reason: Reason, detail: impl Into<String>) -> eyre::Report {
    let Refusal { reason, detail, retry_after_ms } = Refusal::new(reason, detail);
    CallError::Refused(ErrorData { reason, detail, retry_after_ms }).into()
}

/// `12,345,678`
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_written_over() {
        let mut progress = Progress::<Vec<u8>> { terminal: Some(Vec::new()), shown: None };
        progress.clear();
        progress.show("one");
        progress.show("a moment later");
        progress.clear();
        progress.show("two");
        assert_eq!(progress.terminal.unwrap(), b"\r\x1b[Kone\r\x1b[K\r\x1b[Ktwo");
        let mut nowhere = Progress::<Vec<u8>> { terminal: None, shown: None };
        nowhere.show("one");
        nowhere.clear();
        assert_eq!((nowhere.terminal, nowhere.shown), (None, None));
    }

    #[test]
    fn digits_come_in_threes() {
        for (number, expect) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (123_456, "123,456"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(number), expect);
        }
    }
}
