//! What libraries of custom probes print, and what becomes of their processes, on its way to the account and the
//! events of a supervisor.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use vitald_plugin::{Notice, NoticeKind, Tell};

use crate::format::plain;

/// How much of it may be waiting to be told; what is more is lost.
const WAITING: usize = 256;

/// How often at most it is told that the process of one library has ended.
const PAUSE: Duration = Duration::from_secs(5);

/// What is told of libraries, until the end.
pub(crate) struct PluginNews {
    notices: mpsc::Receiver<Notice>,
    /// When an end was told last of a library, and how many were not told since.
    told: HashMap<PathBuf, (Instant, u32)>,
}

/// Something to tell.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// A line that a library has printed: for the account alone, since there may be many.
    Output { library: String, line: String },
    /// An event.
    Trouble(String),
}

/// What is to be given to whoever loads libraries, and where it comes out.
pub(crate) fn channel() -> (Tell, PluginNews) {
    let (send, notices) = mpsc::channel(WAITING);
    let tell: Tell = Arc::new(move |notice| {
        // Whoever cannot be told now need not know.
        let _ = send.try_send(notice);
    });
    (tell, PluginNews { notices, told: HashMap::new() })
}

impl PluginNews {
    /// The next one; never, once nobody loads libraries any more. May be dropped at any time.
    pub(crate) async fn next(&mut self) -> News {
        loop {
            let Some(notice) = self.notices.recv().await else { return std::future::pending().await };
            if let Some(news) = self.news(notice, Instant::now()) {
                return news;
            }
        }
    }

    fn news(&mut self, notice: Notice, now: Instant) -> Option<News> {
        let text = plain(&notice.text);
        match notice.kind {
            NoticeKind::Output => return Some(News::Output { library: plain(&notice.library), line: text }),
            NoticeKind::Moved => return Some(News::Trouble(text)),
            NoticeKind::Ended => {}
        }
        let untold = match self.told.get_mut(&notice.file) {
            Some((last, untold)) if now.duration_since(*last) < PAUSE => {
                *untold += 1;
                return None;
            }
            Some((_, untold)) => *untold,
            None => 0,
        };
        self.told.insert(notice.file, (now, 0));
        Some(News::Trouble(if untold > 0 { format!("{text} ({untold} more since the last)") } else { text }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_at_a_limited_rate_and_counted() {
        let (_tell, mut news) = channel();
        let notice = |file: &str, kind| {
            let text = "the host of disk-space was ended by SIGSEGV".to_owned();
            Notice { file: file.into(), library: "disk-space".into(), kind, text }
        };
        let begin = Instant::now();
        let mut at = |seconds, file, kind| {
            news.news(notice(file, kind), begin + Duration::from_secs(seconds)).map(|news| match news {
                News::Output { library, .. } => format!("{library} prints"),
                News::Trouble(text) => text,
            })
        };
        let ended = |more: &str| Some(format!("the host of disk-space was ended by SIGSEGV{more}"));
        assert_eq!(at(0, "a.so", NoticeKind::Ended), ended(""));
        assert_eq!(at(1, "a.so", NoticeKind::Ended), None);
        assert_eq!(at(2, "b.so", NoticeKind::Ended), ended(""));
        assert_eq!(at(3, "a.so", NoticeKind::Ended), None);
        assert_eq!(at(3, "a.so", NoticeKind::Output), Some("disk-space prints".to_owned()));
        assert_eq!(at(3, "a.so", NoticeKind::Moved), ended(""));
        assert_eq!(at(9, "a.so", NoticeKind::Ended), ended(" (2 more since the last)"));
        assert_eq!(at(20, "a.so", NoticeKind::Ended), ended(""));
    }
}
