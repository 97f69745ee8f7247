//! Many components at once. What hundreds cost is told by
//! `MANY=500 cargo test -p vitald-process --test runs many -- --show-output`.

use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use vitald_core::restarter::{Adoption, Restarter, RunId};

use crate::bed::{Bed, within};

/// How many, where it is measured.
const COUNT: &str = "MANY";

/// User and system time of this process.
fn processor_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let times = [usage.user_time(), usage.system_time()];
    times.iter().map(|t| Duration::from_micros((t.tv_sec() * 1_000_000 + t.tv_usec()).unsigned_abs())).sum()
}

struct Watch(Instant, Duration);

impl Watch {
    fn start() -> Self {
        Self(Instant::now(), processor_time())
    }

    #[allow(clippy::print_stdout, reason = "the test harness shows it with the test")]
    fn tell(&mut self, what: &str) {
        println!("{what}: {:?}, of the processor {:?}", self.0.elapsed(), processor_time() - self.1);
        *self = Self::start();
    }
}

async fn all<T: Send + 'static>(
    tasks: impl Iterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let tasks: Vec<_> = tasks.map(tokio::spawn).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(within("all of them", task).await.unwrap());
    }
    results
}

async fn start_adopt_and_end(count: usize) {
    let mut watch = Watch::start();
    let beds: Vec<Bed> = (0..count).map(|_| Bed::new(&["sleep", "1000"])).collect();
    let restarters = beds.iter().map(Bed::restarter);
    let runs = all(restarters.map(|r| async move { r.start(RunId(1)).await.unwrap() })).await;
    watch.tell(&format!("{count} are started"));
    let recorded: Vec<_> = runs.iter().map(|run| run.process()).collect();
    let restarters = beds.iter().map(Bed::restarter).zip(recorded);
    let adopted = restarters.map(|(r, p)| async move { r.adopt(RunId(1), Some(&p), 0).await.unwrap() });
    let adopted = all(adopted).await;
    assert!(adopted.iter().all(|adoption| matches!(adoption, Adoption::Running(_))));
    watch.tell("are looked for as the next supervisor would");
    drop(adopted);
    let ends = runs.into_iter().map(|run| async move {
        let ended = tokio::task::spawn_blocking(move || run.terminate().map(|()| run));
        let run = ended.await.unwrap().unwrap();
        run.exited().await;
        run.gone().await;
    });
    all(ends).await;
    watch.tell("are asked to end, and gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_are_started_taken_over_and_ended_at_once() {
    let count = std::env::var(COUNT).ok().and_then(|count| count.parse().ok());
    if count.is_some() {
        vitald_process::raise_open_files().unwrap();
    }
    start_adopt_and_end(count.unwrap_or(30)).await;
}
