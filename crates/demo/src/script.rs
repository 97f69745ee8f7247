//! A script of faults on the command line, so that a demonstration needs no hands.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use clap::Args;

use crate::faults::Faults;

/// Faults that happen by themselves, counted from the start of the process.
#[derive(Args, Debug)]
pub(crate) struct Script {
    /// Exit with status 1 after this long (6s, 500ms, 2m).
    #[arg(long, value_name = "SPAN", value_parser = span)]
    crash_after: Option<Duration>,
    /// Exit with status 1 instead of serving.
    #[arg(long)]
    crash_at_start: bool,
    /// Stop answering after this long, for good.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    hang_after: Option<Duration>,
    /// Turn unready after this long.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    unready_after: Option<Duration>,
    /// How long to stay unready.
    #[arg(long, value_name = "SPAN", value_parser = span, default_value = "5s")]
    unready_for: Duration,
    /// The script is for this run only (`VITALD_RUN`); without that variable there are no faults.
    #[arg(long, value_name = "RUN")]
    only_run: Option<u64>,
}

impl Script {
    pub(crate) fn crashes_at_start(&self) -> bool {
        self.crash_at_start && self.is_for_this_run()
    }

    /// Plays the script. Never returns.
    pub(crate) async fn play(self: Rc<Self>, faults: Faults) -> Infallible {
        if self.is_for_this_run() {
            let after = |span: Option<Duration>, fault: Box<dyn FnOnce()>| {
                if let Some(span) = span {
                    tokio::task::spawn_local(async move {
                        tokio::time::sleep(span).await;
                        fault();
                    });
                }
            };
            let (crash, hang, unready) = (faults.clone(), faults.clone(), faults);
            let unready_for = self.unready_for;
            after(self.crash_after, Box::new(move || crash.exit(1)));
            after(self.hang_after, Box::new(move || hang.hang(None)));
            after(self.unready_after, Box::new(move || unready.turn_unready(unready_for)));
        }
        std::future::pending().await
    }

    fn is_for_this_run(&self) -> bool {
        let this = || std::env::var("VITALD_RUN").ok()?.parse::<u64>().ok();
        self.only_run.is_none_or(|only| this() == Some(only))
    }
}

/// `6s`, `500ms`, `2m`, or a number of seconds.
fn span(text: &str) -> Result<Duration, String> {
    let number_end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(number_end);
    let scale = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        _ => return Err(format!("`{unit}` is no unit; there are ms, s and m")),
    };
    let number: f64 = number.parse().map_err(|_| "expected a number, such as 6s or 500ms".to_owned())?;
    Duration::try_from_secs_f64(number * scale).map_err(|err| err.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        assert_eq!(span("6s"), Ok(Duration::from_secs(6)));
        assert_eq!(span("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(span("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(span("2m"), Ok(Duration::from_secs(120)));
        assert!(span("2h").is_err());
        assert!(span("s").is_err());
        assert!(span("").is_err());
    }
}
