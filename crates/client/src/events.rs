//! Events as they arrive: one JSON object a line.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use hyper::body::{Body, Incoming};
use vitald_core::status::EventRecord;

use crate::error::Error;

/// Events, oldest first.
#[derive(Debug)]
pub struct EventStream {
    body: Incoming,
    /// Complete lines that have arrived.
    lines: VecDeque<Vec<u8>>,
    /// The beginning of the next.
    partial: Vec<u8>,
}

impl EventStream {
    pub(crate) fn new(body: Incoming) -> Self {
        Self { body, lines: VecDeque::new(), partial: Vec::new() }
    }

    fn take(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(part);
            if part.ends_with(b"\n") {
                self.lines.push_back(std::mem::take(&mut self.partial));
            }
        }
    }
}

impl Stream for EventStream {
    type Item = Result<EventRecord, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Poll::Ready(Some(serde_json::from_slice(&line).map_err(Error::from)));
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.take(&bytes);
                    }
                }
                Some(Err(err)) => return Poll::Ready(Some(Err(err.into()))),
                None => return Poll::Ready(None),
            }
        }
    }
}
