//! What is wrong with the server right now.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Shared by all ports. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Faults(Arc<Mutex<State>>);

struct State {
    unready_until: Option<Instant>,
    slow: Option<(Duration, Instant)>,
}

/// From when the last answer to a command has left until the fault sets in.
const ANSWER_FIRST: Duration = Duration::from_millis(50);

impl Faults {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { unready_until: None, slow: None })))
    }

    /// Whether the server would take work now.
    pub(crate) fn is_ready(&self) -> bool {
        self.state().unready_until.is_none_or(|until| Instant::now() >= until)
    }

    /// Every answer on every port passes here first; a slow server takes its time.
    pub(crate) async fn before_answer(&self) {
        let slow = self.state().slow;
        if let Some((delay, until)) = slow
            && Instant::now() < until
        {
            tokio::time::sleep(delay).await;
        }
    }

    pub(crate) fn turn_unready(&self, span: Duration) {
        println!("turning unready for {} s", span.as_secs_f64());
        self.state().unready_until = Some(later(span));
        let faults = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(span).await;
            if faults.is_ready() {
                println!("ready again");
            }
        });
    }

    pub(crate) fn slow_down(&self, delay: Duration, span: Duration) {
        println!("every answer takes {} ms more for {} s", delay.as_millis(), span.as_secs_f64());
        self.state().slow = Some((delay, later(span)));
    }

    /// Stops answering on all ports while the process lives: its only thread sleeps.
    pub(crate) fn hang(&self, span: Option<Duration>) {
        tokio::spawn(async move {
            tokio::time::sleep(ANSWER_FIRST).await;
            match span {
                Some(span) => {
                    println!("hanging for {} s: nothing will be answered", span.as_secs_f64());
                    std::thread::sleep(span);
                    println!("awake again");
                }
                None => {
                    println!("hanging: nothing will be answered any more");
                    loop {
                        std::thread::park();
                    }
                }
            }
        });
    }

    /// Ends the process without any clean-up.
    pub(crate) fn exit(&self, code: i32) {
        tokio::spawn(async move {
            tokio::time::sleep(ANSWER_FIRST).await;
            println!("crashing: exit status {code}");
            std::process::exit(code);
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `span` from now, or so far away that nobody will see it.
fn later(span: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    Instant::now() + span.min(CENTURY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn faults_pass() {
        let faults = Faults::new();
        assert!(faults.is_ready());
        faults.turn_unready(Duration::from_secs(5));
        faults.slow_down(Duration::from_millis(300), Duration::from_secs(5));
        assert!(!faults.is_ready());
        let asked = Instant::now();
        faults.before_answer().await;
        assert_eq!(asked.elapsed(), Duration::from_millis(300));

        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(faults.is_ready());
        let asked = Instant::now();
        faults.before_answer().await;
        assert_eq!(asked.elapsed(), Duration::ZERO);
    }
}
